import { EventCenterError } from '../core/errors.js';
import { inTime } from '../core/in-time.js';

/**
 * Waits for `work`, at most `timeoutMs`. What `work` does after that is ignored, not stopped.
 * @throws UNAVAILABLE naming `what` when the time is over; else whatever `work` throws.
 */
export function within<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  return inTime(
    work,
    timeoutMs,
    () => new EventCenterError('UNAVAILABLE', `${what} did not come to an end within ${timeoutMs} ms`),
  );
}

/** Resolves after `ms`, or as soon as `signal` is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

/** The wait before attempt `failures` + 1: doubles from `firstMs` to `maxMs`, of which a random half is taken off. */
export function backoffMs(failures: number, firstMs: number, maxMs: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures, 20));
  return full * (0.5 + Math.random() / 2);
}

/** The text of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
