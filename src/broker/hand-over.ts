import { hasCode } from '../core/errors.js';
import { GIVEN_UP } from '../core/given-up.js';
import { keepNewest } from '../core/keep-newest.js';
import type { Handler, Log, Settlement } from '../core/ports.js';
import type { Decoded } from './message-format.js';
import { messageOf } from './within.js';

/** A message whose handler failed goes back no sooner, so that a bug does not become a hot loop. */
const AFTER_REJECTION_MS = 1000;
/** A message over which its handler failed so often in this process is dead. */
const MOST_FAILURES = 5;
/** Failures that are remembered; of a message that others took meanwhile nobody tells. */
const MOST_REMEMBERED = 10_000;

/** How often the handler of a queue has failed over which message. */
export class HandlerFailures {
  readonly #failures = new Map<string, number>();

  /** One more; says how many there are now. */
  add(messageId: string): number {
    const failures = (this.#failures.get(messageId) ?? 0) + 1;
    keepNewest(this.#failures, [messageId, failures], MOST_REMEMBERED);
    return failures;
  }

  forget(messageId: string): void {
    this.#failures.delete(messageId);
  }
}

/** A message on its way from a queue to a handler. */
export interface Incoming<T> {
  messageId: unknown;
  decoded: Decoded<T>;
  redelivered: boolean;
  bytes: number;
}

/**
 * Decides what becomes of a message: `dead` for one that cannot be read, else what its handler says. A handler that
 * rejects or throws has broken its contract: logged, and requeued a little later, but not for ever, unless `failures` is
 * null because no queue is left to move it to. Never rejects.
 */
export async function decide<T>(
  { messageId, decoded, redelivered, bytes }: Incoming<T>,
  of: { queue: string; handler: Handler<T>; failures: HandlerFailures | null; log: Log },
): Promise<Settlement> {
  const { queue, handler, failures, log } = of;
  if (typeof messageId !== 'string' || messageId === '') return { dead: 'expected a message id' };
  if (!decoded.ok) {
    log.warn('broker.message.unreadable', { queue, messageId, reason: decoded.reason });
    return { dead: decoded.reason };
  }
  try {
    const settlement = await handler({ message: decoded.message, messageId, redelivered, bytes });
    if (settlement !== 'requeue') failures?.forget(messageId);
    return settlement;
  } catch (error) {
    log.error('broker.handler.failed', { queue, messageId, error: messageOf(error) });
    // What cannot be done now says nothing about the message.
    const times = hasCode(error, 'UNAVAILABLE') ? 0 : (failures?.add(messageId) ?? 0);
    if (times >= MOST_FAILURES) {
      failures?.forget(messageId);
      return { dead: `${GIVEN_UP}its handler failed ${times} times, at last: ${messageOf(error)}` };
    }
    await new Promise((resolve) => setTimeout(resolve, AFTER_REJECTION_MS));
    return 'requeue';
  }
}
