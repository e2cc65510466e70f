import { sleep, type Sleep } from '../periodic.js';
import type { Clock, Log, Metrics } from '../ports.js';

export interface StoreOutageDeps {
  /** Prefix of log lines and incidents, such as `journal`. */
  name: string;
  /** Cheap, and rejects while the store is away. */
  probe: () => Promise<void>;
  /** Called when the store goes away, and when it is back. */
  onAway: () => void;
  onBack: () => void;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  sleep?: Sleep;
}

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 5_000;
/** Without an outage for this long, the next one is probed quickly again. */
const CALM_MS = 30_000;

/** The time during which the store does not answer: told by whoever finds out, ended by a probe with backoff. */
export class StoreOutage {
  readonly #deps: StoreOutageDeps;
  readonly #stop = new AbortController();
  #since: number | null = null;
  #lastEnd = -Infinity;
  #waitMs = FIRST_WAIT_MS;
  #probing: Promise<void> = Promise.resolve();

  constructor(deps: StoreOutageDeps) {
    this.#deps = deps;
  }

  /** Since when the store has been away; null while it is there. */
  get since(): number | null {
    return this.#since;
  }

  /** The store did not answer. Telling it again changes nothing. */
  begin(error: unknown): void {
    if (this.#since !== null || this.#stop.signal.aborted) return;
    const { name, clock, log, metrics, onAway } = this.#deps;
    this.#since = clock.now();
    // A store that answers the probe and nothing else must not make us spin.
    if (this.#since - this.#lastEnd > CALM_MS) this.#waitMs = FIRST_WAIT_MS;
    metrics.incident(`${name}.store-away`);
    log.warn(`${name}.paused`, { error });
    onAway();
    this.#probing = this.#probe();
  }

  /** Ends probing. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#probing;
  }

  async #probe(): Promise<void> {
    const { name, probe, clock, log, onBack } = this.#deps;
    const { signal } = this.#stop;
    for (;;) {
      await (this.#deps.sleep ?? sleep)(this.#waitMs * (0.5 + Math.random() / 2), signal);
      this.#waitMs = Math.min(2 * this.#waitMs, LONGEST_WAIT_MS);
      if (signal.aborted) return;
      try {
        await probe();
        break;
      } catch {
        // Still away; what began it is in the log.
      }
    }
    this.#lastEnd = clock.now();
    log.info(`${name}.resumed`, { awayMs: this.#lastEnd - (this.#since ?? this.#lastEnd) });
    this.#since = null;
    onBack();
  }
}
