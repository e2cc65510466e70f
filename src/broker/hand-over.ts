import type { Handler, Log, Settlement } from '../core/ports.js';
import type { Decoded } from './message-format.js';
import { messageOf } from './within.js';

/** A message whose handler failed goes back no sooner, so that a bug does not become a hot loop. */
const AFTER_REJECTION_MS = 1000;

/** A message on its way from a queue to a handler. */
export interface Incoming<T> {
  messageId: unknown;
  decoded: Decoded<T>;
  redelivered: boolean;
  bytes: number;
}

/**
 * Decides what becomes of a message: `dead` for one that cannot be read, else what its handler says. A handler that
 * rejects or throws has broken its contract: logged, and requeued a little later. Never rejects.
 */
export async function decide<T>(
  { messageId, decoded, redelivered, bytes }: Incoming<T>,
  { queue, handler, log }: { queue: string; handler: Handler<T>; log: Log },
): Promise<Settlement> {
  if (typeof messageId !== 'string' || messageId === '') return { dead: 'expected a message id' };
  if (!decoded.ok) {
    log.warn('broker.message.unreadable', { queue, messageId, reason: decoded.reason });
    return { dead: decoded.reason };
  }
  try {
    return await handler({ message: decoded.message, messageId, redelivered, bytes });
  } catch (error) {
    log.error('broker.handler.failed', { queue, messageId, error: messageOf(error) });
    await new Promise((resolve) => setTimeout(resolve, AFTER_REJECTION_MS));
    return 'requeue';
  }
}
