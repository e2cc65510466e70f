import { delayBeforeRepeat, waitMs } from '../client/backoff.js';
import type { SignedCaller } from '../client/signed-call.js';
import { RefusedError, UnavailableError } from '../errors.js';
import type { SdkLog } from '../log.js';
import { hostRegistrationsIn, type Registrations, type RegistrationsView } from './registrations.js';
import { sentenceOf } from './sentence.js';

const REPEAT = { maxAttempts: Infinity, retryDelayMs: 250, maxRetryDelayMs: 15_000 };
const NOT_MODIFIED = 304;

/** Reads the node's registrations and reads them again every `everyMs`. */
export class RegistrationWatch implements RegistrationsView {
  readonly #caller: SignedCaller;
  readonly #everyMs: number;
  readonly #log: SdkLog;
  readonly #stopping = new AbortController();
  readonly #listening = new Set<(registrations: Registrations) => void>();
  #known: Registrations | null = null;
  #etag: string | null = null;
  #refreshing: Promise<Registrations> | null = null;
  #watching: Promise<void> = Promise.resolve();
  #problem: string | null = null;

  constructor(caller: SignedCaller, { everyMs, log }: { everyMs: number; log: SdkLog }) {
    this.#caller = caller;
    this.#everyMs = everyMs;
    this.#log = log;
  }

  /** Why they could not be read the last time; null when they could. */
  get problem(): string | null {
    return this.#problem;
  }

  /** As last read, null before the first time. */
  get known(): Registrations | null {
    return this.#known;
  }

  current(): Registrations {
    if (this.#known === null) throw new Error('the registrations were not read yet');
    return this.#known;
  }

  onChange(changed: (registrations: Registrations) => void): () => void {
    this.#listening.add(changed);
    return () => this.#listening.delete(changed);
  }

  refresh(): Promise<Registrations> {
    this.#refreshing ??= this.#read().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /**
   * Reads them, as often as it takes while the centre is away, and then every `everyMs`.
   * @throws RefusedError when the centre says no; UnavailableError with the code `ABORTED` when it is stopped before.
   */
  async start(): Promise<void> {
    for (let failed = 1; this.#known === null; failed += 1) {
      try {
        await this.refresh();
      } catch (error) {
        if (!(error instanceof UnavailableError) || error.code === 'ABORTED') throw error;
        await waitMs(delayBeforeRepeat(Math.min(failed, 10), REPEAT, error.retryAfterMs), this.#stopping.signal);
      }
    }
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (await this.#isTime()) {
      // What it was is logged and stands in `problem`; what is known stays good until it can be read again.
      await this.refresh().catch(() => undefined);
    }
  }

  /** False once it is stopped. */
  async #isTime(): Promise<boolean> {
    await waitMs(this.#everyMs, this.#stopping.signal);
    return !this.#stopping.signal.aborted;
  }

  async #read(): Promise<Registrations> {
    try {
      const read = await this.#ask();
      this.#problem = null;
      if (read === null) return this.current();
      const isNew = this.#known?.version !== read.version;
      this.#known = read;
      if (isNew) for (const changed of this.#listening) changed(read);
      return read;
    } catch (error) {
      const problem = sentenceOf(error);
      const wasStopped = this.#stopping.signal.aborted;
      if (!wasStopped && problem !== this.#problem) this.#log.warn('registrations.unread', { error: problem });
      this.#problem = problem;
      throw error;
    }
  }

  /** Null when nothing is registered anew. */
  async #ask(): Promise<Registrations | null> {
    const headers = this.#etag === null || this.#known === null ? {} : { 'if-none-match': this.#etag };
    const { signal } = this.#stopping;
    try {
      const answer = await this.#caller.get(
        'eventinfo/index.do',
        { nodeCode: this.#caller.appId },
        { headers, signal },
      );
      const registrations = hostRegistrationsIn(answer);
      this.#etag = answer.headers['etag'] ?? null;
      return registrations;
    } catch (error) {
      if (error instanceof RefusedError && error.status === NOT_MODIFIED && this.#known !== null) return null;
      throw error;
    }
  }
}
