import { EventCenterError } from '../../src/core/errors.js';
import type { EventMessage, Outcome } from '../../src/core/model.js';
import type {
  Broker,
  ConsumeOptions,
  DeadMessage,
  EventOrigin,
  Handler,
  JournalBatch,
  JournalStore,
  NodeQueue,
  QueueRef,
  Received,
  RejectedEntry,
  Subscription,
} from '../../src/core/ports.js';

/** A queue in memory that gives out again what comes back. */
class MemoryQueue<T> {
  readonly acked: T[] = [];
  readonly dead: { message: T; reason: string }[] = [];
  paused = false;
  #ready: Received<T>[] = [];
  #inHand = 0;
  #consumer: { handler: Handler<T>; prefetch: number } | null = null;
  #count = 0;

  get depth(): number {
    return this.#ready.length;
  }

  get inHand(): number {
    return this.#inHand;
  }

  put(message: T, bytes = 100): void {
    this.#count += 1;
    this.#ready.push({ message, messageId: `m${this.#count}`, redelivered: false, bytes });
    this.#deliver();
  }

  consume(options: ConsumeOptions, handler: Handler<T>): Promise<Subscription> {
    this.#consumer = { handler, prefetch: options.prefetch };
    this.#deliver();
    const set = (paused: boolean) => () => {
      this.paused = paused;
      this.#deliver();
      return Promise.resolve();
    };
    const stop = (): Promise<void> => {
      this.#consumer = null;
      return Promise.resolve();
    };
    return Promise.resolve({ pause: set(true), resume: set(false), stop });
  }

  #deliver(): void {
    const consumer = this.#consumer;
    while (consumer !== null && !this.paused && this.#inHand < consumer.prefetch) {
      const received = this.#ready.shift();
      if (received === undefined) return;
      this.#inHand += 1;
      void this.#hand(consumer.handler, received);
    }
  }

  async #hand(handler: Handler<T>, received: Received<T>): Promise<void> {
    const settlement = await handler(received);
    this.#inHand -= 1;
    if (settlement === 'ack') this.acked.push(received.message);
    else if (settlement === 'requeue') this.#ready.unshift({ ...received, redelivered: true });
    else this.dead.push({ message: received.message, reason: settlement.dead });
    setImmediate(() => {
      this.#deliver();
    });
  }
}

/** The queues that recording takes from, and the node queues that the dead queue is emptied into. */
export class JournalQueues implements Pick<
  Broker,
  'consumeJournal' | 'consumeOutcomes' | 'consumeDead' | 'depth' | 'publishToNode'
> {
  readonly journal = new MemoryQueue<EventMessage>();
  readonly outcomes = new MemoryQueue<Outcome[]>();
  readonly deadOnes = new MemoryQueue<DeadMessage>();
  /** Node codes whose queues exist. */
  readonly nodeQueues = new Set<string>();
  readonly sent: { queue: NodeQueue; message: EventMessage }[] = [];
  publisherAway = false;

  consumeJournal(options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    return this.journal.consume(options, handler);
  }

  consumeOutcomes(options: ConsumeOptions, handler: Handler<Outcome[]>): Promise<Subscription> {
    return this.outcomes.consume(options, handler);
  }

  consumeDead(options: ConsumeOptions, handler: Handler<DeadMessage>): Promise<Subscription> {
    return this.deadOnes.consume(options, handler);
  }

  depth(queue: QueueRef): Promise<number | null> {
    if (queue.kind === 'journal') return Promise.resolve(this.journal.depth);
    if (queue.kind === 'outcomes') return Promise.resolve(this.outcomes.depth);
    return Promise.resolve('nodeCode' in queue && this.nodeQueues.has(queue.nodeCode) ? 0 : null);
  }

  publishToNode(queue: NodeQueue, message: EventMessage): Promise<void> {
    if (this.publisherAway) return Promise.reject(new EventCenterError('UNAVAILABLE', 'not confirmed'));
    this.sent.push({ queue, message });
    return Promise.resolve();
  }
}

/** A journal store that remembers, and is away, slow or choosy at will. */
export class FakeJournalStore implements JournalStore {
  readonly committed: JournalBatch[] = [];
  readonly unreadable = new Map<string, string>();
  readonly failedDead: { eventId: string; nodeCode: string; reason: string }[] = [];
  /** What `failDeadLettered` gives. */
  deadLettered: Outcome[] = [];
  /** Event ids of each query for their origins. */
  readonly originQueries: string[][] = [];
  /** Batches that were begun and not ended. */
  writing: JournalBatch[] = [];
  away = false;
  /** Awaited in each transaction. */
  beforeCommit: () => Promise<void> = () => Promise.resolve();
  /** Event and outcome ids that are refused. */
  readonly refused = new Set<string>();

  async record(batch: JournalBatch): Promise<RejectedEntry[]> {
    this.writing.push(batch);
    try {
      await this.beforeCommit();
      await this.probe();
    } finally {
      this.writing = this.writing.filter((one) => one !== batch);
    }
    this.committed.push(batch);
    const reason = 'too long';
    return [
      ...batch.events
        .filter(({ event }) => this.refused.has(event.eventId))
        .map(({ event }): RejectedEntry => ({ entry: { kind: 'event', eventId: event.eventId }, reason })),
      ...batch.outcomes
        .filter(({ outcomeId }) => this.refused.has(outcomeId))
        .map(({ outcomeId }): RejectedEntry => ({ entry: { kind: 'outcome', outcomeId }, reason })),
    ];
  }

  async recordUnreadable(failure: { id: string; reason: string }): Promise<void> {
    await this.probe();
    this.unreadable.set(failure.id, failure.reason);
  }

  async failDeadLettered(dead: { message: EventMessage; nodeCode: string; reason: string }): Promise<Outcome[]> {
    await this.probe();
    const { message, nodeCode, reason } = dead;
    this.failedDead.push({ eventId: message.event.eventId, nodeCode, reason });
    return this.deadLettered;
  }

  async originsOf(eventIds: string[]): Promise<EventOrigin[]> {
    await this.probe();
    this.originQueries.push(eventIds);
    const recorded = this.committed.flatMap(({ events }) => events.map(({ event }) => event));
    return recorded.filter(({ eventId }) => eventIds.includes(eventId));
  }

  probe(): Promise<void> {
    if (this.away) return Promise.reject(new EventCenterError('UNAVAILABLE', 'the database is away'));
    return Promise.resolve();
  }

  get events(): string[] {
    return this.committed.flatMap(({ events }) => events.map(({ event }) => event.eventId));
  }

  get outcomeIds(): string[] {
    return this.committed.flatMap(({ outcomes }) => outcomes.map(({ outcomeId }) => outcomeId));
  }
}
