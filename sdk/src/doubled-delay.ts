/**
 * Milliseconds to wait after `failures` attempts failed (1 or more): `firstDelayMs`, doubled with each further failure, never more than
 * `maxDelayMs`.
 */
export function doubledDelayMs(failures: number, firstDelayMs: number, maxDelayMs: number): number {
  // 31 doublings take 1 ms beyond every delay; without an end, 0 times infinity would be no number.
  return Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(failures - 1, 31));
}
