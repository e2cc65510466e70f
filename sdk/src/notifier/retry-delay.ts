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
  // 31 doublings take 1 ms beyond every delay; without an end, 0 times infinity would be no number.
  const fullMs = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures - 1, 31));
  return Math.round(fullMs * (0.5 + random / 2));
}
