import { EventCenterError } from '../errors.js';
import { inTime } from '../in-time.js';
import type { KeyState } from '../ports.js';

/** How a key stood when it was recorded for a call. */
export type Begun = KeyState['state'];

/** How long a send waits for the store of the keys, before and after the publish, so that its caller does not give up. */
export const STORE_WAIT_MS = 2_000;

/** What `answer` gives; it goes on when it is late. @throws UNAVAILABLE after `STORE_WAIT_MS`. */
export function storeInTime<T>(answer: Promise<T>): Promise<T> {
  return inTime(
    answer,
    STORE_WAIT_MS,
    () => new EventCenterError('UNAVAILABLE', `the database did not answer within ${String(STORE_WAIT_MS)} ms`),
  );
}

/**
 * Settles a key that may be recorded too late for its call, as `done` when its work succeeded: else it would stay pending
 * although nobody works on it, and a repeat would be told to wait, and then be let through once more. A key that belongs
 * to another call by then is left alone. Never rejects unless `settle` does.
 */
export async function settleLate(
  { beginning, work }: { beginning: Promise<Begun>; work: Promise<unknown> },
  settle: (how: 'done' | 'free') => Promise<void>,
): Promise<void> {
  const succeeded = await work.then(
    () => true,
    () => false,
  );
  const begun = await beginning.catch(() => null);
  if (begun === 'new' || begun === 'again') await settle(succeeded ? 'done' : 'free');
}
