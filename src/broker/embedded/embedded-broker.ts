import { join } from 'node:path';
import { EventCenterError } from '../../core/errors.js';
import { uuidV7 } from '../../core/ids.js';
import type { Event, EventMessage, Outcome } from '../../core/model.js';
import type {
  Broker,
  BrokerStatus,
  Clock,
  ConsumeOptions,
  DeadMessage,
  Handler,
  Log,
  Metrics,
  NodeQueue,
  QueueRef,
  Settlement,
  Subscription,
  Topology,
} from '../../core/ports.js';
import { decodeDead, encodeDead } from '../dead-format.js';
import { forEachLimited } from '../for-each-limited.js';
import { HandlerFailures } from '../hand-over.js';
import {
  decodeEvent,
  decodeOutcomes,
  encodeEvent,
  encodeOutcomes,
  type Decoded,
  type WireMessage,
} from '../message-format.js';
import { namesUnder, type Names } from '../names.js';
import { ReadyGate } from '../ready-gate.js';
import { VersionListeners } from '../version-listeners.js';
import { messageOf, within } from '../within.js';
import { DelayedMessages } from './delayed-messages.js';
import type { EmbeddedQueue, Taken } from './embedded-queue.js';
import { EmbeddedSubscription } from './embedded-subscription.js';
import { GroupCommit } from './group-commit.js';
import { QueueFile } from './queue-file.js';
import { QueueSet } from './queue-set.js';

const STOP_TIMEOUT_MS = 30_000;
/** As on RabbitMQ: a message that comes back from its consumers this often goes to the dead queue. */
const NODE_DELIVERY_LIMIT = 1000;

export interface EmbeddedBrokerOptions {
  /** Folder of `broker.sqlite`. */
  dataDir: string;
  prefix: string;
  clock: Clock;
  log: Log;
  metrics: Metrics | null;
}

/** What there is while the file is open. */
interface Opened {
  file: QueueFile;
  commits: GroupCommit;
  queues: QueueSet;
  delayed: DelayedMessages;
}

/**
 * The broker port on one SQLite file, for a start without any server: the same promises as RabbitMQ, within one process.
 * A publish resolves after the transaction that holds it is on disk.
 */
export class EmbeddedBroker implements Broker {
  readonly #options: EmbeddedBrokerOptions;
  readonly #names: Names;
  readonly #gate = new ReadyGate();
  readonly #subscriptions = new Set<Subscription>();
  readonly #versionListeners: VersionListeners;
  #opened: Opened | null = null;

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options;
    this.#names = namesUnder(options.prefix);
    this.#versionListeners = new VersionListeners(options.log);
  }

  /** Opens the file. @throws CONFIG_INVALID when another process holds it, UNAVAILABLE when it cannot be used. */
  start(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#opened === null) this.#open();
      resolve();
    });
  }

  async stop(): Promise<void> {
    this.#gate.close();
    const stopped = forEachLimited([...this.#subscriptions], Infinity, (subscription) => subscription.stop());
    await within(STOP_TIMEOUT_MS, 'stopping the consumers', stopped).catch((error: unknown) => {
      this.#options.log.warn('broker.stop.cut_short', { error: messageOf(error) });
    });
    const opened = this.#opened;
    if (opened === null) return;
    this.#opened = null;
    opened.delayed.stop();
    opened.commits.close();
    opened.queues.close();
    opened.file.close();
  }

  status(): BrokerStatus {
    const problem = this.#opened?.commits.problem ?? null;
    return {
      ready: this.#gate.isOpen && problem === null,
      blocked: problem?.full ?? false,
      problem: this.#opened === null ? 'the embedded broker is not started' : (problem?.sentence ?? null),
      unconfirmedQueues: [],
    };
  }

  waitUntilReady(timeoutMs: number): Promise<void> {
    return this.#gate.wait(timeoutMs, () => this.status().problem);
  }

  async ensureTopology({ nodeQueues }: Topology): Promise<void> {
    const { queues } = this.#started();
    const wanted = nodeQueues.map((queue) => ({ name: this.#names.node(queue), eventTypeIds: queue.eventTypeIds }));
    await this.#writing(() => {
      queues.ensure(wanted);
    });
  }

  async unbind(queue: NodeQueue, eventTypeId: string): Promise<void> {
    const { queues } = this.#started();
    await this.#writing(() => {
      queues.unbind(this.#names.node(queue), eventTypeId);
    });
  }

  /** `false` also while somebody consumes it. */
  async deleteNodeQueue(queue: NodeQueue): Promise<boolean> {
    const { queues, commits } = this.#started();
    // What handlers have just settled is still on its way to the file.
    commits.flush();
    return this.#writing(() => queues.deleteIdle(this.#names.node(queue)));
  }

  depth(ref: QueueRef): Promise<number | null> {
    return this.#writing(() => this.#started().queues.find(this.#names.queue(ref))?.ready ?? null);
  }

  publishEvent(message: EventMessage): Promise<void> {
    const wire = encodeEvent(message);
    const { eventTypeId } = message.event;
    return this.#publish(wire, ({ queues }) => [this.#own(queues, 'journal'), ...queues.boundTo(eventTypeId)]);
  }

  publishToJournal(event: Event): Promise<void> {
    const wire = encodeEvent({ event, chain: null, claimSteps: false });
    return this.#publish(wire, ({ queues }) => [this.#own(queues, 'journal')]);
  }

  publishToNode(queue: NodeQueue, message: EventMessage, delayMs: number): Promise<void> {
    const name = this.#names.node(queue);
    const wire = encodeEvent(message);
    const newMessage = { messageId: uuidV7(), wire };
    return this.#write(({ delayed }) =>
      delayMs > 0 ? delayed.insert(name, newMessage, delayMs) : this.#deliver(name, newMessage),
    );
  }

  publishOutcomes(outcomes: Outcome[]): Promise<void> {
    return this.#publish(encodeOutcomes(outcomes), ({ queues }) => [this.#own(queues, 'outcomes')]);
  }

  consumeNode(queue: NodeQueue, options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    return this.#consume(this.#names.node(queue), options, { handler, decode: decodeEvent });
  }

  consumeJournal(options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    return this.#consume(this.#names.journal, options, { handler, decode: decodeEvent });
  }

  consumeOutcomes(options: ConsumeOptions, handler: Handler<Outcome[]>): Promise<Subscription> {
    return this.#consume(this.#names.outcomes, options, { handler, decode: decodeOutcomes });
  }

  consumeDead(options: ConsumeOptions, handler: Handler<DeadMessage>): Promise<Subscription> {
    const unknown = { reason: 'it does not say', queue: null };
    const decode = (wire: WireMessage): Decoded<DeadMessage> => ({ ok: true, message: decodeDead(wire, unknown) });
    return this.#consume(this.#names.dead, options, { handler, decode });
  }

  announceVersion(version: number): Promise<void> {
    setImmediate(() => {
      this.#versionListeners.tell(version);
    });
    return Promise.resolve();
  }

  onVersionAnnounced(listener: (version: number) => void): void {
    this.#versionListeners.add(listener);
  }

  #open(): void {
    const { dataDir, log, metrics, clock } = this.#options;
    const file = new QueueFile(join(dataDir, 'broker.sqlite'));
    const commits = new GroupCommit(file, { log, metrics });
    const queues = new QueueSet(file, (error) => {
      commits.troubled(error);
    });
    const { journal, outcomes, dead } = this.#names;
    queues.ensure([journal, outcomes, dead].map((name) => ({ name, eventTypeIds: [] })));
    const delayed = new DelayedMessages({
      file,
      commits,
      clock,
      deliver: (queue, message) => this.#deliver(queue, message),
    });
    this.#opened = { file, commits, queues, delayed };
    delayed.start();
    this.#gate.open();
  }

  #started(): Opened {
    if (this.#opened === null) throw new EventCenterError('UNAVAILABLE', 'the embedded broker is not started');
    return this.#opened;
  }

  #own(queues: QueueSet, which: 'journal' | 'outcomes' | 'dead'): EmbeddedQueue {
    const queue = queues.find(this.#names[which]);
    if (queue === null) throw new EventCenterError('INTERNAL', `the embedded broker has lost its queue ${which}`);
    return queue;
  }

  /** Runs something small on the file outside of the gathered writes, and tells its failure as the port's error. */
  async #writing<T>(work: () => T): Promise<T> {
    const { commits } = this.#started();
    await Promise.resolve();
    try {
      return work();
    } catch (error) {
      if (error instanceof EventCenterError) throw error;
      commits.troubled(error);
      throw new EventCenterError('UNAVAILABLE', `the embedded broker cannot write: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  #publish(wire: WireMessage, queuesOf: (opened: Opened) => EmbeddedQueue[]): Promise<void> {
    const message = { messageId: uuidV7(), wire };
    return this.#write((opened) => {
      const queues = queuesOf(opened);
      for (const queue of queues) opened.file.insert(queue.id, message);
      return () => {
        for (const queue of queues) queue.added();
      };
    });
  }

  /** Gathers a write; `apply` runs in the transaction and returns what to do once it is on disk. */
  #write(apply: (opened: Opened) => () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const opened = this.#started();
      let afterCommit = (): void => undefined;
      opened.commits.add({
        apply: () => {
          afterCommit = apply(opened);
        },
        committed: () => {
          afterCommit();
          resolve();
        },
        failed: reject,
      });
    });
  }

  /** Puts a message into a node's queue, or into the dead queue when there is none; inside the transaction. */
  #deliver(name: string, message: { messageId: string; wire: WireMessage }): () => void {
    const { queues, file } = this.#started();
    const queue = queues.find(name);
    const target = queue ?? this.#own(queues, 'dead');
    const death = { reason: `there is no queue ${name}`, queue: name };
    file.insert(target.id, queue === null ? { ...message, wire: encodeDead(message.wire, death) } : message);
    return () => {
      target.added();
    };
  }

  async #consume<T>(
    name: string,
    { prefetch }: ConsumeOptions,
    { handler, decode }: { handler: Handler<T>; decode: (wire: WireMessage) => Decoded<T> },
  ): Promise<Subscription> {
    const { queues } = this.#started();
    await this.#writing(() => {
      queues.ensure([{ name, eventTypeIds: [] }]);
    });
    const queue = queues.find(name);
    if (queue === null) throw new EventCenterError('INTERNAL', `the queue ${name} was not made`);
    const subscription = new EmbeddedSubscription<T>({
      queue,
      prefetch,
      handler,
      failures: name === this.#names.dead ? null : new HandlerFailures(),
      decode,
      settle: (taken, settlement) => {
        this.#settle(queue, taken, settlement);
      },
      onStopped: () => this.#subscriptions.delete(subscription),
      log: this.#options.log,
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  #settle(queue: EmbeddedQueue, taken: Taken, settlement: Settlement): void {
    // Handed out again after the next start.
    if (this.#opened === null) return;
    const { id } = taken.stored;
    if (settlement !== 'requeue') {
      this.#remove(queue, taken, settlement === 'ack' ? null : settlement.dead);
      return;
    }
    const isNodeQueue = ![this.#names.journal, this.#names.outcomes, this.#names.dead].includes(queue.name);
    const times = queue.giveBack(id);
    if (isNodeQueue && times >= NODE_DELIVERY_LIMIT && queue.takeBack(id)) {
      this.#remove(queue, taken, `the broker took it out of the queue ${queue.name}: delivery_limit`);
    }
  }

  /** Removes a settled message, to the dead queue when `deadReason` is given. Tried again until it is on disk. */
  #remove(queue: EmbeddedQueue, { stored }: Taken, deadReason: string | null): void {
    const { commits, file, queues } = this.#started();
    const dead = this.#own(queues, 'dead');
    if (deadReason !== null) this.#options.metrics?.incident('broker-message-dead');
    commits.add({
      apply: () => {
        file.delete(stored.id);
        if (deadReason === null) return;
        const wire = encodeDead(stored.wire, { reason: deadReason, queue: queue.name });
        file.insert(dead.id, { messageId: stored.messageId ?? uuidV7(), wire });
      },
      committed: () => {
        queue.removed(stored.id);
        if (deadReason !== null) dead.added();
      },
    });
  }
}
