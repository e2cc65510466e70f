import { setMaxListeners } from 'node:events';
import { AssuredPublisher } from './assured-publish.js';
import { ByteBudget } from './byte-budget.js';
import { CallGate } from './call-gate.js';
import type { ChainRunDeps } from './chain-run.js';
import { CircuitBreaker } from './circuit-breaker.js';
import { Deliverer } from './deliver.js';
import type { EventMessage, ListenerKind } from '../model.js';
import { lanePlans, type LanePlan } from './lane-plans.js';
import { NodeLane } from './node-lane.js';
import { OutcomeBatches } from './outcome-batches.js';
import { sleep } from '../periodic.js';
import type {
  Broker,
  ClaimStore,
  Clock,
  ListenerCaller,
  Log,
  Metrics,
  ParkedStore,
  Received,
  Settlement,
} from '../ports.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';

export interface WorkerDeps {
  /** Which queues are served; `url` unless it is said. */
  kind?: ListenerKind;
  broker: Pick<Broker, 'consumeNode' | 'depth' | 'publishToNode' | 'publishOutcomes' | 'publishEvent'>;
  registry: RegistryView;
  claims: ClaimStore;
  parked: Pick<ParkedStore, 'park'>;
  caller: ListenerCaller;
  /** Told when a listener has failed for good, before that is recorded. */
  compensate?: ChainRunDeps['compensate'];
  /** Disables a listener that answered `410 Gone`. */
  disableListener(listenerId: string): Promise<void>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  options: WorkerOptions;
}

/** Configuration, section `delivery`. */
export interface WorkerOptions {
  retryDelaysMs: number[];
  breakerThreshold: number;
  breakerProbeMs: number;
  maxBufferedBytes: number;
  maxHoldMs: number;
  /** Messages taken from a node's queue beyond those being called; 96 by default. */
  prefetchSlack?: number;
  /** How long the broker alone is asked to confirm a successor or an outcome, before the store is asked to keep it. */
  patienceMs?: number;
}

interface Hand {
  lane: NodeLane;
  bytes: number;
  settle: (settlement: Settlement) => void;
}

const OPERATIONS_AT_A_TIME = 32;
const LOOK_INTERVAL_MS = 1_000;
const LOOKS_PER_RETIRED_LOOK = 60;
const CLOSE_TIMEOUT_MS = 5_000;
const DEFAULT_PATIENCE_MS = 10_000;
/** So that a call's place is not held while its outcome is confirmed. */
const DEFAULT_PREFETCH_SLACK = 96;

/**
 * Delivers: one consumer per node that has url listeners, each with its own concurrency and rate, so that a slow node
 * holds nobody else. Follows the registry by `onSnapshot`.
 */
export class Worker {
  readonly #deps: WorkerDeps;
  readonly #kind: ListenerKind;
  readonly #breaker: CircuitBreaker;
  readonly #outcomes: OutcomeBatches;
  readonly #deliverer: Deliverer;
  readonly #operations: CallGate;
  readonly #lanes = new Map<string, NodeLane>();
  readonly #closing = new Set<Promise<void>>();
  readonly #hands = new Set<Hand>();
  readonly #budget: ByteBudget<NodeLane>;
  readonly #graceOver = new AbortController();
  #snapshot: RegistrySnapshot | null = null;
  #stuck = false;
  #timer: NodeJS.Timeout | null = null;
  #looks = 0;
  #stopped: Promise<void> | null = null;
  #idle: (() => void) | null = null;

  constructor(deps: WorkerDeps) {
    const { broker, clock, log, metrics, options } = deps;
    this.#deps = deps;
    this.#kind = deps.kind ?? 'url';
    setMaxListeners(0, this.#graceOver.signal);
    this.#breaker = new CircuitBreaker({ clock, threshold: options.breakerThreshold, probeMs: options.breakerProbeMs });
    const publisher = new AssuredPublisher({
      broker,
      parked: deps.parked,
      clock,
      log,
      metrics,
      patienceMs: options.patienceMs ?? DEFAULT_PATIENCE_MS,
      onStuck: (stuck) => this.#onStuck(stuck),
      signal: this.#graceOver.signal,
    });
    this.#outcomes = new OutcomeBatches({
      publish: (outcomes, giveUpAt) => publisher.outcomes(outcomes, giveUpAt),
      lingerMs: 8,
      maxOutcomes: 200,
      maxCharacters: 256 * 1024,
    });
    this.#deliverer = new Deliverer({
      ...deps,
      kind: this.#kind,
      breaker: this.#breaker,
      publisher,
      outcomes: this.#outcomes,
      defaultDelaysMs: options.retryDelaysMs,
      maxHoldMs: options.maxHoldMs,
      signal: this.#graceOver.signal,
      disableListener: shared((listenerId) => deps.disableListener(listenerId)),
    });
    this.#operations = new CallGate(clock, { concurrency: OPERATIONS_AT_A_TIME, ratePerSecond: null });
    this.#budget = new ByteBudget(options.maxBufferedBytes);
  }

  /** Begins to deliver; before, snapshots are only remembered. */
  start(): void {
    if (this.#timer !== null || this.#stopped !== null) return;
    this.#timer = setInterval(() => this.#look(), LOOK_INTERVAL_MS);
    if (this.#snapshot !== null) this.#follow(this.#snapshot);
  }

  /** Takes over a new registry: nodes that came or went, were disabled or enabled, or changed their limits. */
  onSnapshot(snapshot: RegistrySnapshot): void {
    this.#snapshot = snapshot;
    this.#breaker.retain((listenerId) => snapshot.listener(listenerId) !== null);
    if (this.#timer !== null && this.#stopped === null) this.#follow(snapshot);
  }

  /**
   * Takes nothing more, lets running calls end for up to `graceMs`, and gives the rest back. Stopping twice waits for
   * the first. Never rejects.
   */
  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#stop(graceMs);
    return this.#stopped;
  }

  /** Circuits that are open in this worker. */
  openCircuits(): number {
    return this.#breaker.openCount();
  }

  isCircuitOpen(listenerId: string): boolean {
    return this.#breaker.isOpen(listenerId);
  }

  /** Messages and bytes in hand. */
  inHand(): { messages: number; bytes: number } {
    return { messages: this.#hands.size, bytes: this.#budget.total };
  }

  /** Whether messages are held because neither broker nor store takes what follows from them. */
  isStuck(): boolean {
    return this.#stuck;
  }

  #follow(snapshot: RegistrySnapshot): void {
    const plans = lanePlans(snapshot, this.#kind);
    for (const [nodeCode, plan] of plans) {
      const lane = this.#lanes.get(nodeCode);
      if (lane === undefined) this.#open(nodeCode, plan);
      else lane.setPlan(plan);
    }
    for (const [nodeCode, lane] of this.#lanes) {
      if (plans.has(nodeCode)) continue;
      this.#lanes.delete(nodeCode);
      const closed = this.#close(lane).finally(() => this.#closing.delete(closed));
      this.#closing.add(closed);
    }
  }

  #open(nodeCode: string, plan: LanePlan): void {
    const lane = new NodeLane(nodeCode, plan, {
      kind: this.#kind,
      broker: this.#deps.broker,
      prefetchSlack: this.#deps.options.prefetchSlack ?? DEFAULT_PREFETCH_SLACK,
      operations: this.#operations,
      handler: (owner) => (received) => this.#take(owner, received),
      clock: this.#deps.clock,
      log: this.#deps.log,
    });
    if (this.#stuck) lane.pause('nowhere-to-go');
    this.#lanes.set(nodeCode, lane);
    lane.start();
  }

  #take(lane: NodeLane, received: Received<EventMessage>): Promise<Settlement> {
    return new Promise((resolve) => {
      const hand: Hand = { lane, bytes: received.bytes, settle: resolve };
      this.#hands.add(hand);
      for (const holder of this.#budget.take(lane, hand.bytes)) holder.pause('bytes');
      void this.#deliverer.deliver(received, lane).then(async (settlement) => {
        // A disabled node's messages must not come again before its consumer is paused.
        if (settlement === 'requeue') await lane.arrived();
        this.#release(hand, settlement);
      });
    });
  }

  #release(hand: Hand, settlement: Settlement): void {
    if (!this.#hands.delete(hand)) return;
    hand.settle(settlement);
    for (const holder of this.#budget.give(hand.lane, hand.bytes)) holder.resume('bytes');
    if (this.#hands.size === 0) this.#idle?.();
  }

  #onStuck(stuck: boolean): void {
    this.#stuck = stuck;
    this.#deps.metrics.incident(stuck ? 'worker.stuck' : 'worker.unstuck');
    this.#deps.log.warn(stuck ? 'worker.stuck' : 'worker.unstuck', { messages: this.#hands.size });
    for (const lane of this.#lanes.values()) {
      if (stuck) lane.pause('nowhere-to-go');
      else lane.resume('nowhere-to-go');
    }
  }

  #look(): void {
    this.#looks += 1;
    const retiredToo = this.#looks % LOOKS_PER_RETIRED_LOOK === 0;
    for (const lane of this.#lanes.values()) {
      lane.gate.expire();
      if (retiredToo) lane.look();
    }
  }

  async #stop(graceMs: number): Promise<void> {
    const deadline = new AbortController();
    const grace = sleep(graceMs, deadline.signal);
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#deliverer.beginStop();
    const lanes = [...this.#lanes.values()];
    const quiesced = Promise.allSettled(lanes.map((lane) => lane.quiesce()));
    await Promise.race([Promise.all([quiesced, this.#handsEmpty()]), grace]);
    deadline.abort();
    this.#graceOver.abort();
    for (const hand of this.#hands) this.#release(hand, 'requeue');
    await within(CLOSE_TIMEOUT_MS, Promise.allSettled([...lanes.map((lane) => this.#close(lane)), ...this.#closing]));
    this.#lanes.clear();
    await within(CLOSE_TIMEOUT_MS, this.#outcomes.flush());
  }

  async #close(lane: NodeLane): Promise<void> {
    try {
      await lane.close();
    } catch (error) {
      this.#deps.log.warn('node-queue.not-left', { nodeCode: lane.nodeCode, error });
    }
  }

  #handsEmpty(): Promise<void> {
    if (this.#hands.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle = resolve;
    });
  }
}

/** Calls for the same listener that come while one runs share it. */
function shared(work: (listenerId: string) => Promise<void>): (listenerId: string) => Promise<void> {
  const running = new Map<string, Promise<void>>();
  return (listenerId) => {
    let present = running.get(listenerId);
    if (present === undefined) {
      present = work(listenerId).finally(() => running.delete(listenerId));
      running.set(listenerId, present);
    }
    return present;
  };
}

/** Waits for `work`, but not longer than `ms`; does not reject. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  const finished = work.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([finished, sleep(ms, done.signal)]);
  done.abort();
}
