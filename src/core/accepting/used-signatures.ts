import { EventCenterError, hasCode } from '../errors.js';
import type { Clock, IdempotencyKey, IdempotencyStore, Log, Metrics } from '../ports.js';
import { settleLate, storeInTime, type Begun } from './late-store.js';

export interface UsedSignaturesDeps {
  /** Shared by all processes. */
  idempotency: Pick<IdempotencyStore, 'begin' | 'done' | 'free'>;
  metrics: Pick<Metrics, 'incident'>;
  clock: Clock;
  log: Log;
  options: {
    /** How far a signed timestamp may be from now, either direction. */
    clockSkewMs: number;
    /** How long a publish can take; a signature under way for twice as long belongs to a crash. */
    confirmTimeoutMs: number;
  };
}

/** A call whose signature and timestamp were found right. */
export interface GenuineCall {
  appId: string;
  /** The signature, in the one form in which it is right. */
  sign: string;
  /** The signed timestamp. */
  ts: number;
}

/** Signatures in memory, at most; beyond, the oldest timestamps are forgotten, and only the database knows them. */
const MOST_IN_MEMORY = 500_000;
/** Signatures are forgotten together, by the span in which their timestamps are. */
const SPAN_MS = 10_000;
/** No key of a sender has a control character, so that none is ever taken for a signature. */
const KEY_PREFIX = '\u0001sign:';
/** What the store keeps beside a key; a signature needs neither. */
const NO_EVENT = '00000000-0000-0000-0000-000000000000';
const NO_BODY = Buffer.alloc(32);

/**
 * Lets a signed send do its work once, as long as its timestamp is good. Used is a signature whose work succeeded: after
 * a refusal, or a 503, the very same request may come again. Kept in this process's memory, and in the database for the
 * others and for restarts. While the database is away, each process refuses only what it has seen itself, which counts as
 * the incident `used-signature.not-checked`.
 */
export class UsedSignatures {
  readonly #deps: UsedSignaturesDeps;
  /** By the span of their timestamps: the timestamp is signed, so that the same signature is always in the same span. */
  readonly #used = new Map<number, Set<string>>();
  readonly #underWay = new Set<string>();
  #count = 0;

  constructor(deps: UsedSignaturesDeps) {
    this.#deps = deps;
  }

  /**
   * What `work` gives.
   * @throws SIGNATURE_USED when the same call has succeeded before; IN_PROGRESS while it is under way; what `work` throws,
   *   and then the signature is not used.
   */
  async once<T>(call: GenuineCall, work: () => Promise<T>): Promise<T> {
    const { appId, sign } = call;
    const key = { appId, key: KEY_PREFIX + sign };
    const id = `${appId}\0${sign}`;
    this.#forgetOld();
    if (this.#isUsed(call.ts, id)) throw used();
    if (this.#underWay.has(id)) throw underWay();
    this.#underWay.add(id);
    try {
      const beginning = this.#begin(key, call);
      const begun = await this.#inTime(key, beginning);
      if (begun === 'done') this.#remember(call.ts, id);
      if (begun === 'done' || begun === 'other-body') throw used();
      if (begun === 'in-progress') throw underWay();
      const value = await (begun === 'unknown' ? this.#workUnmarked(key, beginning, work) : this.#work(key, work));
      this.#remember(call.ts, id);
      return value;
    } finally {
      this.#underWay.delete(id);
    }
  }

  async #begin(key: IdempotencyKey, { ts }: GenuineCall): Promise<Begun> {
    const { idempotency, clock, options } = this.#deps;
    const now = clock.now();
    // A millisecond more, because the timestamp is still good at the end.
    const ttlMs = ts + options.clockSkewMs - now + 1;
    const staleAfterMs = 2 * options.confirmTimeoutMs;
    const entry = { eventId: NO_EVENT, bodyHash: NO_BODY, now, ttlMs, staleAfterMs };
    return (await idempotency.begin(key, entry)).state;
  }

  async #inTime(key: IdempotencyKey, beginning: Promise<Begun>): Promise<Begun | 'unknown'> {
    const { metrics, log } = this.#deps;
    try {
      return await storeInTime(beginning);
    } catch (error) {
      if (!hasCode(error, 'UNAVAILABLE')) throw error;
      metrics.incident('used-signature.not-checked');
      log.warn('used-signature.not-checked', { appId: key.appId, error });
      return 'unknown';
    }
  }

  async #work<T>(key: IdempotencyKey, work: () => Promise<T>): Promise<T> {
    let value: T;
    try {
      value = await work();
    } catch (error) {
      await this.#settle('free', key);
      throw error;
    }
    await this.#settle('done', key);
    return value;
  }

  #workUnmarked<T>(key: IdempotencyKey, beginning: Promise<Begun>, work: () => Promise<T>): Promise<T> {
    const working = work();
    void settleLate({ beginning, work: working }, (how) => this.#settle(how, key));
    return working;
  }

  /** Failing to settle must not fail what was done: a signature that stays under way is stale after a while. */
  async #settle(settle: 'done' | 'free', key: IdempotencyKey): Promise<void> {
    const { idempotency, metrics, log } = this.#deps;
    try {
      await storeInTime(idempotency[settle](key));
    } catch (error) {
      metrics.incident('used-signature.not-settled');
      log.warn('used-signature.not-settled', { appId: key.appId, settle, error });
    }
  }

  #isUsed(ts: number, id: string): boolean {
    return this.#used.get(spanOf(ts))?.has(id) === true;
  }

  #remember(ts: number, id: string): void {
    const span = spanOf(ts);
    const ids = this.#used.get(span) ?? new Set();
    this.#used.set(span, ids.add(id));
    this.#count += 1;
    if (this.#count > MOST_IN_MEMORY) this.#forget(Math.min(...this.#used.keys()));
  }

  /** Spans whose last timestamp is not good any more. */
  #forgetOld(): void {
    const oldest = spanOf(this.#deps.clock.now() - this.#deps.options.clockSkewMs);
    for (const span of this.#used.keys()) if (span < oldest) this.#forget(span);
  }

  #forget(span: number): void {
    this.#count -= this.#used.get(span)?.size ?? 0;
    this.#used.delete(span);
  }
}

function spanOf(ts: number): number {
  return Math.floor(ts / SPAN_MS);
}

function used(): EventCenterError {
  return new EventCenterError(
    'SIGNATURE_USED',
    'sign: this very request was accepted before; sign another one with a new ts',
  );
}

function underWay(): EventCenterError {
  return new EventCenterError('IN_PROGRESS', 'sign: this very request is still running, repeat it', {
    retryAfterSeconds: 1,
  });
}
