import type { Broker, Clock, Log, NodeQueue, RegistryStore } from '../ports.js';
import type { RegistrySnapshot, RegistryView } from './registry.js';
import { delaySteps, obsoleteTopology, topologyOf } from './topology.js';

export interface ReconcilerDeps {
  broker: Broker;
  registry: RegistryView;
  store: RegistryStore;
  clock: Clock;
  log: Log;
  defaultDelaysMs: number[];
  /** Ended revisions are kept this long, because events of their versions may still be on their way. */
  keepRevisionsMs: number;
}

/** A queue or binding lives on this much longer than the longest delay after its last use. */
const TOPOLOGY_GRACE_MS = 10 * 60_000;

/**
 * Keeps what is declared in the broker equal to the registry. Every process declares what is missing, at each new
 * snapshot and regularly; the worker also removes what nobody needs any more, later than the longest delay step.
 */
export class Reconciler {
  readonly #deps: ReconcilerDeps;
  /** What was removed at `#removedAt`, a registry version. */
  readonly #removed = new Set<string>();
  #removedAt = -1;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /** Declares all that a snapshot needs; `again` also what this process has declared already. */
  async declare(snapshot: RegistrySnapshot, options: { again?: boolean } = {}): Promise<void> {
    const topology = topologyOf(snapshot.data, this.#deps.defaultDelaysMs);
    await this.#deps.broker.ensureTopology(topology, { ...options, whole: true });
  }

  /**
   * Declares what a listener will need, before it is registered: no process can then see the listener before its
   * binding exists.
   * @throws UNAVAILABLE when the broker does not answer; then nothing must be registered.
   */
  async prepare(need: { queue: NodeQueue; eventTypeId: string; delaysMs: number[] }): Promise<void> {
    const { queue, eventTypeId, delaysMs } = need;
    const topology = {
      nodeQueues: [{ ...queue, eventTypeIds: [eventTypeId] }],
      delaysMs: delaySteps(this.#deps.defaultDelaysMs, delaysMs),
    };
    // Another process may have removed what this one remembers to have declared.
    await this.#deps.broker.ensureTopology(topology, { again: true });
  }

  /** Removes bindings and empty queues that ended revisions left behind, and revisions that are too old to matter. */
  async removeObsolete(): Promise<void> {
    const { broker, registry, store, clock } = this.#deps;
    const { data } = await registry.refreshed();
    const now = clock.now();
    const longestDelayMs = Math.max(0, ...topologyOf(data, this.#deps.defaultDelaysMs).delaysMs);
    const cutoff = now - longestDelayMs - TOPOLOGY_GRACE_MS;
    const ended = data.revisions.filter((revision) => revision.closedAt !== null && revision.closedAt < cutoff);
    const obsolete = obsoleteTopology(data, ended);
    if (this.#removedAt !== data.version) this.#removed.clear();
    this.#removedAt = data.version;
    for (const binding of obsolete.bindings) {
      await this.#once(`binding ${binding.kind} ${binding.nodeCode} ${binding.eventTypeId}`, async () => {
        await broker.unbind(binding, binding.eventTypeId);
        return true;
      });
    }
    for (const queue of obsolete.queues) {
      await this.#once(`queue ${queue.kind} ${queue.nodeCode}`, () => broker.deleteNodeQueue(queue));
    }
    await store.pruneRevisions(now - this.#deps.keepRevisionsMs);
  }

  /** Skips what was already done at this registry version; `done` says whether it is finished. */
  async #once(key: string, done: () => Promise<boolean>): Promise<void> {
    if (this.#removed.has(key)) return;
    if (await done()) {
      this.#removed.add(key);
      this.#deps.log.info('topology.removed', { what: key });
    }
  }
}
