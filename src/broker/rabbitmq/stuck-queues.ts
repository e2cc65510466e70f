import type { Log, Metrics } from '../../core/ports.js';
import { forEachLimited } from '../for-each-limited.js';
import { messageOf, pause } from '../within.js';

const CHECK_EVERY_MS = 10_000;
const CHECKS_AT_A_TIME = 4;
/** So long must every check of a queue fail before it is given up; an election takes seconds. */
const STUCK_AFTER_MS = 60_000;
const STUCK_AFTER_CHECKS = 3;

export interface StuckQueuesDeps {
  /** Resolves when the queue confirms a message. */
  probe: (queue: string) => Promise<void>;
  /** Resolves when a queue of the centre's own confirms a message: the broker itself is well. */
  probeOwn: () => Promise<void>;
  /** Whether publishing is possible at all. */
  connected: () => boolean;
  /** Node queues that take events of a type. */
  boundTo: (eventTypeId: string) => string[];
  /** Deletes the queue and declares it anew. */
  recreate: (queue: string) => Promise<void>;
  log: Log;
  metrics: Metrics | null;
}

/**
 * Finds queues of nodes and delay steps that have lost their leader for good. Such a queue can still be declared, but confirms nothing, and
 * whoever sends an event to it waits in vain. A queue is suspected when a publish or a consumer has failed, and deleted
 * and declared anew when it confirmed nothing for a minute while the broker was well; the sweeper refills it
 * (architecture, "Measured on RabbitMQ"). Seen on 3.10.8: declaring and a passive check answer as ever, with no messages;
 * consuming and publishing wait for ever; deleting takes 5 s and may close the connection.
 */
export class StuckQueues {
  readonly #deps: StuckQueuesDeps;
  readonly #stopping = new AbortController();
  readonly #types = new Set<string>();
  readonly #queues = new Map<string, { since: number; checks: number }>();
  #checking: Promise<void> | null = null;

  constructor(deps: StuckQueuesDeps) {
    this.#deps = deps;
  }

  suspectQueue(queue: string): void {
    if (!this.#queues.has(queue)) this.#queues.set(queue, { since: performance.now(), checks: 0 });
    this.#check();
  }

  /** Any queue that takes events of this type. Cheap, because it comes once per refused event. */
  suspectQueuesOf(eventTypeId: string): void {
    this.#types.add(eventTypeId);
    this.#check();
  }

  /** Queues that did not confirm a probe since they were suspected. */
  unconfirmed(): string[] {
    return [...this.#queues].filter(([, { checks }]) => checks > 0).map(([queue]) => queue);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#checking;
  }

  #check(): void {
    this.#checking ??= this.#checkAll().finally(() => {
      this.#checking = null;
    });
  }

  async #checkAll(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted && this.#types.size + this.#queues.size > 0) {
      await pause(CHECK_EVERY_MS, signal);
      await this.#checkRound();
    }
  }

  async #checkRound(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#namesOfTypes();
    if (!this.#deps.connected()) {
      // Nothing is known about any of them; whoever fails again is suspected again.
      this.#queues.clear();
      return;
    }
    // Without a majority nothing confirms, and deleting would destroy what comes back with it.
    if (!(await this.#brokerIsWell())) return;
    await forEachLimited([...this.#queues.keys()], CHECKS_AT_A_TIME, (queue) => this.#checkOne(queue));
  }

  #namesOfTypes(): void {
    for (const id of this.#types) {
      for (const queue of this.#deps.boundTo(id)) {
        if (!this.#queues.has(queue)) this.#queues.set(queue, { since: performance.now(), checks: 0 });
      }
    }
    this.#types.clear();
  }

  async #checkOne(queue: string): Promise<void> {
    const { probe, log } = this.#deps;
    const suspicion = this.#queues.get(queue);
    if (suspicion === undefined) return;
    try {
      await probe(queue);
      this.#queues.delete(queue);
      return;
    } catch (error) {
      suspicion.checks += 1;
      log.warn('broker.queue.stuck', { queue, checks: suspicion.checks, error: messageOf(error) });
    }
    if (suspicion.checks < STUCK_AFTER_CHECKS || performance.now() - suspicion.since < STUCK_AFTER_MS) return;
    if (await this.#brokerIsWell()) await this.#recreate(queue);
  }

  #brokerIsWell(): Promise<boolean> {
    return this.#deps.probeOwn().then(
      () => true,
      () => false,
    );
  }

  async #recreate(queue: string): Promise<void> {
    this.#queues.delete(queue);
    this.#deps.log.error('broker.queue.recreated', { queue });
    this.#deps.metrics?.incident('broker-queue-recreated');
    try {
      await this.#deps.recreate(queue);
    } catch (error) {
      this.#deps.log.error('broker.queue.recreate.failed', { queue, error: messageOf(error) });
      this.suspectQueue(queue);
    }
  }
}
