import { doubledDelayMs } from '../doubled-delay.js';

/**
 * Milliseconds before the next attempt, after `failures` attempts failed: `firstDelayMs` doubled with each failure, never
 * more than `maxDelayMs`, and of that between a half and all, so that many retries do not come at once.
 * @param random from 0 to 1.
 */
export function retryDelayMs(
  failures: number,
  { firstDelayMs, maxDelayMs }: { firstDelayMs: number; maxDelayMs: number },
  random = Math.random(),
): number {
  return Math.round(doubledDelayMs(failures, firstDelayMs, maxDelayMs) * (0.5 + random / 2));
}
