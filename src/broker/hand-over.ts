import type { Handler, Log, Received, Settlement } from '../core/ports.js';
import { messageOf } from './within.js';

/** A message whose handler failed goes back no sooner, so that a bug does not become a hot loop. */
const AFTER_REJECTION_MS = 1000;

/** Lets the handler decide. A handler that rejects or throws has broken its contract: logged, and requeued a little later. */
export async function handOver<T>(handler: Handler<T>, received: Received<T>, log: Log): Promise<Settlement> {
  try {
    return await handler(received);
  } catch (error) {
    log.error('broker.handler.failed', { messageId: received.messageId, error: messageOf(error) });
    await new Promise((resolve) => setTimeout(resolve, AFTER_REJECTION_MS));
    return 'requeue';
  }
}
