import { EventCenterError } from '../../src/core/errors.js';
import { LeaseDesk, type LeaseRequest } from '../../src/core/leasing/lease-desk.js';
import type { EventMessage, RegistryData } from '../../src/core/model.js';
import type { BrokerStatus, EndedLease, Lease, LeaseFound, LeaseStore, Received } from '../../src/core/ports.js';
import type { RegistrySnapshot } from '../../src/core/registry/registry.js';
import {
  FakeBroker,
  FakeClaims,
  FakeParked,
  ManualClock,
  Recorder,
  received,
  type FakeSubscription,
} from './delivery-fakes.js';
import { aListener, aSnapshot } from './registry-fixtures.js';
import { until } from './until.js';

type Kept = { lease: Lease; state: 'leased' | 'released' | 'expired'; takenUntil: number };

/** The store of leases in memory, as its contract says. */
class FakeLeases implements LeaseStore {
  readonly kept = new Map<string, Kept>();
  away = false;

  async keep(leases: Lease[]): Promise<Set<string>> {
    this.#pass();
    const steps = new Set([...this.kept.values()].map(({ lease }) => stepOf(lease)));
    const fresh = leases.filter((lease) => !steps.has(stepOf(lease)));
    for (const lease of fresh) this.kept.set(lease.leaseId, { lease, state: 'leased', takenUntil: 0 });
    return new Set(fresh.map(({ leaseId }) => leaseId));
  }

  async take(
    { nodeCode, leaseIds }: { nodeCode: string; leaseIds: string[] },
    { now, until: takenUntil }: { now: number; until: number },
  ): Promise<LeaseFound[]> {
    this.#pass();
    return leaseIds.map((leaseId): LeaseFound => {
      const found = this.#find(leaseId, nodeCode, now);
      if (typeof found === 'string') return { found };
      found.takenUntil = takenUntil;
      return { found: 'taken', lease: found.lease };
    });
  }

  async remove(leaseIds: string[]): Promise<void> {
    this.#pass();
    for (const leaseId of leaseIds) this.kept.delete(leaseId);
  }

  async putBack(leaseIds: string[]): Promise<void> {
    this.#pass();
    for (const leaseId of leaseIds) (this.kept.get(leaseId) as Kept).takenUntil = 0;
  }

  async giveBack(leaseIds: string[]): Promise<void> {
    this.#pass();
    for (const leaseId of leaseIds) Object.assign(this.kept.get(leaseId) as Kept, { state: 'released', takenUntil: 0 });
  }

  async release({ nodeCode, leaseIds }: { nodeCode: string; leaseIds: string[] }, now: number) {
    this.#pass();
    return leaseIds.map((leaseId) => {
      const found = this.#find(leaseId, nodeCode, now);
      if (typeof found === 'string') return found === 'busy' ? 'unknown' : found;
      found.state = 'released';
      return 'taken';
    });
  }

  publishEnded(_now: number, _limit: number, _publish: (ended: EndedLease) => Promise<void>): Promise<number> {
    return Promise.reject(new Error('not for the desk'));
  }

  states(): string[] {
    return [...this.kept.values()].map(({ state, takenUntil }) => (takenUntil > 0 ? 'taken' : state));
  }

  #find(leaseId: string, nodeCode: string, now: number): Kept | 'unknown' | 'busy' | 'expired' {
    const kept = this.kept.get(leaseId);
    if (kept === undefined || kept.lease.nodeCode !== nodeCode || kept.state === 'released') return 'unknown';
    if (kept.takenUntil > now) return 'busy';
    return kept.lease.leasedUntil <= now ? 'expired' : kept;
  }

  #pass(): void {
    if (this.away) throw new EventCenterError('UNAVAILABLE', 'the store is away');
  }
}

function stepOf({ nodeCode, message, successor }: Lease): string {
  return [message.event.eventId, nodeCode, successor.generation, successor.sequence].join(' ');
}

class LeasingBroker extends FakeBroker {
  problem: string | null = null;

  status(): BrokerStatus {
    return { ready: this.problem === null, blocked: false, problem: this.problem, unconfirmedQueues: [] };
  }
}

/** A plugin listener of node `A`. */
export function aPlugin(id: string, over: Parameters<typeof aListener>[1] = {}) {
  return aListener(id, { url: null, implClassName: `com.example.${id}`, ...over });
}

/** A desk over fakes; node `A` has the plugins `L1`, `L2` and `L3` unless something else is registered. */
export class LeaseSetting {
  readonly clock = new ManualClock();
  readonly recorder = new Recorder();
  readonly broker = new LeasingBroker();
  readonly claims = new FakeClaims();
  readonly parked = new FakeParked();
  readonly leases = new FakeLeases();
  readonly desk: LeaseDesk;
  storeProblem: string | null = null;
  snapshot: RegistrySnapshot;

  constructor(parts: Partial<RegistryData> = {}) {
    this.snapshot = aSnapshot({ listeners: [1, 2, 3].map((n) => aPlugin(`L${n}`, { operIndex: n })), ...parts });
    this.desk = new LeaseDesk({
      broker: this.broker,
      registry: {
        current: () => this.snapshot,
        atLeast: () => Promise.resolve(this.snapshot),
        forVersion: () => Promise.resolve(this.snapshot),
        refreshed: () => Promise.resolve(this.snapshot),
      },
      parked: this.parked,
      claims: { claimAll: (requests) => Promise.all(requests.map((request) => this.claims.claim(request))) },
      leases: this.leases,
      storeProblem: () => this.storeProblem,
      clock: this.clock,
      log: this.recorder,
      metrics: this.recorder,
      defaultDelaysMs: [1_000, 2_000],
    });
  }

  register(parts: Partial<RegistryData>): void {
    this.snapshot = aSnapshot({ version: this.snapshot.version + 1, ...parts });
    this.desk.onSnapshot();
  }

  ask(over: Partial<LeaseRequest> = {}, signal = new AbortController().signal) {
    return this.desk.lease({ nodeCode: 'A', max: 10, waitMs: 5_000, leaseMs: null, ...over }, signal);
  }

  consumer(): Promise<FakeSubscription> {
    return until('the queue is taken from', () => {
      const consumer = this.broker.consumer('A');
      return consumer !== undefined && !consumer.paused ? consumer : null;
    });
  }

  /** Asks and gives one message, which must be leased. */
  async leaseOne(message: EventMessage, over: Partial<Received<EventMessage>> = {}) {
    const asked = this.ask({ max: 1 });
    const settlement = (await this.consumer()).give(received(message, over));
    const [leased] = await asked;
    expect(await settlement).toBe('ack');
    return leased!;
  }
}
