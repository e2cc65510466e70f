import type { Event } from '../model.js';
import { Periodic, type TaskResult } from '../periodic.js';
import type {
  Broker,
  Clock,
  EndedLease,
  LeaseStore,
  Log,
  Metrics,
  ParkedMessage,
  ParkedStore,
  ScheduledStore,
} from '../ports.js';
import type { RegistryView } from '../registry/registry.js';

export interface DueScannerDeps {
  scheduled: ScheduledStore;
  parked: Pick<ParkedStore, 'publishDue'>;
  leases: Pick<LeaseStore, 'publishEnded'>;
  broker: Pick<Broker, 'status' | 'publishEvent' | 'publishToNode' | 'publishOutcomes'>;
  registry: RegistryView;
  log: Log;
  metrics: Pick<Metrics, 'leases'>;
  clock: Clock;
  intervalMs: number;
}

/** Taken at a time: few enough that their locks are held shortly, and their payloads fit into memory. */
const BATCH = 20;

/**
 * Publishes what waited in the store for its time: scheduled events, messages that found no place in the broker, and
 * those whose lease ended without a report.
 * Several workers share the work. What is published is marked after its confirm, so a crash in between, or a broker
 * that is away, makes it come again later; claims let only one of two messages call a listener.
 */
export class DueScanner {
  readonly #deps: DueScannerDeps;
  readonly #loop: Periodic;

  constructor(deps: DueScannerDeps) {
    this.#deps = deps;
    this.#loop = new Periodic({
      name: 'due',
      intervalMs: deps.intervalMs,
      log: deps.log,
      task: () => this.scan(),
    });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One run: at most a batch of each; `more` when a batch was full. What is wrong with one does not hold back the other. */
  async scan(): Promise<TaskResult> {
    const { scheduled, parked, leases, broker, clock } = this.#deps;
    // Without a broker nothing would come of it but held locks.
    if (!broker.status().ready) return 'idle';
    const taken = await Promise.allSettled([
      scheduled.releaseDue(clock.now(), BATCH, (event) => this.#release(event)),
      parked.publishDue(clock.now(), BATCH, (message) => this.#unpark(message)),
      leases.publishEnded(clock.now(), BATCH, (ended) => this.#goOn(ended)),
    ]);
    for (const result of taken) if (result.status === 'rejected') throw result.reason;
    return taken.some((result) => result.status === 'fulfilled' && result.value === BATCH) ? 'more' : 'idle';
  }

  /** Who is owed a scheduled event is decided now, by the version of this moment (architecture, topology). */
  #release(event: Event): Promise<void> {
    const { broker, registry } = this.#deps;
    const registryVersion = Math.max(registry.current().version, event.registryVersion);
    return broker.publishEvent({ event: { ...event, registryVersion }, chain: null, claimSteps: true });
  }

  async #goOn({ leaseId, nodeCode, how, message }: EndedLease): Promise<void> {
    const { broker, metrics, log } = this.#deps;
    await broker.publishToNode({ kind: 'plugin', nodeCode }, message, 0);
    metrics.leases(how, 1);
    if (how === 'expired') log.warn('lease.expired', { leaseId, nodeCode, eventId: message.event.eventId });
  }

  #unpark(parked: ParkedMessage): Promise<void> {
    const { broker } = this.#deps;
    switch (parked.kind) {
      case 'successor':
        return broker.publishToNode(parked.queue, parked.message, 0);
      case 'outcomes':
        return broker.publishOutcomes(parked.outcomes);
      case 'event':
        return broker.publishEvent(parked.message);
    }
  }
}
