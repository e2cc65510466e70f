import { firstPosition } from '../delivering/chain.js';
import { EventCenterError, hasCode } from '../errors.js';
import { uuidV7 } from '../ids.js';
import { offerOf, type Offer } from './lease-offer.js';
import { LeaseQueue, type InHand } from './lease-queue.js';
import { refuseProblems, reportProblems, type LeaseReport } from './lease-report.js';
import { LeaseSettler, SETTLE_WITHIN_MS, type LeaseSettlerDeps } from './lease-settle.js';
import type { Event, EventMessage } from '../model.js';
import { sleep } from '../periodic.js';
import type { Broker, Claim, ClaimBatches, ClaimRequest, Lease, LeaseStore, Received, Settlement } from '../ports.js';
import type { RegistrySnapshot } from '../registry/registry.js';

export interface LeaseDeskDeps extends Omit<LeaseSettlerDeps, 'broker' | 'signal'> {
  broker: LeaseSettlerDeps['broker'] & Pick<Broker, 'status' | 'consumeNode' | 'depth'>;
  claims: ClaimBatches;
  leases: LeaseStore;
  /** One sentence on why the store cannot be used now; null when it can. */
  storeProblem: () => string | null;
}

export interface LeaseRequest {
  nodeCode: string;
  /** Most deliveries. */
  max: number;
  /** How long to wait for the first. */
  waitMs: number;
  /** How long each is leased; null is the time-outs of its listeners and a little more. */
  leaseMs: number | null;
}

/** An event that was leased, with what is to be run for it. */
export interface LeasedDelivery extends Pick<Offer, 'onExhausted' | 'listeners'> {
  leaseId: string;
  leasedUntil: number;
  event: Event;
}

/** `EXPIRED`: the event is others' by now. `UNKNOWN`: it was settled or released before, or never the node's. */
export type LeaseCode = 'OK' | 'EXPIRED' | 'UNKNOWN';

export const MAX_LEASE_MS = 3_600_000;
/** What a lease has by default beside the time-outs of its listeners. */
const LEASE_SLACK_MS = 30_000;
/** How long a call holds what it settles; a repeat after a crash waits for it. */
const TAKEN_MS = SETTLE_WITHIN_MS + 20_000;
/** How long a message is held while nobody knows who is owed it. */
const UNKNOWN_VERSION_MS = 30_000;
const GIVE_BACK_PAUSE_MS = 1_000;

interface Granting {
  item: InHand;
  lease: Lease;
  offer: Offer;
}

/**
 * Gives the events for plugins to the nodes' own processes, for a time, and takes their reports (protocol page,
 * section 5). A lease is kept in the store before its message is acked, so that any process can settle what another one
 * gave, and a crash loses nothing.
 */
export class LeaseDesk {
  readonly #deps: LeaseDeskDeps;
  readonly #settler: LeaseSettler;
  readonly #queues = new Map<string, LeaseQueue>();
  readonly #stop = new AbortController();

  constructor(deps: LeaseDeskDeps) {
    this.#deps = deps;
    this.#settler = new LeaseSettler({ ...deps, signal: this.#stop.signal });
  }

  /** To be called at each new registry. */
  onSnapshot(): void {
    for (const queue of this.#queues.values()) queue.look();
  }

  /**
   * Leases what waits for a node's plugins: at least one unless nothing came in time, the caller has gone, the node is
   * disabled or this process stops.
   * @throws UNAVAILABLE while broker or store do not answer; then nothing is leased.
   */
  async lease(request: LeaseRequest, gone: AbortSignal): Promise<LeasedDelivery[]> {
    const { clock } = this.#deps;
    const { nodeCode, max, waitMs } = request;
    const until = clock.now() + waitMs;
    this.#expectSurroundings();
    for (;;) {
      const items = await this.#queueOf(nodeCode).ask({ max, until, signal: gone });
      if (items.length === 0) break;
      const given = await this.#grant(request, items);
      if (given.length > 0) return given;
    }
    if (!this.#stop.signal.aborted && !gone.aborted) this.#expectSurroundings();
    return [];
  }

  /**
   * Takes the reports of leases; a report without results gives its lease back. When this resolves, everything that
   * follows is safe.
   * @param path where the reports stand in the call, for errors.
   * @throws INVALID_PARAM for a report that does not fit its lease, and UNAVAILABLE; what was not settled by then still can be.
   */
  async settle(nodeCode: string, reports: LeaseReport[], path: string): Promise<LeaseCode[]> {
    const { leases, clock } = this.#deps;
    const leaseIds = reports.map(({ leaseId }) => leaseId);
    const now = clock.now();
    const found = await leases.take({ nodeCode, leaseIds }, { now, until: now + TAKEN_MS });
    const taken = reports.flatMap((report, index) => {
      const one = found[index];
      return one?.found === 'taken' ? [{ report, lease: one.lease, path: `${path}[${String(index)}]` }] : [];
    });
    const problems = taken.flatMap((one) => reportProblems(one.report, one.lease, one.path));
    if (problems.length > 0) {
      await leases.putBack(taken.map(({ lease }) => lease.leaseId));
      refuseProblems(problems);
    }
    const codes = await this.#settleTaken(nodeCode, taken);
    if (found.some((one) => one.found === 'busy')) {
      throw new EventCenterError('UNAVAILABLE', 'another call is settling some of the leases, repeat this one', {
        retryAfterSeconds: 1,
      });
    }
    return reports.map(({ leaseId }, index) => codes.get(leaseId) ?? codeOf(found[index]?.found));
  }

  /** Gives leases back without an attempt. @throws UNAVAILABLE. */
  async release(nodeCode: string, leaseIds: string[]): Promise<LeaseCode[]> {
    const { leases, clock, log } = this.#deps;
    const found = await leases.release({ nodeCode, leaseIds }, clock.now());
    log.info('lease.released', { nodeCode, count: found.filter((one) => one === 'taken').length });
    return found.map((one) => (one === 'taken' ? 'OK' : codeOf(one)));
  }

  /** Answers all who wait, takes nothing more, and gives back what was not given. Leases live on. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#queues.values()].map((queue) => queue.stop()));
  }

  /** Asked first, so that no message is taken and given back again and again while it cannot be leased. */
  #expectSurroundings(): void {
    const { ready, problem } = this.#deps.broker.status();
    const away = ready ? null : `the broker is away: ${problem ?? 'not ready'}`;
    const reason = away ?? this.#deps.storeProblem();
    if (reason !== null) throw new EventCenterError('UNAVAILABLE', reason, { retryAfterSeconds: 1 });
  }

  #queueOf(nodeCode: string): LeaseQueue {
    let queue = this.#queues.get(nodeCode);
    if (queue === undefined) {
      queue = new LeaseQueue({ ...this.#deps, nodeCode, receive: (received) => this.#receive(nodeCode, received) });
      this.#queues.set(nodeCode, queue);
      // Asked for after the stop, it gives nothing.
      if (this.#stop.signal.aborted) void queue.stop();
    }
    return queue;
  }

  async #receive(
    nodeCode: string,
    received: Received<EventMessage>,
  ): Promise<Settlement | { snapshot: RegistrySnapshot }> {
    const { clock, log } = this.#deps;
    const { message } = received;
    const position = message.chain ?? firstPosition(nodeCode);
    if (position.nodeCode !== nodeCode) {
      return { dead: `the message is for node ${position.nodeCode} but came from the queue of node ${nodeCode}` };
    }
    const { arrivals } = this.#settler;
    const giveUpAt = clock.now() + UNKNOWN_VERSION_MS;
    try {
      const snapshot = await arrivals.snapshotFor(message, giveUpAt);
      const waited = await arrivals.untilDue({ message, position, snapshot, giveUpAt });
      return waited === 'due' ? { snapshot } : waited;
    } catch (error) {
      log[hasCode(error, 'UNAVAILABLE') ? 'warn' : 'error']('lease.given-back', {
        eventId: message.event.eventId,
        nodeCode,
        error,
      });
      await sleep(GIVE_BACK_PAUSE_MS, this.#stop.signal);
      return 'requeue';
    }
  }

  /** Every message in hand is settled when this ends; those whose lease was kept are given. */
  async #grant(request: LeaseRequest, items: InHand[]): Promise<LeasedDelivery[]> {
    const { nodeCode } = request;
    const { leases, claims, log, metrics } = this.#deps;
    try {
      const granted = await claims.claimAll(items.map((item) => claimRequest(nodeCode, item.received)));
      const granting: Granting[] = [];
      await Promise.all(
        items.map(async (item, index) => {
          const ready = await this.#prepare(request, item, granted[index] as Claim);
          if (ready !== null) granting.push(ready);
        }),
      );
      const kept = await leases.keep(granting.map(({ lease }) => lease));
      const given = granting.filter(({ lease }) => kept.has(lease.leaseId));
      for (const { item } of granting) item.settle('ack');
      if (given.length > 0) {
        metrics.leases('leased', given.length);
        log.info('lease.given', { nodeCode, count: given.length });
      }
      return given.map(({ lease, offer }) => ({
        ...{ leaseId: lease.leaseId, leasedUntil: lease.leasedUntil, event: lease.message.event },
        ...{ onExhausted: offer.onExhausted, listeners: offer.listeners },
      }));
    } catch (error) {
      // What was settled already stays so.
      await sleep(GIVE_BACK_PAUSE_MS, this.#stop.signal);
      for (const item of items) item.settle('requeue');
      throw error;
    }
  }

  /** The lease that a message is to have; null, and the message settled, when there is nothing to be run for it. */
  async #prepare({ nodeCode, leaseMs }: LeaseRequest, item: InHand, claim: Claim): Promise<Granting | null> {
    const { clock, registry, metrics } = this.#deps;
    const { message, messageId } = item.received;
    const { event } = message;
    if (claim.result !== 'granted') {
      metrics.incident(`claim.${claim.result}`);
      item.settle('ack');
      return null;
    }
    const position = message.chain ?? firstPosition(nodeCode);
    // It may have lain in hand while something was registered.
    const current = registry.current();
    const snapshot = current.version > item.snapshot.version ? current : item.snapshot;
    const delays = this.#settler.arrivals.delaysOf(snapshot);
    const offer = offerOf({ event, position }, { snapshot, settled: claim.settled, delays });
    if (offer === null) {
      item.settle(await this.#settler.conclude({ nodeCode, message, messageId, claim }));
      return null;
    }
    const leasedAt = clock.now();
    const timeoutsMs = offer.listeners.reduce((sum, { listener }) => sum + listener.timeoutMs, 0);
    const lease: Lease = {
      leaseId: uuidV7(),
      nodeCode,
      leasedAt,
      leasedUntil: leasedAt + (leaseMs ?? Math.min(timeoutsMs + LEASE_SLACK_MS, MAX_LEASE_MS)),
      message,
      messageId,
      listenerIds: offer.listeners.map(({ listener }) => listener.id),
      lastAttempts: offer.listeners.flatMap(({ listener, lastAttempt }) => (lastAttempt ? listener.id : [])),
      onExhausted: offer.onExhausted,
      successor: offer.successor,
    };
    return { item, lease, offer };
  }

  async #settleTaken(
    nodeCode: string,
    taken: { report: LeaseReport; lease: Lease }[],
  ): Promise<Map<string, LeaseCode>> {
    if (taken.length === 0) return new Map();
    const { leases, claims, clock, log, metrics } = this.#deps;
    const codes = new Map<string, LeaseCode>();
    const over: string[] = [];
    const givenBack: string[] = [];
    const open = new Map<string, unknown>();
    const requests = taken.map(({ lease }) => claimRequest(nodeCode, lease));
    const granted = await claims.claimAll(requests).catch(async (error: unknown) => {
      await leases.putBack(taken.map(({ lease }) => lease.leaseId));
      throw error;
    });
    await Promise.all(
      taken.map(async ({ report, lease }, index) => {
        const { leaseId } = lease;
        const claim = granted[index] as Claim;
        if (claim.result !== 'granted') {
          metrics.incident(`claim.${claim.result}`);
          codes.set(leaseId, 'EXPIRED');
          over.push(leaseId);
          return;
        }
        try {
          const end = await this.#settler.settle(lease, claim, report);
          (end === 'ack' ? over : givenBack).push(leaseId);
          codes.set(leaseId, 'OK');
        } catch (error) {
          open.set(leaseId, error);
        }
      }),
    );
    await leases.remove(over, clock.now());
    await leases.giveBack(givenBack, clock.now());
    const settled = over.filter((leaseId) => codes.get(leaseId) === 'OK').length;
    if (settled > 0) metrics.leases('settled', settled);
    log.info('lease.settled', { nodeCode, count: settled, givenBack: givenBack.length, open: open.size });
    for (const error of open.values()) {
      await leases.putBack([...open.keys()]);
      throw error;
    }
    return codes;
  }
}

function claimRequest(nodeCode: string, of: Pick<Lease, 'message' | 'messageId'>): ClaimRequest {
  const { generation, sequence } = of.message.chain ?? firstPosition(nodeCode);
  return { eventId: of.message.event.eventId, nodeCode, generation, sequence, messageId: of.messageId };
}

function codeOf(found: string | undefined): LeaseCode {
  return found === 'expired' ? 'EXPIRED' : 'UNKNOWN';
}
