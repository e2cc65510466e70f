import { lanePlans } from '../delivering/lane-plans.js';
import { hasCode } from '../errors.js';
import { Periodic, type TaskResult } from '../periodic.js';
import type { Broker, Log } from '../ports.js';
import type { RegistryView } from '../registry/registry.js';
import type { LeaseDesk } from './lease-desk.js';

export interface RetiredQueuesDeps {
  desk: Pick<LeaseDesk, 'lease' | 'release'>;
  broker: Pick<Broker, 'depth'>;
  registry: RegistryView;
  log: Log;
  intervalMs?: number;
}

const INTERVAL_MS = 10_000;
const AT_A_TIME = 100;

/**
 * Empties the queues of nodes that have no plugins any more: their processes are gone with them, or the node is, and then
 * nobody asks for what is left. Asking for it here lets the desk close its deliveries, so that the queue can be removed.
 */
export class RetiredQueues {
  readonly #deps: RetiredQueuesDeps;
  readonly #loop: Periodic;

  constructor(deps: RetiredQueuesDeps) {
    this.#deps = deps;
    const { log, intervalMs = INTERVAL_MS } = deps;
    this.#loop = new Periodic({ name: 'retired-queues', intervalMs, log, task: (signal) => this.empty(signal) });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One run: what waits in each of them. */
  async empty(signal: AbortSignal): Promise<TaskResult> {
    const { registry, broker } = this.#deps;
    try {
      for (const [nodeCode, { retired, enabled }] of lanePlans(registry.current(), 'plugin')) {
        if (signal.aborted) break;
        if (retired && enabled && ((await broker.depth({ kind: 'plugin', nodeCode })) ?? 0) > 0) {
          await this.#empty(nodeCode, signal);
        }
      }
    } catch (error) {
      // Broker and store say themselves that they are away.
      if (!hasCode(error, 'UNAVAILABLE')) throw error;
    }
    return 'idle';
  }

  async #empty(nodeCode: string, signal: AbortSignal): Promise<void> {
    const { desk } = this.#deps;
    const given = await desk.lease({ nodeCode, max: AT_A_TIME, waitMs: 0, leaseMs: null }, signal);
    if (given.length === 0) return;
    // A plugin was registered in this moment: these are for its process.
    await desk.release(
      nodeCode,
      given.map(({ leaseId }) => leaseId),
    );
  }
}
