import { delayBeforeRepeat, waitMs } from '../client/backoff.js';
import type { SignedCaller } from '../client/signed-call.js';
import { RefusedError, UnavailableError } from '../errors.js';
import type { SdkLog } from '../log.js';
import type { ListenerResult } from './run-leased.js';
import { sentenceOf } from './sentence.js';

/** A lease that is to be ended: settled with results, released without. */
export interface EndedLease {
  leaseId: string;
  eventId: string;
  /** When the lease ends by itself, in milliseconds since the epoch. */
  deadline: number;
  results: ListenerResult[];
}

interface Waiting extends EndedLease {
  /** True after a call whose answer did not come: the centre may have done it. */
  maybeDone: boolean;
  resolve: () => void;
}

/** Results wait so long for others, so that one call carries several. */
const LINGER_MS = 5;
const LARGEST_BATCH = 100;
const REPEAT = { maxAttempts: Infinity, retryDelayMs: 200, maxRetryDelayMs: 2_000 };

/** Ends leases in batches, one call at a time, and repeats what the centre did not answer until the leases are over. */
export class Settlements {
  readonly #caller: SignedCaller;
  readonly #log: SdkLog;
  readonly #given = new AbortController();
  #waiting: Waiting[] = [];
  #isSending = false;
  #batchSize = LARGEST_BATCH;
  #lost = 0;
  #problem: string | null = null;

  constructor(caller: SignedCaller, log: SdkLog) {
    this.#caller = caller;
    this.#log = log;
  }

  /** Leases that could not be ended in time: others run these events again. */
  get lost(): number {
    return this.#lost;
  }

  /** Why the last call did not succeed; null when it did. */
  get problem(): string | null {
    return this.#problem;
  }

  /** Resolves when the centre has taken it, or when the lease is over. Never rejects. */
  end(ended: EndedLease): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ ...ended, maybeDone: false, resolve });
      if (!this.#isSending) void this.#sendAll();
    });
  }

  /** Ends all repeating: what the centre has not taken stays leased until its lease is over. */
  giveUp(): void {
    this.#given.abort();
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true;
    await waitMs(LINGER_MS, undefined);
    for (let failed = 0; this.#waiting.length > 0;) {
      this.#dropOverdue();
      const batch = this.#nextBatch();
      if (batch.length === 0) break;
      try {
        await this.#send(batch);
        this.#problem = null;
        failed = 0;
      } catch (error) {
        failed += 1;
        this.#noteFailure(error, batch);
        if (isMisfit(error)) {
          this.#setApart(batch);
          continue;
        }
        const retryAfterMs = error instanceof UnavailableError ? error.retryAfterMs : null;
        const delayMs = delayBeforeRepeat(Math.min(failed, 10), REPEAT, retryAfterMs);
        await waitMs(Math.min(delayMs, this.#msToFirstEnd()), this.#given.signal);
      }
    }
    this.#batchSize = LARGEST_BATCH;
    this.#isSending = false;
  }

  /** Those of one kind, the oldest first. */
  #nextBatch(): Waiting[] {
    const isRelease = this.#waiting[0]?.results.length === 0;
    return this.#waiting.filter(({ results }) => (results.length === 0) === isRelease).slice(0, this.#batchSize);
  }

  /** One report that the centre finds fault with refuses its whole call: the others go one by one, it is given up. */
  #setApart(batch: Waiting[]): void {
    this.#batchSize = 1;
    const [only, ...others] = batch;
    if (only !== undefined && others.length === 0) this.#finish(only, 'INVALID_PARAM');
  }

  async #send(batch: Waiting[]): Promise<void> {
    const isRelease = batch[0]?.results.length === 0;
    const leaseIds = batch.map(({ leaseId }) => leaseId);
    const leases = batch.map(({ leaseId, results }) => ({ leaseId, results }));
    const signal = this.#given.signal;
    const { data } = isRelease
      ? await this.#caller.postForm('release.do', { leaseIds: JSON.stringify(leaseIds) }, { signal })
      : await this.#caller.postForm('settle.do', { leases: JSON.stringify(leases) }, { signal });
    const codes = codesIn(data['leases']);
    for (const one of batch) this.#finish(one, codes.get(one.leaseId) ?? 'UNKNOWN');
  }

  #finish(one: Waiting, code: string): void {
    this.#waiting = this.#waiting.filter((other) => other !== one);
    const isDone = code === 'OK' || (code === 'UNKNOWN' && one.maybeDone);
    if (!isDone) this.#lose(one, code);
    one.resolve();
  }

  #lose({ eventId, leaseId, results }: EndedLease, code: string): void {
    if (results.length > 0) this.#lost += 1;
    this.#log.warn('lease.lost', { eventId, leaseId, code, results: results.length });
  }

  /** A lease that is over must not keep its place until the next repeat. */
  #msToFirstEnd(): number {
    return Math.max(0, Math.min(...this.#waiting.map(({ deadline }) => deadline)) - Date.now());
  }

  #dropOverdue(): void {
    const now = Date.now();
    const isOver = ({ deadline }: EndedLease): boolean => deadline <= now || this.#given.signal.aborted;
    for (const one of this.#waiting.filter(isOver)) this.#finish(one, 'EXPIRED');
  }

  #noteFailure(error: unknown, batch: Waiting[]): void {
    const problem = sentenceOf(error);
    if (problem !== this.#problem) this.#log.warn('settle.failed', { error: problem, leases: batch.length });
    this.#problem = problem;
    if (error instanceof UnavailableError) for (const one of batch) one.maybeDone = true;
  }
}

function isMisfit(error: unknown): boolean {
  return error instanceof RefusedError && error.code === 'INVALID_PARAM';
}

function codesIn(leases: unknown): Map<string, string> {
  const codes = new Map<string, string>();
  if (!Array.isArray(leases)) return codes;
  for (const one of leases as { leaseId?: unknown; code?: unknown }[]) {
    if (typeof one.leaseId === 'string' && typeof one.code === 'string') codes.set(one.leaseId, one.code);
  }
  return codes;
}
