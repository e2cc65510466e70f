import type { Clock } from '../ports.js';
import { TokenBucket } from '../accepting/token-bucket.js';

/** How much may pass a gate. */
export interface GateLimits {
  /** Inside at a time. */
  concurrency: number;
  /** Entries per second, in bursts of at most a second's worth; null is unlimited. */
  ratePerSecond: number | null;
}

interface Waiter {
  latestAt: number;
  resolve: (entered: boolean) => void;
}

/**
 * Bounds how many are inside at a time and how fast they enter, first come, first served. One per node, so that a
 * slow node holds only its own calls. At most one timer, and only while the rate holds somebody back.
 */
export class CallGate {
  readonly #clock: Clock;
  #limits: GateLimits;
  #waiters: Waiter[] = [];
  #inside = 0;
  #bucket: TokenBucket | null;
  /** How long the rate holds the next one back, as of the last try. */
  #heldBackMs = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(clock: Clock, limits: GateLimits) {
    this.#clock = clock;
    this.#limits = limits;
    this.#bucket = bucketFor(limits, clock);
  }

  get inside(): number {
    return this.#inside;
  }

  get waiting(): number {
    return this.#waiters.length;
  }

  /** Takes effect for those who wait too. */
  setLimits(limits: GateLimits): void {
    if (limits.ratePerSecond !== this.#limits.ratePerSecond) this.#bucket = bucketFor(limits, this.#clock);
    this.#limits = limits;
    this.#admit();
  }

  /** True once inside: `leave` must follow. False when it was not to be had before `latestAt`, or the gate closed. */
  enter(latestAt: number): boolean | Promise<boolean> {
    if (this.#closed) return false;
    if (this.#waiters.length === 0 && this.#takePlace()) return true;
    return new Promise((resolve) => {
      this.#waiters.push({ latestAt, resolve });
      this.#admit();
    });
  }

  leave(): void {
    this.#inside -= 1;
    this.#admit();
  }

  /** Sends away who has waited too long; to be called now and then. */
  expire(): void {
    const now = this.#clock.now();
    if (!this.#waiters.some((waiter) => waiter.latestAt < now)) return;
    const expired = this.#waiters.filter((waiter) => waiter.latestAt < now);
    this.#waiters = this.#waiters.filter((waiter) => waiter.latestAt >= now);
    for (const waiter of expired) waiter.resolve(false);
  }

  /** Sends away all who wait and lets nobody in any more; those inside leave as usual. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.resolve(false);
  }

  #admit(): void {
    let passed = 0;
    const now = this.#clock.now();
    for (const waiter of this.#waiters) {
      const isLate = waiter.latestAt < now;
      if (!isLate && !this.#takePlace()) break;
      passed += 1;
      waiter.resolve(!isLate);
    }
    if (passed > 0) this.#waiters = this.#waiters.slice(passed);
    if (this.#waiters.length > 0) this.#waitForRate();
  }

  #takePlace(): boolean {
    this.#heldBackMs = 0;
    if (this.#inside >= this.#limits.concurrency) return false;
    this.#heldBackMs = this.#bucket?.take() ?? 0;
    if (this.#heldBackMs > 0) return false;
    this.#inside += 1;
    return true;
  }

  #waitForRate(): void {
    if (this.#timer !== null || this.#heldBackMs === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#admit();
    }, this.#heldBackMs);
  }
}

function bucketFor({ ratePerSecond }: GateLimits, clock: Clock): TokenBucket | null {
  return ratePerSecond === null ? null : new TokenBucket(ratePerSecond, clock);
}
