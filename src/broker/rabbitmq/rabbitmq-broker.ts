import type { ConsumeMessage } from 'amqplib';
import { EventCenterError } from '../../core/errors.js';
import type { Event, EventMessage, Outcome } from '../../core/model.js';
import type {
  Broker,
  BrokerStatus,
  ConsumeOptions,
  DeadMessage,
  EnsureOptions,
  Handler,
  NodeQueue,
  QueueRef,
  Subscription,
  Topology,
} from '../../core/ports.js';
import { decodeDead, encodeDead } from '../dead-format.js';
import { HandlerFailures } from '../hand-over.js';
import {
  decodeEvent,
  decodeOutcomes,
  encodeEvent,
  encodeOutcomes,
  type Decoded,
  type WireMessage,
} from '../message-format.js';
import type { Names } from '../names.js';
import { messageOf } from '../within.js';
import { userOf } from './connect.js';
import { Connections, outcomesUnder, type RabbitmqBrokerOptions } from './connections.js';
import { encodeAnnouncement } from './control.js';
import { deathOf } from './death.js';
import { closedWith } from './replies.js';
import { RabbitmqSubscription } from './subscription.js';
import { vouchedFor } from './vouched-outcomes.js';

/** The broker port on RabbitMQ 3.10 or newer, without plug-ins (architecture, "Topology on RabbitMQ"). */
export class RabbitmqBroker implements Broker {
  readonly #options: RabbitmqBrokerOptions;
  readonly #connections: Connections;
  readonly #names: Names;
  /** Whose outcomes may be about every node. */
  readonly #trustedUsers: ReadonlySet<string>;

  constructor(options: RabbitmqBrokerOptions) {
    this.#options = options;
    this.#trustedUsers = new Set([...options.addresses.map(userOf), ...options.trustedUsers]);
    this.#connections = new Connections(options);
    this.#names = this.#connections.names;
  }

  start(): Promise<void> {
    this.#connections.start();
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return this.#connections.stop();
  }

  status(): BrokerStatus {
    return this.#connections.status();
  }

  waitUntilReady(timeoutMs: number): Promise<void> {
    return this.#connections.waitUntilReady(timeoutMs);
  }

  ensureTopology(topology: Topology, options: EnsureOptions = {}): Promise<void> {
    return this.#connections.upkeep.ensure(topology, options).catch(unavailable);
  }

  async unbind(queue: NodeQueue, eventTypeId: string): Promise<void> {
    await this.#connections.upkeep.unbind(queue, eventTypeId).catch(unavailable);
  }

  deleteNodeQueue(queue: NodeQueue): Promise<boolean> {
    return this.#connections.upkeep.deleteNodeQueue(queue).catch(unavailable);
  }

  async depth(ref: QueueRef): Promise<number | null> {
    const name = this.#names.queue(ref);
    const channels = this.#connections.channels();
    try {
      const { messageCount } = await channels.run(`checking ${name}`, (channel) => channel.checkQueue(name));
      return messageCount;
    } catch (error) {
      return closedWith(error, 'NOT_FOUND') ? null : unavailable(error);
    }
  }

  async publishEvent(message: EventMessage): Promise<void> {
    const { eventTypeId } = message.event;
    try {
      await this.#connections.publish({ exchange: this.#names.events, routingKey: eventTypeId }, encodeEvent(message));
    } catch (error) {
      this.#connections.upkeep.suspectQueuesOf(eventTypeId);
      throw error;
    }
  }

  publishToJournal(event: Event): Promise<void> {
    const wire = encodeEvent({ event, chain: null, claimSteps: false });
    return this.#connections.publish({ exchange: '', routingKey: this.#names.journal }, wire);
  }

  async publishToNode(queue: NodeQueue, message: EventMessage, delayMs: number): Promise<void> {
    if (delayMs > 0) await this.#connections.upkeep.ensureDelay(delayMs).catch(unavailable);
    const routingKey = this.#names.node(queue);
    const exchange = delayMs > 0 ? this.#names.delay(delayMs) : this.#names.redeliver;
    try {
      await this.#connections.publish({ exchange, routingKey }, encodeEvent(message));
    } catch (error) {
      this.#connections.upkeep.suspectQueue(delayMs > 0 ? exchange : routingKey);
      throw error;
    }
  }

  publishOutcomes(outcomes: Outcome[]): Promise<void> {
    return this.#connections.publish(outcomesUnder(this.#names), encodeOutcomes(outcomes), { namesUser: true });
  }

  consumeNode(queue: NodeQueue, options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    this.#connections.upkeep.remember(queue);
    return this.#consume(queue, options, { handler, decode: (_message, wire) => decodeEvent(wire) });
  }

  consumeJournal(options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    return this.#consume({ kind: 'journal' }, options, { handler, decode: (_message, wire) => decodeEvent(wire) });
  }

  consumeOutcomes(options: ConsumeOptions, handler: Handler<Outcome[]>): Promise<Subscription> {
    const decode = (message: ConsumeMessage, wire: WireMessage): Decoded<Outcome[]> =>
      vouchedFor(decodeOutcomes(wire), message.properties.userId as unknown, this.#trustedUsers);
    return this.#consume({ kind: 'outcomes' }, options, { handler, decode });
  }

  consumeDead(options: ConsumeOptions, handler: Handler<DeadMessage>): Promise<Subscription> {
    const decode = (message: ConsumeMessage, wire: WireMessage): Decoded<DeadMessage> => ({
      ok: true,
      message: decodeDead(wire, deathOf(message, this.#names)),
    });
    return this.#consume({ kind: 'dead' }, options, { handler, decode });
  }

  async announceVersion(version: number): Promise<void> {
    const destination = { exchange: this.#names.control, routingKey: '' };
    const options = { persistent: false, mandatory: false };
    await this.#connections.publish(destination, encodeAnnouncement(version), options).catch((error: unknown) => {
      this.#options.log.debug('broker.announcement.lost', { version, error: messageOf(error) });
    });
  }

  onVersionAnnounced(listener: (version: number) => void): void {
    this.#connections.versionListeners.add(listener);
  }

  async #consume<T>(
    ref: QueueRef,
    { prefetch }: ConsumeOptions,
    { handler, decode }: { handler: Handler<T>; decode: (message: ConsumeMessage, wire: WireMessage) => Decoded<T> },
  ): Promise<Subscription> {
    const queue = this.#names.queue(ref);
    const dead = this.#names.dead;
    const subscription = new RabbitmqSubscription<T>({
      queue,
      prefetch,
      handler,
      failures: ref.kind === 'dead' ? null : new HandlerFailures(),
      decode,
      declare: () => this.#connections.upkeep.ensureForConsumer(queue),
      onQueueLost: () => {
        this.#connections.upkeep.doubt(queue);
        if (ref.kind === 'url' || ref.kind === 'plugin') this.#connections.upkeep.suspectQueue(queue);
        else this.#connections.repairSoon();
      },
      moveToDead: (wire, reason) =>
        this.#connections.publish({ exchange: dead, routingKey: queue }, encodeDead(wire, { reason, queue })),
      onStopped: () => {
        this.#connections.remove(subscription);
      },
      timeoutMs: this.#connections.rpcTimeoutMs,
      log: this.#options.log,
      metrics: this.#options.metrics,
    });
    await this.#connections.add(subscription);
    return subscription;
  }
}

/** What the broker or amqplib threw, as the port's error. */
function unavailable(error: unknown): never {
  if (error instanceof EventCenterError) throw error;
  throw new EventCenterError('UNAVAILABLE', `the broker refused: ${messageOf(error)}`, { cause: error });
}
