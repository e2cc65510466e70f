import { AssuredPublisher } from '../delivering/assured-publish.js';
import { Arrivals } from '../delivering/arrival.js';
import { CallGate } from '../delivering/call-gate.js';
import { ChainRun, type ChainRunDeps } from '../delivering/chain-run.js';
import { firstPosition } from '../delivering/chain.js';
import { CircuitBreaker } from '../delivering/circuit-breaker.js';
import { asLeased } from './as-leased.js';
import { reportedCaller, type LeaseReport } from './lease-report.js';
import { EventCenterError } from '../errors.js';
import type { DeliveryState, EventMessage } from '../model.js';
import { OutcomeBatches } from '../delivering/outcome-batches.js';
import type { Broker, Claim, Clock, Lease, ListenerCaller, Log, Metrics, ParkedStore, Settlement } from '../ports.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';

export interface LeaseSettlerDeps {
  broker: Pick<Broker, 'publishToNode' | 'publishOutcomes' | 'publishEvent'>;
  registry: RegistryView;
  parked: ParkedStore;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  defaultDelaysMs: number[];
  /** Aborted when this process ends. */
  signal: AbortSignal;
}

/** A message whose step is claimed. */
export interface ClaimedMessage {
  nodeCode: string;
  message: EventMessage;
  messageId: string;
  claim: Claim;
}

/** How long a caller waits at most until everything that follows from its report is safe. */
export const SETTLE_WITHIN_MS = 20_000;
const PATIENCE_MS = 2_000;
/** Over all calls: each waits for confirms, and what it holds is small. */
const RUNS_AT_A_TIME = 256;

/**
 * Lets the delivery engine draw the consequences of what a node's own process reports: outcomes, retries, failures,
 * and what comes next are those of any delivery; only the call itself was made elsewhere.
 */
export class LeaseSettler {
  readonly arrivals: Arrivals;
  readonly #deps: LeaseSettlerDeps;
  readonly #publisher: AssuredPublisher;
  readonly #outcomes: OutcomeBatches;
  readonly #breaker: CircuitBreaker;
  readonly #runs: CallGate;

  constructor(deps: LeaseSettlerDeps) {
    this.#deps = deps;
    const { clock } = deps;
    this.#publisher = new AssuredPublisher({ ...deps, patienceMs: PATIENCE_MS, onStuck: () => undefined });
    this.#outcomes = new OutcomeBatches({
      publish: (outcomes, giveUpAt) => this.#publisher.outcomes(outcomes, giveUpAt),
      lingerMs: 8,
      maxOutcomes: 200,
      maxCharacters: 256 * 1024,
    });
    this.arrivals = new Arrivals({ ...deps, kind: 'plugin', publisher: this.#publisher });
    // Nobody is called from here, so nobody can be out of reach.
    this.#breaker = new CircuitBreaker({ clock, threshold: Infinity, probeMs: 1_000 });
    this.#runs = new CallGate(clock, { concurrency: RUNS_AT_A_TIME, ratePerSecond: null });
  }

  /**
   * Draws the consequences of a report; `ack` when all of them are safe, `requeue` when the report had none.
   * @throws UNAVAILABLE when one of them found no safe place in time.
   */
  async settle(lease: Lease, claim: Claim, report: LeaseReport): Promise<Settlement> {
    const told = new Set(report.results.map(({ listenerId }) => listenerId));
    const end = await this.#run(
      { ...lease, claim: withoutOverruled(claim, report) },
      {
        caller: reportedCaller(report, lease, this.#deps.clock),
        mustHandOn: ({ id }) => !told.has(id),
        asCalled: asLeased(lease, told),
      },
    );
    if (end === null)
      throw new EventCenterError('UNAVAILABLE', 'too many reports wait for the broker, repeat this one');
    return end;
  }

  /** Decides what needs no call: listeners that were disabled, deleted or stopped. As `settle`. */
  async conclude(claimed: ClaimedMessage): Promise<Settlement> {
    return (await this.#run(claimed, { caller: nobody, mustHandOn: () => true })) ?? 'requeue';
  }

  /** Null when no place to run it became free in time. */
  async #run(
    of: ClaimedMessage,
    how: Pick<ChainRunDeps, 'caller' | 'mustHandOn' | 'asCalled'>,
  ): Promise<Settlement | null> {
    const { clock, registry } = this.#deps;
    const { message, messageId, claim } = of;
    const { event } = message;
    const position = message.chain ?? firstPosition(of.nodeCode);
    const receivedAt = clock.now();
    const giveUpAt = receivedAt + SETTLE_WITHIN_MS;
    const snapshot = await registry.forVersion(event.registryVersion);
    if (!(await this.#runs.enter(giveUpAt))) return null;
    try {
      const run = new ChainRun(
        { ...this.#runDeps(), ...how, claims: { claim: () => Promise.resolve(claim) } },
        { event, position, messageId, claimSteps: true, gate: this.#gate(), receivedAt, maxHoldMs: Infinity, giveUpAt },
        snapshot,
      );
      return await run.run();
    } finally {
      this.#runs.leave();
    }
  }

  #runDeps(): Omit<ChainRunDeps, 'caller' | 'claims' | 'mustHandOn' | 'asCalled'> {
    const { registry, clock, log, metrics } = this.#deps;
    return {
      ...{ kind: 'plugin', registry, clock, log, metrics },
      breaker: this.#breaker,
      publisher: this.#publisher,
      outcomes: this.#outcomes,
      disableListener: () => Promise.resolve(),
      delaysOf: (snapshot: RegistrySnapshot) => this.arrivals.delaysOf(snapshot),
      isOver: () => false,
    };
  }

  #gate(): CallGate {
    return new CallGate(this.#deps.clock, { concurrency: 1, ratePerSecond: null });
  }
}

/** A delivery that was cancelled while its plugin ran counts as succeeded when that was a success. */
function withoutOverruled(claim: Claim, { results }: LeaseReport): Claim {
  if (claim.result !== 'granted') return claim;
  const succeeded = new Set(results.flatMap(({ listenerId, success }) => (success ? listenerId : [])));
  const isOverruled = ([listenerId, state]: [string, DeliveryState]): boolean =>
    state === 'cancelled' && succeeded.has(listenerId);
  return { ...claim, settled: new Map([...claim.settled].filter((entry) => !isOverruled(entry))) };
}

const nobody: ListenerCaller = {
  call: () => Promise.reject(new Error('nobody is called from here')),
  close: () => Promise.resolve(),
};
