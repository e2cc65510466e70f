import type { Clock } from './ports.js';

/**
 * Lets `ratePerSecond` takes through per second, and as many at once after a pause (at least one).
 * Needs no timer: it fills by the clock when it is asked.
 */
export class TokenBucket {
  readonly ratePerSecond: number;
  readonly #clock: Clock;
  readonly #capacity: number;
  #tokens: number;
  #filledAt: number;

  constructor(ratePerSecond: number, clock: Clock) {
    this.ratePerSecond = ratePerSecond;
    this.#clock = clock;
    this.#capacity = Math.max(1, ratePerSecond);
    this.#tokens = this.#capacity;
    this.#filledAt = clock.now();
  }

  /** Takes one token: 0 when there was one, else how many ms until there is one, and nothing is taken. */
  take(): number {
    const now = this.#clock.now();
    const elapsedMs = Math.max(0, now - this.#filledAt);
    this.#tokens = Math.min(this.#capacity, this.#tokens + (elapsedMs * this.ratePerSecond) / 1000);
    this.#filledAt = now;
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return 0;
    }
    return Math.ceil(((1 - this.#tokens) * 1000) / this.ratePerSecond);
  }
}
