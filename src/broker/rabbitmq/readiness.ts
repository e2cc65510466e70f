import type { Log } from '../../core/ports.js';
import { ReadyGate } from '../ready-gate.js';
import { backoffMs, messageOf, pause } from '../within.js';

const PROBE_RETRY_MS = 500;
const MAX_PROBE_RETRY_MS = 10_000;

export interface ReadinessDeps {
  /** How long newly declared queues rest. */
  settleMs: number;
  /** Publishes a message that a queue of ours must confirm. */
  probe: () => Promise<void>;
  /** Whether both connections are set up. */
  connected: () => boolean;
  log: Log;
}

/**
 * When the broker counts as ready: a probe was confirmed on the present connections, by queues that have rested long
 * enough. A queue declared less than about a second before a crash of the broker can come back wedged and without its
 * confirmed messages (architecture, measured).
 */
export class Readiness {
  readonly gate = new ReadyGate();
  readonly #deps: ReadinessDeps;
  readonly #stopping = new AbortController();
  /** When the own queues have rested long enough; null before their first declaration. */
  #settledAt: number | null = null;
  #safe = false;
  #probing: Promise<void> | null = null;

  constructor(deps: ReadinessDeps) {
    this.#deps = deps;
  }

  /** Whether publishing is safe: a probe was confirmed since the own queues were last created. */
  get safe(): boolean {
    return this.#safe;
  }

  /** The own queues are declared; `created` when one of them was not there before. */
  declared(created: boolean): void {
    if (created) {
      this.#safe = false;
      this.gate.shut();
    }
    if (created || this.#settledAt === null) this.#settledAt = performance.now() + (created ? this.#deps.settleMs : 0);
  }

  /** A connection is lost. */
  lost(): void {
    this.gate.shut();
  }

  /** Begins to probe, unless it already does. */
  probeSoon(): void {
    this.#probing ??= this.#probe().finally(() => {
      this.#probing = null;
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.gate.close();
    await this.#probing;
  }

  async #probe(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted && !this.gate.isOpen && this.#deps.connected()) {
      const restMs = (this.#settledAt ?? Infinity) - performance.now();
      if (restMs > 0) {
        await pause(Math.min(restMs, PROBE_RETRY_MS), signal);
        continue;
      }
      try {
        await this.#deps.probe();
        this.#safe = true;
        this.gate.open();
        this.#deps.log.info('broker.ready');
      } catch (error) {
        this.#deps.log.warn('broker.probe.failed', { error: messageOf(error) });
        await pause(backoffMs(failures, PROBE_RETRY_MS, MAX_PROBE_RETRY_MS), signal);
        failures += 1;
      }
    }
  }
}
