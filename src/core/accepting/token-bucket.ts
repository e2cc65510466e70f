import type { Clock } from '../ports.js';

/** What one take costs; a millisecond adds `ratePerSecond`, so that whole rates are counted without rounding. */
const COST = 1_000;

/**
 * Lets `ratePerSecond` takes through per second, and as many at once after a pause (at least one).
 * Needs no timer: it fills by the clock when it is asked.
 */
export class TokenBucket {
  readonly ratePerSecond: number;
  readonly #clock: Clock;
  readonly #capacity: number;
  #credit: number;
  #filledAt: number;

  constructor(ratePerSecond: number, clock: Clock) {
    this.ratePerSecond = ratePerSecond;
    this.#clock = clock;
    this.#capacity = Math.max(1, ratePerSecond) * COST;
    this.#credit = this.#capacity;
    this.#filledAt = clock.now();
  }

  /** Takes one token: 0 when there was one, else how many ms until there is one, and nothing is taken. */
  take(): number {
    const now = this.#clock.now();
    const elapsedMs = Math.max(0, now - this.#filledAt);
    this.#credit = Math.min(this.#capacity, this.#credit + elapsedMs * this.ratePerSecond);
    this.#filledAt = now;
    if (this.#credit >= COST) {
      this.#credit -= COST;
      return 0;
    }
    return Math.ceil((COST - this.#credit) / this.ratePerSecond);
  }
}
