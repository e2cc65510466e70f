import type { ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { EventCenterError } from '../../core/errors.js';
import type { Event, EventMessage, Outcome } from '../../core/model.js';
import type {
  Broker,
  BrokerStatus,
  EnsureOptions,
  ConsumeOptions,
  DeadMessage,
  Handler,
  Log,
  Metrics,
  NodeQueue,
  QueueRef,
  Subscription,
  Topology,
} from '../../core/ports.js';
import { decodeDead, encodeDead } from '../dead-format.js';
import { forEachLimited } from '../for-each-limited.js';
import {
  decodeEvent,
  decodeOutcomes,
  encodeEvent,
  encodeOutcomes,
  type Decoded,
  type WireMessage,
} from '../message-format.js';
import { VersionListeners } from '../version-listeners.js';
import { messageOf, pause, within } from '../within.js';
import { encodeAnnouncement, listenForAnnouncements } from './control.js';
import { deathOf } from './death.js';
import { Link, type Session } from './link.js';
import { namesUnder, type Names } from '../names.js';
import { onConnectionOfItsOwn } from './one-off.js';
import { probeQueue } from './probe.js';
import type { Destination } from './publish-lane.js';
import { Publisher } from './publisher.js';
import { Readiness } from './readiness.js';
import { closedWith } from './replies.js';
import { closeChannel, openChannel, RpcChannels } from './rpc-channels.js';
import { StuckQueues } from './stuck-queues.js';
import { RabbitmqSubscription } from './subscription.js';
import { TopologyKeeper } from './topology-keeper.js';

const SETTLE_MS = 2000;
const REPAIR_EVERY_MS = 10 * 60_000;
const REPAIR_PAUSE_MS = 1000;
const SUBSCRIPTIONS_AT_A_TIME = 8;
const STOP_TIMEOUT_MS = 30_000;
/** Declaring is slower than a confirm on a loaded broker. */
const MIN_RPC_TIMEOUT_MS = 10_000;

export interface RabbitmqBrokerOptions {
  /** `amqp://` or `amqps://` urls, tried in turn. */
  addresses: string[];
  prefix: string;
  connectTimeoutMs: number;
  confirmTimeoutMs: number;
  heartbeatSeconds: number;
  log: Log;
  metrics: Metrics | null;
  /** How long newly declared queues rest before the broker counts as ready; 2000 by default. */
  settleMs?: number;
}

/** What the broker does with its consumers, whatever they carry. */
type AnySubscription = Pick<RabbitmqSubscription<unknown>, 'attach' | 'detach' | 'poke' | 'stop'>;

/** The broker port on RabbitMQ 3.10 or newer, without plug-ins (architecture, "Topology on RabbitMQ"). */
export class RabbitmqBroker implements Broker {
  readonly #options: RabbitmqBrokerOptions;
  readonly #names: Names;
  readonly #keeper: TopologyKeeper;
  readonly #publisher: Publisher;
  readonly #publishLink: Link;
  /** For destinations that stop a connection; opened when there is one. */
  readonly #asideLink: Link;
  readonly #consumeLink: Link;
  readonly #readiness: Readiness;
  readonly #stuck: StuckQueues;
  readonly #subscriptions = new Set<AnySubscription>();
  readonly #versionListeners: VersionListeners;
  readonly #stopping = new AbortController();
  readonly #rpcTimeoutMs: number;
  /** The connections once they are set up. */
  #publishing: Session | null = null;
  #consuming: { session: Session; channels: RpcChannels } | null = null;
  #blocked = false;
  #repairing: Promise<void> | null = null;
  #repairTimer: NodeJS.Timeout | null = null;

  constructor(options: RabbitmqBrokerOptions) {
    const { log, metrics, prefix, connectTimeoutMs, confirmTimeoutMs, heartbeatSeconds, addresses } = options;
    this.#options = options;
    this.#names = namesUnder(prefix);
    this.#versionListeners = new VersionListeners(log);
    this.#rpcTimeoutMs = Math.max(MIN_RPC_TIMEOUT_MS, connectTimeoutMs);
    this.#keeper = new TopologyKeeper({
      names: this.#names,
      log,
      onQueueFailed: (queue) => {
        this.#stuck.suspectQueue(queue);
      },
      onDeclared: () => {
        for (const subscription of this.#subscriptions) subscription.poke();
      },
    });
    this.#publisher = new Publisher({
      confirmTimeoutMs,
      channelTimeoutMs: this.#rpcTimeoutMs,
      log,
      metrics,
      onTopologyBroken: () => {
        this.#repairSoon();
      },
      onSetAside: () => {
        this.#asideLink.start();
      },
    });
    this.#readiness = new Readiness({
      settleMs: options.settleMs ?? SETTLE_MS,
      probe: () => this.#probeOwn(),
      connected: () => this.#consuming !== null && this.#publisher.problem === null,
      log,
    });
    this.#stuck = new StuckQueues({
      probe: (queue) => this.#apart(`the probe of ${queue}`, (channel) => probeQueue(channel, queue)),
      probeOwn: () => this.#apart('the probe', (channel) => probeQueue(channel, this.#names.outcomes)),
      connected: () => this.#consuming !== null && this.#publisher.problem === null,
      boundTo: (eventTypeId) => this.#keeper.boundTo(eventTypeId),
      recreate: async (queue) => {
        await this.#apart(`deleting ${queue}`, (channel) => channel.deleteQueue(queue));
        // Its death may take the connection along; the next one declares everything anyway.
        await this.#keeper.declareAnew(queue).catch(() => undefined);
      },
      log,
      metrics,
    });
    const link = { addresses, connectTimeoutMs, heartbeatSeconds, log };
    this.#publishLink = new Link(
      { ...link, name: `event-center ${prefix}publish` },
      {
        up: (session) => this.#publishUp(session),
        down: (reason) => {
          this.#publishing = null;
          this.#publisher.main.detach(reason);
          this.#lost('publish');
        },
        blocked: (reason) => {
          this.#setBlocked(reason);
        },
      },
    );
    const { aside } = this.#publisher;
    this.#asideLink = new Link(
      { ...link, name: `event-center ${prefix}publish aside` },
      {
        up: (session) => aside.attach(session),
        down: (reason) => {
          aside.detach(reason);
        },
        blocked: (reason) => {
          aside.setBlocked(reason);
        },
      },
    );
    this.#consumeLink = new Link(
      { ...link, name: `event-center ${prefix}consume` },
      {
        up: (session) => this.#consumeUp(session),
        down: () => {
          this.#consumeDown();
          this.#lost('consume');
        },
        // Only connections that publish are blocked.
        blocked: () => undefined,
      },
    );
  }

  start(): Promise<void> {
    this.#publishLink.start();
    this.#consumeLink.start();
    this.#repairTimer ??= setInterval(() => {
      this.#repairSoon();
    }, REPAIR_EVERY_MS);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#repairTimer !== null) clearInterval(this.#repairTimer);
    const stopped = forEachLimited([...this.#subscriptions], Infinity, (subscription) => subscription.stop());
    await within(STOP_TIMEOUT_MS, 'stopping the consumers', stopped).catch((error: unknown) => {
      this.#options.log.warn('broker.stop.cut_short', { error: messageOf(error) });
    });
    await Promise.all([this.#consumeLink.stop(), this.#publishLink.stop(), this.#asideLink.stop()]);
    await Promise.all([this.#readiness.stop(), this.#stuck.stop(), this.#repairing]);
  }

  status(): BrokerStatus {
    const problem = this.#publishLink.problem ?? this.#consumeLink.problem ?? this.#publisher.problem;
    const ready = this.#readiness.gate.isOpen && problem === null;
    return { ready, blocked: this.#blocked, problem: problem ?? (ready ? null : 'waiting for a confirmed probe') };
  }

  waitUntilReady(timeoutMs: number): Promise<void> {
    return this.#readiness.gate.wait(timeoutMs, () => this.status().problem);
  }

  ensureTopology(topology: Topology, options: EnsureOptions = {}): Promise<void> {
    return this.#keeper.ensure(topology, options).catch(unavailable);
  }

  async unbind(queue: NodeQueue, eventTypeId: string): Promise<void> {
    await this.#keeper.unbind(queue, eventTypeId).catch(unavailable);
  }

  deleteNodeQueue(queue: NodeQueue): Promise<boolean> {
    return this.#keeper.deleteNodeQueue(queue).catch(unavailable);
  }

  async depth(ref: QueueRef): Promise<number | null> {
    const name = this.#names.queue(ref);
    const channels = this.#consuming?.channels;
    if (channels === undefined) throw new EventCenterError('UNAVAILABLE', 'the broker is not connected');
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
      await this.#publish({ exchange: this.#names.events, routingKey: eventTypeId }, encodeEvent(message));
    } catch (error) {
      this.#stuck.suspectQueuesOf(eventTypeId);
      throw error;
    }
  }

  publishToJournal(event: Event): Promise<void> {
    const wire = encodeEvent({ event, chain: null, claimSteps: false });
    return this.#publish({ exchange: '', routingKey: this.#names.journal }, wire);
  }

  async publishToNode(queue: NodeQueue, message: EventMessage, delayMs: number): Promise<void> {
    if (delayMs > 0) await this.#keeper.ensureDelay(delayMs).catch(unavailable);
    const routingKey = this.#names.node(queue);
    const exchange = delayMs > 0 ? this.#names.delay(delayMs) : this.#names.redeliver;
    try {
      await this.#publish({ exchange, routingKey }, encodeEvent(message));
    } catch (error) {
      this.#stuck.suspectQueue(delayMs > 0 ? exchange : routingKey);
      throw error;
    }
  }

  publishOutcomes(outcomes: Outcome[]): Promise<void> {
    return this.#publish({ exchange: '', routingKey: this.#names.outcomes }, encodeOutcomes(outcomes));
  }

  consumeNode(queue: NodeQueue, options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    this.#keeper.remember(queue);
    return this.#consume(queue, options, { handler, decode: (_message, wire) => decodeEvent(wire) });
  }

  consumeJournal(options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    return this.#consume({ kind: 'journal' }, options, { handler, decode: (_message, wire) => decodeEvent(wire) });
  }

  consumeOutcomes(options: ConsumeOptions, handler: Handler<Outcome[]>): Promise<Subscription> {
    return this.#consume({ kind: 'outcomes' }, options, { handler, decode: (_message, wire) => decodeOutcomes(wire) });
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
    await this.#publish(destination, encodeAnnouncement(version), options).catch((error: unknown) => {
      this.#options.log.debug('broker.announcement.lost', { version, error: messageOf(error) });
    });
  }

  onVersionAnnounced(listener: (version: number) => void): void {
    this.#versionListeners.add(listener);
  }

  async #publish(destination: Destination, wire: WireMessage, options?: Options.Publish): Promise<void> {
    if (!this.#readiness.safe) {
      throw new EventCenterError('UNAVAILABLE', `the broker is not ready: ${this.status().problem ?? 'not started'}`);
    }
    await this.#publisher.publish(destination, wire, options);
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
      decode,
      declare: () => this.#keeper.ensureForConsumer(queue),
      onQueueLost: () => {
        this.#keeper.doubt(queue);
        if (ref.kind === 'url' || ref.kind === 'plugin') this.#stuck.suspectQueue(queue);
        else this.#repairSoon();
      },
      moveToDead: (wire, reason) =>
        this.#publish({ exchange: dead, routingKey: queue }, encodeDead(wire, { reason, queue })),
      onStopped: () => this.#subscriptions.delete(subscription),
      timeoutMs: this.#rpcTimeoutMs,
      log: this.#options.log,
      metrics: this.#options.metrics,
    });
    this.#subscriptions.add(subscription);
    if (this.#consuming !== null) await subscription.attach(this.#consuming.session);
    return subscription;
  }

  async #publishUp(session: Session): Promise<void> {
    await this.#publisher.main.attach(session);
    this.#publishing = session;
    this.#readiness.probeSoon();
  }

  async #consumeUp(session: Session): Promise<void> {
    const channels = new RpcChannels(session, this.#rpcTimeoutMs);
    this.#keeper.attach(channels);
    const { created } = await this.#keeper.declareOwn();
    // On a broker that lost everything no event may be accepted before its node queues are back.
    if (created) await this.#keeper.declareRemembered();
    else void this.#keeper.declareRemembered();
    this.#readiness.declared(created);
    this.#consuming = { session, channels };
    await listenForAnnouncements(session, {
      exchange: this.#names.control,
      timeoutMs: this.#rpcTimeoutMs,
      log: this.#options.log,
      onVersion: (version) => {
        this.#versionListeners.tell(version);
      },
    });
    // Not awaited: one queue that does not answer must not keep the others waiting.
    void forEachLimited([...this.#subscriptions], SUBSCRIPTIONS_AT_A_TIME, (subscription) =>
      subscription.attach(session),
    );
    this.#readiness.probeSoon();
  }

  #consumeDown(): void {
    this.#consuming = null;
    this.#keeper.detach();
    for (const subscription of this.#subscriptions) subscription.detach();
  }

  #lost(connection: string): void {
    this.#readiness.lost();
    if (!this.#stopping.signal.aborted) this.#options.metrics?.incident(`broker-${connection}-connection-lost`);
  }

  #setBlocked(reason: string | null): void {
    if (this.#blocked === (reason !== null)) return;
    this.#blocked = reason !== null;
    this.#publisher.main.setBlocked(reason);
    if (reason === null) {
      this.#options.log.info('broker.unblocked');
    } else {
      this.#options.log.error('broker.blocked', { reason });
      this.#options.metrics?.incident('broker-blocked');
    }
  }

  /** Not apart: that the connection which publishes takes it is the point. */
  async #probeOwn(): Promise<void> {
    const session = this.#publishing;
    if (session === null) throw new EventCenterError('UNAVAILABLE', 'the broker is not connected');
    const { confirmTimeoutMs } = this.#options;
    const channel = await openChannel(session, confirmTimeoutMs, ({ model }) => model.createConfirmChannel());
    try {
      await within(confirmTimeoutMs, 'the probe', probeQueue(channel, this.#names.outcomes));
    } finally {
      closeChannel(channel);
    }
  }

  #apart(what: string, work: (channel: ConfirmChannel) => Promise<unknown>): Promise<void> {
    const { addresses, connectTimeoutMs, heartbeatSeconds, prefix } = this.#options;
    const name = `event-center ${prefix}check`;
    const options = { addresses, connectTimeoutMs, heartbeatSeconds, name, timeoutMs: this.#rpcTimeoutMs };
    return onConnectionOfItsOwn(options, what, work);
  }

  #repairSoon(): void {
    this.#repairing ??= this.#repair();
  }

  /** Declares everything again; at most one run per pause, however many messages were returned. */
  async #repair(): Promise<void> {
    try {
      if (this.#consuming === null) return;
      const { created } = await this.#keeper.repair();
      this.#readiness.declared(created);
      this.#readiness.probeSoon();
      await pause(REPAIR_PAUSE_MS, this.#stopping.signal);
    } catch (error) {
      this.#options.log.warn('broker.repair.failed', { error: messageOf(error) });
    } finally {
      this.#repairing = null;
    }
  }
}

/** What the broker or amqplib threw, as the port's error. */
function unavailable(error: unknown): never {
  if (error instanceof EventCenterError) throw error;
  throw new EventCenterError('UNAVAILABLE', `the broker refused: ${messageOf(error)}`, { cause: error });
}
