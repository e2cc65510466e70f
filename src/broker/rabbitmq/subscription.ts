import type { Channel, ConsumeMessage } from 'amqplib';
import type { Handler, Log, Metrics, Subscription } from '../../core/ports.js';
import { decide, type HandlerFailures } from '../hand-over.js';
import type { Decoded, WireMessage } from '../message-format.js';
import { backoffMs, messageOf, within } from '../within.js';
import type { Session } from './link.js';
import { PROBE_TYPE } from './probe.js';
import { closeChannel, openChannel } from './rpc-channels.js';

const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
/** Before a message goes back that could not be moved to the dead queue. */
const AFTER_FAILED_MOVE_MS = 1000;

export interface SubscriptionDeps<T> {
  queue: string;
  prefetch: number;
  handler: Handler<T>;
  failures: HandlerFailures | null;
  decode: (message: ConsumeMessage, wire: WireMessage) => Decoded<T>;
  /** Declares the queue, if it should be there. */
  declare: () => Promise<void>;
  /** The queue may be gone although it was declared. */
  onQueueLost: () => void;
  /** Moves a message to the dead queue, confirmed. */
  moveToDead: (wire: WireMessage, reason: string) => Promise<void>;
  onStopped: () => void;
  timeoutMs: number;
  log: Log;
  metrics: Metrics | null;
}

/** A consumer on its channel. What was taken from it can only be settled on it. */
interface Consumer {
  channel: Channel;
  open: boolean;
  /** Null while it does not consume. */
  tag: string | null;
}

/**
 * One consumer of one queue, on a channel of its own, over all connections: at each new one, and whenever the broker
 * cancels it, the queue is declared and consumed again. Messages in hand when a channel is lost are finished, and their
 * settlement is forgotten, because the broker gives them out again.
 */
export class RabbitmqSubscription<T> implements Subscription {
  readonly #deps: SubscriptionDeps<T>;
  #session: Session | null = null;
  #consumer: Consumer | null = null;
  #wanted: 'running' | 'paused' | 'stopped' = 'running';
  #inHand = 0;
  /** Beyond the prefetch: a consumer that was paused and resumed gets a full prefetch beside what is still in hand. */
  #buffer: { consumer: Consumer; message: ConsumeMessage }[] = [];
  #adjusting: Promise<void> | null = null;
  #again = false;
  #retry: NodeJS.Timeout | null = null;
  #failures = 0;
  #whenIdle: (() => void)[] = [];

  constructor(deps: SubscriptionDeps<T>) {
    this.#deps = deps;
  }

  /** Consumes on a new connection; resolves after the first try. */
  attach(session: Session): Promise<void> {
    this.#session = session;
    this.#failures = 0;
    return this.#adjust();
  }

  detach(): void {
    this.#session = null;
    this.#lost(this.#consumer);
  }

  /** Tries at once what waits for its next try. */
  poke(): void {
    if (this.#retry !== null) void this.#adjust();
  }

  async pause(): Promise<void> {
    if (this.#wanted === 'running') this.#wanted = 'paused';
    this.#giveBack();
    await this.#adjust();
  }

  async resume(): Promise<void> {
    if (this.#wanted === 'paused') this.#wanted = 'running';
    await this.#adjust();
  }

  async stop(): Promise<void> {
    this.#wanted = 'stopped';
    this.#giveBack();
    await this.#adjust();
    if (this.#inHand > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
    const consumer = this.#consumer;
    this.#consumer = null;
    // Acks were sent before on the same channel, so the broker handles them first.
    if (consumer?.open === true)
      await within(this.#deps.timeoutMs, 'closing', consumer.channel.close()).catch(() => undefined);
    this.#deps.onStopped();
  }

  /** Brings the consumer to what is wanted; one run at a time, and once more when something changed meanwhile. */
  #adjust(): Promise<void> {
    this.#again = true;
    this.#adjusting ??= this.#adjustAll().finally(() => {
      this.#adjusting = null;
    });
    return this.#adjusting;
  }

  async #adjustAll(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      if (this.#retry !== null) clearTimeout(this.#retry);
      this.#retry = null;
      try {
        await this.#adjustOnce();
      } catch (error) {
        this.#deps.log.warn('broker.consume.failed', { queue: this.#deps.queue, error: messageOf(error) });
        this.#retryLater();
      }
    }
  }

  async #adjustOnce(): Promise<void> {
    const session = this.#session;
    if (session === null || !session.alive()) return;
    if (this.#wanted === 'running') {
      if (this.#consumer !== null && this.#consumer.tag !== null) return;
      await this.#deps.declare();
      await this.#consume(this.#consumer ?? (await this.#open(session)));
      this.#failures = 0;
      return;
    }
    const consumer = this.#consumer;
    const tag = consumer?.tag ?? null;
    if (consumer === null || tag === null) return;
    consumer.tag = null;
    try {
      await within(this.#deps.timeoutMs, 'cancelling a consumer', consumer.channel.cancel(tag));
    } catch (error) {
      this.#giveUp(consumer);
      throw error;
    }
  }

  async #open(session: Session): Promise<Consumer> {
    const { timeoutMs, prefetch, queue, log } = this.#deps;
    const channel = await openChannel(session, timeoutMs, ({ model }) => model.createChannel());
    const consumer: Consumer = { channel, open: true, tag: null };
    channel.on('error', (error) => {
      log.warn('broker.consume_channel.failed', { queue, error: error.message });
    });
    channel.on('close', () => {
      consumer.open = false;
      this.#lost(consumer);
      this.#retryLater();
    });
    this.#consumer = consumer;
    if (this.#session !== session) this.#giveUp(consumer);
    try {
      // Per consumer: quorum queues refuse the other kind.
      await within(timeoutMs, 'setting the prefetch', channel.prefetch(prefetch, false));
    } catch (error) {
      this.#giveUp(consumer);
      throw error;
    }
    return consumer;
  }

  async #consume(consumer: Consumer): Promise<void> {
    const { queue, timeoutMs } = this.#deps;
    const seen = { cancelled: false };
    const onMessage = (message: ConsumeMessage | null): void => {
      if (message !== null) {
        this.#take(consumer, message);
        return;
      }
      seen.cancelled = true;
      this.#cancelled(consumer);
    };
    try {
      const consuming = consumer.channel.consume(queue, onMessage, { noAck: false });
      const { consumerTag } = await within(timeoutMs, `consuming ${queue}`, consuming);
      // It can be cancelled before this line learns its tag; the retry is under way then.
      if (!seen.cancelled) consumer.tag = consumerTag;
    } catch (error) {
      this.#deps.onQueueLost();
      this.#giveUp(consumer);
      throw error;
    }
  }

  /** The broker has ended the consumer: its queue was deleted, or lost its leader. */
  #cancelled(consumer: Consumer): void {
    if (consumer !== this.#consumer) return;
    consumer.tag = null;
    this.#deps.onQueueLost();
    this.#deps.log.warn('broker.consumer.cancelled', { queue: this.#deps.queue });
    this.#deps.metrics?.incident('broker-consumer-cancelled');
    this.#retryLater();
  }

  #lost(consumer: Consumer | null): void {
    if (consumer === null || consumer !== this.#consumer) return;
    consumer.open = false;
    this.#consumer = null;
    this.#buffer = [];
  }

  #giveUp(consumer: Consumer): void {
    closeChannel(consumer.channel);
    this.#lost(consumer);
  }

  #retryLater(): void {
    if (this.#session === null || this.#wanted === 'stopped' || this.#retry !== null) return;
    this.#retry = setTimeout(
      () => {
        void this.#adjust();
      },
      backoffMs(this.#failures, FIRST_RETRY_MS, MAX_RETRY_MS),
    );
    this.#failures += 1;
  }

  #giveBack(): void {
    for (const { consumer, message } of this.#buffer.splice(0)) send(consumer, message, 'requeue');
  }

  #take(consumer: Consumer, message: ConsumeMessage): void {
    if (this.#wanted !== 'running') send(consumer, message, 'requeue');
    else if (this.#inHand >= this.#deps.prefetch) this.#buffer.push({ consumer, message });
    else void this.#process(consumer, message);
  }

  async #process(consumer: Consumer, message: ConsumeMessage): Promise<void> {
    this.#inHand += 1;
    try {
      send(consumer, message, await this.#settle(message));
    } finally {
      this.#inHand -= 1;
      this.#next();
    }
  }

  #next(): void {
    const next = this.#wanted === 'running' ? this.#buffer.shift() : undefined;
    if (next !== undefined) void this.#process(next.consumer, next.message);
    if (this.#inHand === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  /** Never rejects. */
  async #settle(message: ConsumeMessage): Promise<'ack' | 'requeue'> {
    if (message.properties.type === PROBE_TYPE) return 'ack';
    const wire: WireMessage = { body: message.content, headers: message.properties.headers ?? {} };
    const deliveries = wire.headers['x-delivery-count'];
    const incoming = {
      messageId: message.properties.messageId as unknown,
      decoded: this.#deps.decode(message, wire),
      redelivered: message.fields.redelivered || (typeof deliveries === 'number' && deliveries > 0),
      bytes: message.content.length,
    };
    const settlement = await decide(incoming, this.#deps);
    return typeof settlement === 'string' ? settlement : this.#moveToDead(wire, settlement.dead);
  }

  async #moveToDead(wire: WireMessage, reason: string): Promise<'ack' | 'requeue'> {
    this.#deps.metrics?.incident('broker-message-dead');
    try {
      await this.#deps.moveToDead(wire, reason);
      return 'ack';
    } catch (error) {
      this.#deps.log.warn('broker.dead.failed', { queue: this.#deps.queue, error: messageOf(error) });
      await new Promise((resolve) => setTimeout(resolve, AFTER_FAILED_MOVE_MS));
      return 'requeue';
    }
  }
}

/** Tells the broker, unless the channel is gone: then the broker has taken the message back itself. */
function send(consumer: Consumer, message: ConsumeMessage, settlement: 'ack' | 'requeue'): void {
  if (!consumer.open) return;
  try {
    if (settlement === 'ack') consumer.channel.ack(message);
    else consumer.channel.nack(message, false, true);
  } catch {
    // Closing at this moment.
  }
}
