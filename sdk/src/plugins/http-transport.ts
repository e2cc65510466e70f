import { delayBeforeRepeat, waitMs as wait } from '../client/backoff.js';
import { InvalidOptionError, UnavailableError } from '../errors.js';
import { lease, type LeasedEvent } from './lease-call.js';
import { runLeased } from './run-leased.js';
import { sentenceOf } from './sentence.js';
import { Settlements } from './settlements.js';
import type { PluginTransport, TransportHost, TransportStatus } from './transport.js';

/** Times in milliseconds. */
export interface HttpTransportOptions {
  /** Most events of one call, 1 to 100; 10 by default. Never more than the host has free places. */
  batchSize?: number | undefined;
  /** How long a call waits for the first event, 0 to 30000; 20000 by default. */
  waitMs?: number | undefined;
  /**
   * How long an event is this host's, 1000 to 3600000; by default the centre's, the sum of the time-outs and 30 s. An
   * event of a host that died comes again after it. It must be longer than the longest time-out of a plugin.
   */
  leaseMs?: number | undefined;
  /** Pause after a call that brought nothing, about; 100 by default. */
  idleRetryMs?: number | undefined;
}

/**
 * Takes a node's events by signed HTTP calls (protocol page, section 5): it needs only the node's key, and works with
 * every broker. Right across trust borders; inside, the transport of `@event-center/sdk/amqp` is faster.
 */
export function httpTransport(options: HttpTransportOptions = {}): PluginTransport {
  return new HttpTransport(options);
}

const DEFAULTS = { batchSize: 10, waitMs: 20_000, idleRetryMs: 100 };
const REPEAT = { maxAttempts: Infinity, retryDelayMs: 250, maxRetryDelayMs: 15_000 };
/** After its grace a host has so long to report and to give back. */
const LAST_REPORTS_MS = 5_000;

class HttpTransport implements PluginTransport {
  readonly #batchSize: number;
  readonly #waitMs: number;
  readonly #leaseMs: number | null;
  readonly #idleRetryMs: number;
  readonly #stopping = new AbortController();
  readonly #inHand = new Set<Promise<void>>();
  #host: TransportHost | null = null;
  #settlements: Settlements | null = null;
  #taking: Promise<void> = Promise.resolve();
  #connected = false;
  #problem: string | null = null;
  #placeFreed: () => void = () => undefined;

  constructor(options: HttpTransportOptions) {
    const { batchSize, waitMs, leaseMs, idleRetryMs } = options;
    this.#batchSize = whole('batchSize', batchSize ?? DEFAULTS.batchSize, [1, 100]);
    this.#waitMs = whole('waitMs', waitMs ?? DEFAULTS.waitMs, [0, 30_000]);
    this.#leaseMs = leaseMs === undefined ? null : whole('leaseMs', leaseMs, [1_000, 3_600_000]);
    this.#idleRetryMs = whole('idleRetryMs', idleRetryMs ?? DEFAULTS.idleRetryMs, [0, 60_000]);
  }

  async start(host: TransportHost): Promise<void> {
    if (this.#host !== null) throw new InvalidOptionError('transport', 'belongs to a host already, each needs its own');
    this.#host = host;
    // The registrations have just been read; a call that waits for events says nothing for a while.
    this.#connected = true;
    this.#settlements = new Settlements(host.caller, host.log);
    this.#taking = this.#take(host, this.#settlements);
  }

  async stop(graceMs: number): Promise<void> {
    const host = this.#host;
    this.#stopping.abort();
    this.#placeFreed();
    await this.#taking;
    await withinMs(graceMs, this.#allDone());
    host?.runner.interrupt();
    await withinMs(LAST_REPORTS_MS, this.#allDone());
    this.#settlements?.giveUp();
    await this.#allDone();
    this.#connected = false;
  }

  status(): TransportStatus {
    return {
      connected: this.#connected,
      problem: this.#problem ?? this.#settlements?.problem ?? null,
      inHand: this.#inHand.size,
      lostLeases: this.#settlements?.lost ?? 0,
    };
  }

  /** Takes events until it is stopped, never more than there are free places. */
  async #take(host: TransportHost, settlements: Settlements): Promise<void> {
    const { signal } = this.#stopping;
    for (let failed = 0; !signal.aborted;) {
      const free = host.concurrency - this.#inHand.size;
      if (free <= 0) {
        await this.#aPlace();
        continue;
      }
      try {
        const max = Math.min(this.#batchSize, free);
        // The first call after a failure does not wait, so that the end of an outage shows at once.
        const waitMs = failed === 0 ? this.#waitMs : 0;
        const events = await lease(host.caller, { max, waitMs, leaseMs: this.#leaseMs, signal });
        this.#noteSuccess(host);
        failed = 0;
        for (const leased of events) this.#hold(host, this.#handle(leased, host, settlements));
        if (events.length === 0) await wait(this.#idleRetryMs * (0.5 + Math.random()), signal);
      } catch (error) {
        if (this.#isStopping()) break;
        failed += 1;
        this.#noteFailure(host, error);
        const retryAfterMs = error instanceof UnavailableError ? error.retryAfterMs : null;
        await wait(delayBeforeRepeat(Math.min(failed, 10), REPEAT, retryAfterMs), signal);
      }
    }
  }

  #isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #handle(leased: LeasedEvent, host: TransportHost, settlements: Settlements): Promise<void> {
    const { leaseId, deadline, event } = leased;
    const { results, tooLong } = await runLeased(leased, host.runner);
    if (tooLong !== null && results.length === 0) await this.#refuse(host, leased, tooLong.timeoutMs);
    await settlements.end({ leaseId, eventId: event.eventId, deadline, results });
  }

  /** A place is kept for a while, or the event would come and go without end. */
  async #refuse(host: TransportHost, { event, deadline }: LeasedEvent, timeoutMs: number): Promise<void> {
    const leftMs = deadline - Date.now();
    host.log.error('lease.too_short', { eventId: event.eventId, leftMs, timeoutMs });
    await wait(Math.max(0, Math.min(leftMs - 1_000, REPEAT.maxRetryDelayMs)), this.#stopping.signal);
  }

  #hold(host: TransportHost, handling: Promise<void>): void {
    const held = handling
      .catch((error: unknown) => host.log.error('lease.unreadable', { error: sentenceOf(error) }))
      .finally(() => {
        this.#inHand.delete(held);
        this.#placeFreed();
      });
    this.#inHand.add(held);
  }

  #aPlace(): Promise<void> {
    return new Promise((resolve) => {
      this.#placeFreed = resolve;
    });
  }

  async #allDone(): Promise<void> {
    await Promise.allSettled([...this.#inHand]);
  }

  #noteSuccess(host: TransportHost): void {
    if (!this.#connected) host.log.info('lease.connected', { nodeCode: host.nodeCode });
    this.#connected = true;
    this.#problem = null;
  }

  #noteFailure(host: TransportHost, error: unknown): void {
    const problem = sentenceOf(error);
    if (problem !== this.#problem) host.log.warn('lease.failed', { nodeCode: host.nodeCode, error: problem });
    this.#connected = false;
    this.#problem = problem;
  }
}

function withinMs(ms: number, done: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void done.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function whole(name: string, value: number, [least, most]: [number, number]): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new InvalidOptionError(name, `expected a whole number, ${String(least)} to ${String(most)}`);
  }
  return value;
}
