import { lookup, type LookupAddress } from 'node:dns';
import { keepNewest } from '../core/keep-newest.js';

/** What a connection asks of a look-up beside the name. */
export interface LookupHints {
  family?: number | 'IPv4' | 'IPv6' | undefined;
  hints?: number | undefined;
}

export type FoundAddresses = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void;

/** All addresses of a name, as `dns.lookup` gives them. */
export type Resolve = (hostname: string, options: LookupHints & { all: true }, callback: FoundAddresses) => void;

export interface NameLookupsOptions {
  /** How long who asks waits; afterwards nobody is told. */
  timeoutMs: number;
  /** `dns.lookup` by default. */
  resolve?: Resolve | undefined;
  /** Threads of the process that serve look-ups. Default 2, as Node has them. */
  threads?: number | undefined;
  /** A look-up that takes longer is slow. Default 1000. */
  slowAfterMs?: number;
  /** How long, and of how many names, it is remembered how they answered. Default an hour and 10,000. */
  rememberMs?: number;
  rememberNames?: number;
}

interface Lookup {
  hostname: string;
  hints: LookupHints;
  waiting: Set<FoundAddresses>;
  running: boolean;
  /** It was slow the last time, or is now. */
  slow: boolean;
}

/**
 * Looks names up, each once at a time: who asks for a name that is being looked up gets that answer, and nothing is
 * kept of it, so that a change is seen at once.
 *
 * A look-up holds a thread until it ends, whoever still waits for it, and there are few. So names
 * that answered within `slowAfterMs` the last time are looked up at once; new names and slow ones wait for each other and
 * leave one thread alone, slow ones run one at a time and behind the new ones.
 */
export class NameLookups {
  readonly #timeoutMs: number;
  readonly #resolve: Resolve;
  readonly #slowAfterMs: number;
  readonly #rememberMs: number;
  readonly #rememberNames: number;
  /** How many look-ups of new and slow names may run. */
  readonly #places: number;
  readonly #lookups = new Map<string, Lookup>();
  readonly #new = new Set<Lookup>();
  readonly #slow = new Set<Lookup>();
  /** What runs in a place, and names that were quick until now. */
  readonly #placed = new Set<Lookup>();
  /** How names answered, in the order in which they did. */
  readonly #known = new Map<string, { slow: boolean; until: number }>();

  constructor(options: NameLookupsOptions) {
    this.#timeoutMs = options.timeoutMs;
    this.#resolve = options.resolve ?? lookup;
    this.#slowAfterMs = options.slowAfterMs ?? 1_000;
    this.#rememberMs = options.rememberMs ?? 3_600_000;
    this.#rememberNames = options.rememberNames ?? 10_000;
    this.#places = Math.max(1, (options.threads ?? 2) - 1);
  }

  /** All who ask for a name at a time are to give the same hints. */
  find(hostname: string, hints: LookupHints, callback: FoundAddresses): void {
    const running = this.#lookups.get(hostname);
    const one = running ?? { hostname, hints, waiting: new Set(), running: false, slow: false };
    const told: FoundAddresses = (error, addresses) => {
      clearTimeout(timer);
      callback(error, addresses);
    };
    const timer = setTimeout(() => this.#leave(one, told), this.#timeoutMs).unref();
    one.waiting.add(told);
    if (running === undefined) this.#add(one);
  }

  #add(one: Lookup): void {
    this.#lookups.set(one.hostname, one);
    const known = this.#known.get(one.hostname);
    if (known === undefined || known.until <= performance.now()) {
      this.#new.add(one);
    } else if (known.slow) {
      one.slow = true;
      this.#slow.add(one);
    } else {
      this.#start(one);
      return;
    }
    this.#startNext();
  }

  #startNext(): void {
    while (this.#placed.size < this.#places) {
      const [next] = this.#new.size > 0 ? this.#new : this.#slowRuns() ? [] : this.#slow;
      if (next === undefined) return;
      this.#new.delete(next);
      this.#slow.delete(next);
      this.#placed.add(next);
      this.#start(next);
    }
  }

  #slowRuns(): boolean {
    for (const one of this.#placed) if (one.slow) return true;
    return false;
  }

  #start(one: Lookup): void {
    one.running = true;
    let tookLong = false;
    const timer = setTimeout(() => {
      tookLong = true;
      one.slow = true;
      this.#placed.add(one);
    }, this.#slowAfterMs).unref();
    this.#resolve(one.hostname, { ...one.hints, all: true }, (error, addresses) => {
      clearTimeout(timer);
      this.#placed.delete(one);
      this.#lookups.delete(one.hostname);
      this.#remember(one.hostname, tookLong);
      for (const told of one.waiting) told(error, addresses);
      this.#startNext();
    });
  }

  #leave(one: Lookup, told: FoundAddresses): void {
    one.waiting.delete(told);
    if (one.running || one.waiting.size > 0) return;
    this.#new.delete(one);
    this.#slow.delete(one);
    this.#lookups.delete(one.hostname);
  }

  #remember(hostname: string, slow: boolean): void {
    keepNewest(this.#known, [hostname, { slow, until: performance.now() + this.#rememberMs }], this.#rememberNames);
  }
}
