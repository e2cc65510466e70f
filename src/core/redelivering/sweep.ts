import { hasCode } from '../errors.js';
import { isOverdue, isUnsettled } from './generation.js';
import { kindOf } from '../registry/listener-kind.js';
import type { ListenerKind } from '../model.js';
import { eachOf, Periodic, type TaskResult } from '../periodic.js';
import type { Broker, ChainKey, Clock, Log, Metrics, RedeliveryStore } from '../ports.js';
import type { Redelivery } from './redelivery.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';

export interface SweeperDeps {
  store: Pick<RedeliveryStore, 'overdueNodes' | 'overdueChains'>;
  redelivery: Pick<Redelivery, 'raise'>;
  broker: Pick<Broker, 'depth'>;
  registry: RegistryView;
  /** Whether the journal of this process knows that it is behind; then nothing can be judged. */
  isBehind: () => boolean;
  log: Log;
  metrics: Metrics;
  clock: Clock;
  intervalMs: number;
  /** Longer than a message is ever held unacked, and than a delay queue is ever late. */
  graceMs: number;
}

/** Chains per node and run. */
const CHAINS_PER_NODE = 200;
/** Chains per run, over all nodes. */
const CHAINS_PER_RUN = 1_000;
const AT_A_TIME = 4;

/**
 * Publishes again, under a new generation, what no confirm can cover: chains whose message is gone with a deleted
 * queue, or never came because a binding was missing for a moment.
 *
 * A chain is swept when its node is enabled, nothing was recorded or expected of it since a moment that is a grace ago,
 * and at that moment the queues of its node and of the journal were seen empty, and are empty now. Why that never sweeps
 * a backlog: at that moment no message of the chain was waiting in the queue; if a worker held one, it has settled it
 * since, because the grace is longer than the longest hold; and every settlement leaves a record, or a message in one
 * of these queues. A worker that crashed meanwhile can make this wrong; then a call may be repeated, and the older
 * message finds itself stale. Several workers may sweep: each chain is judged again under its lock.
 *
 * What belongs to a deleted node or listener is closed as `cancelled`.
 */
export class Sweeper {
  readonly #deps: SweeperDeps;
  readonly #loop: Periodic;
  readonly #emptiness: Emptiness;

  constructor(deps: SweeperDeps) {
    this.#deps = deps;
    this.#emptiness = new Emptiness(deps.graceMs);
    this.#loop = new Periodic({
      name: 'sweep',
      intervalMs: deps.intervalMs,
      log: deps.log,
      task: (signal) => this.sweep(signal),
    });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One run. */
  async sweep(signal: AbortSignal): Promise<TaskResult> {
    const { store, registry, clock, graceMs, isBehind } = this.#deps;
    const snapshot = registry.current();
    await this.#observe(snapshot, signal);
    if (isBehind()) return 'idle';
    let left = CHAINS_PER_RUN;
    for (const nodeCode of await store.overdueNodes(clock.now() - graceMs)) {
      if (signal.aborted || left <= 0) break;
      const before = this.#judgedBefore(snapshot, nodeCode);
      if (before === null) continue;
      const chains = await store.overdueChains(nodeCode, before, Math.min(left, CHAINS_PER_NODE));
      left -= chains.length;
      await eachOf(chains, { width: AT_A_TIME, signal }, (chain) => this.#sweepChain(chain, before, snapshot));
    }
    return 'idle';
  }

  /** Chains of the node without a sign of life since this time are lost; null when none may be judged now. */
  #judgedBefore(snapshot: RegistrySnapshot, nodeCode: string): number | null {
    const now = this.#deps.clock.now();
    const node = snapshot.node(nodeCode);
    if (node === null) return now - this.#deps.graceMs;
    return node.enabled ? this.#emptiness.emptyBefore(nodeCode, now) : null;
  }

  /**
   * Looks at the queues of every enabled node; both kinds count as one, because a delivery does not say its kind. What
   * nobody has recorded yet, in whichever process, counts as waiting for every node.
   */
  async #observe(snapshot: RegistrySnapshot, signal: AbortSignal): Promise<void> {
    const { broker, clock } = this.#deps;
    const seenAt = clock.now();
    const unrecorded =
      ((await broker.depth({ kind: 'journal' })) ?? 0) + ((await broker.depth({ kind: 'outcomes' })) ?? 0);
    const kinds = new Map<string, Set<ListenerKind>>();
    for (const listener of snapshot.data.listeners) {
      const known = kinds.get(listener.nodeCode) ?? new Set();
      kinds.set(listener.nodeCode, known.add(kindOf(listener)));
    }
    const enabled = snapshot.data.nodes.filter((node) => node.enabled);
    this.#emptiness.retain(new Set(enabled.map((node) => node.nodeCode)));
    await eachOf(enabled, { width: AT_A_TIME, signal }, async ({ nodeCode }) => {
      let waiting = unrecorded;
      for (const kind of kinds.get(nodeCode) ?? []) waiting += (await broker.depth({ kind, nodeCode })) ?? 0;
      this.#emptiness.saw(nodeCode, waiting === 0, seenAt);
    });
  }

  async #sweepChain(key: ChainKey, before: number, snapshot: RegistrySnapshot): Promise<void> {
    const { redelivery, metrics, log } = this.#deps;
    let swept: string[] = [];
    try {
      const changed = await redelivery.raise(key, snapshot, (chain) => {
        const lost = isOverdue(chain, before) ? chain.deliveries.filter(isUnsettled) : [];
        swept = lost.map((delivery) => delivery.listenerId);
        return lost;
      });
      if (!changed) return;
      metrics.incident('delivery.swept');
      log.warn('delivery.swept', { ...key, listenerIds: swept });
    } catch (error) {
      // One chain that cannot be swept must not hold back the others, an outage should.
      if (hasCode(error, 'UNAVAILABLE')) throw error;
      metrics.incident('delivery.not-swept');
      log.error('delivery.not-swept', { ...key, error });
    }
  }
}

/** When the queues of each node were seen empty, as far back as it matters. */
class Emptiness {
  readonly #graceMs: number;
  /** Per node: whether it is empty now, and when it was seen so, ascending; the first is the newest of a grace ago. */
  readonly #seen = new Map<string, { now: boolean; at: number[] }>();

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  saw(nodeCode: string, empty: boolean, at: number): void {
    const seen = this.#seen.get(nodeCode) ?? { now: empty, at: [] };
    this.#seen.set(nodeCode, seen);
    seen.now = empty;
    const last = seen.at.at(-1);
    // A sixteenth of the grace apart is near enough, and keeps the list short whatever the interval is.
    if (empty && (last === undefined || at - last >= this.#graceMs / 16)) seen.at.push(at);
    while ((seen.at[1] ?? Infinity) <= at - this.#graceMs) seen.at.shift();
  }

  /** The newest moment at least a grace before `now` at which the node's queues were empty, if they are so now. */
  emptyBefore(nodeCode: string, now: number): number | null {
    const seen = this.#seen.get(nodeCode);
    const oldest = seen?.at[0];
    if (seen === undefined || !seen.now || oldest === undefined || oldest > now - this.#graceMs) return null;
    return oldest;
  }

  retain(nodeCodes: Set<string>): void {
    for (const nodeCode of this.#seen.keys()) if (!nodeCodes.has(nodeCode)) this.#seen.delete(nodeCode);
  }
}
