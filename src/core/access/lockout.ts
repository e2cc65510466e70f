import type { Clock } from '../ports.js';
import { keepNewest } from '../keep-newest.js';

export interface LockoutOptions {
  /** Failures within `windowMs` that lock an address; 0 never locks one. */
  failures: number;
  windowMs: number;
  /** How long an address stays locked. */
  durationMs: number;
}

/** What was seen of an address. */
interface Seen {
  failures: number;
  /** Begin of the window in which they were counted. */
  since: number;
  /** 0 when it is not locked. */
  lockedUntil: number;
}

/** The most addresses, and the most pairs of address and token, that are kept; the longest unseen go first. */
const MOST_KEPT = 10_000;
/** A token that was good from an address within this time works on from there while the address is locked. */
const TRUSTED_MS = 10 * 60_000;

/**
 * Which addresses have presented too many tokens that are not known. Kept per process and bounded; an address is what the
 * caller takes for one. A success does not take failures back, or the holder of one token could guess on for ever.
 */
export class Lockout {
  readonly #clock: Clock;
  readonly #options: LockoutOptions;
  readonly #addresses = new Map<string, Seen>();
  readonly #trusted = new Map<string, number>();

  constructor(deps: { clock: Clock; options: LockoutOptions }) {
    this.#clock = deps.clock;
    this.#options = deps.options;
  }

  /** How long the address is still locked, in ms; 0 when it is not. */
  remainingMs(address: string): number {
    return Math.max(0, (this.#addresses.get(address)?.lockedUntil ?? 0) - this.#clock.now());
  }

  /** Notes a token that is not known; true when that locks the address. */
  failed(address: string): boolean {
    const { failures: most, windowMs, durationMs } = this.#options;
    if (most === 0) return false;
    const now = this.#clock.now();
    const known = this.#addresses.get(address);
    const isCounting = known !== undefined && now - known.since < windowMs && now >= known.since;
    const seen: Seen = isCounting ? known : { failures: 0, since: now, lockedUntil: known?.lockedUntil ?? 0 };
    seen.failures += 1;
    const locks = seen.failures >= most && seen.lockedUntil <= now;
    if (locks) {
      seen.lockedUntil = now + durationMs;
      seen.failures = 0;
    }
    keepNewest(this.#addresses, [address, seen], MOST_KEPT);
    return locks;
  }

  /** Notes that a token was good from an address. */
  succeeded(address: string, tokenKey: string): void {
    keepNewest(this.#trusted, [pairKey(address, tokenKey), this.#clock.now()], MOST_KEPT);
  }

  /** Whether the token was good from this address a short while ago. */
  isTrusted(address: string, tokenKey: string): boolean {
    const goodAt = this.#trusted.get(pairKey(address, tokenKey));
    return goodAt !== undefined && this.#clock.now() - goodAt < TRUSTED_MS;
  }

  /** How many addresses are locked. */
  lockedAddresses(): number {
    const now = this.#clock.now();
    let locked = 0;
    for (const { lockedUntil } of this.#addresses.values()) if (lockedUntil > now) locked += 1;
    return locked;
  }
}

function pairKey(address: string, tokenKey: string): string {
  return `${address} ${tokenKey}`;
}
