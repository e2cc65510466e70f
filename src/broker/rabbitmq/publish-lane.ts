import type { ConfirmChannel, Options } from 'amqplib';
import { EventCenterError } from '../../core/errors.js';
import { uuidV7 } from '../../core/ids.js';
import type { Log, Metrics } from '../../core/ports.js';
import type { WireMessage } from '../message-format.js';
import { backoffMs, messageOf } from '../within.js';
import type { Session } from './link.js';
import { closedWith } from './replies.js';
import { closeChannel, openChannel } from './rpc-channels.js';

/** Sent and not confirmed yet. Windows of 100 to 500 already give full speed (architecture, measured). */
const MAX_UNCONFIRMED = 1000;
const MAX_UNCONFIRMED_BYTES = 32 * 1024 * 1024;
/** Not sent yet, because of the two bounds above; beyond these a publish is refused at once. */
const MAX_WAITING = 10_000;
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
/** Headers and frames count too. */
const BYTES_BESIDE_BODY = 512;
/** Frames that wait for the socket; what is beyond waits here, where its time can run out. */
const MAX_BUFFERED_FRAMES = 512;
const FIRST_REOPEN_MS = 50;
const MAX_REOPEN_MS = 2000;

/** Where a message goes. */
export interface Destination {
  exchange: string;
  routingKey: string;
}

/** The name under which messages of one destination are told apart from others. */
export function keyOf({ exchange, routingKey }: Destination): string {
  return `${exchange} ${routingKey}`;
}

export interface PublishOptions extends Options.Publish {
  /** Names the connection's user, which the broker checks: the property `user_id`. */
  namesUser?: boolean;
}

export interface PublishLaneDeps {
  confirmTimeoutMs: number;
  channelTimeoutMs: number;
  log: Log;
  metrics: Metrics | null;
  /** Something that was declared is not there any more. */
  onTopologyBroken: () => void;
  /** The broker has taken a message of this destination. */
  onConfirmed: (destination: Destination) => void;
  /** Nothing was confirmed any more after a message of this destination was sent. */
  onStalled: (destination: Destination) => void;
}

interface Pending {
  messageId: string;
  destination: Destination;
  wire: WireMessage;
  options: PublishOptions;
  bytes: number;
  deadline: number;
  returned: string | null;
  resolve: () => void;
  reject: (error: EventCenterError) => void;
}

/**
 * One confirm channel with many messages in flight. A publish resolves when the broker has confirmed it and rejects with
 * UNAVAILABLE when it was refused, returned, lost with its channel or not confirmed in time; whether the broker has it is
 * then unknown. When nothing is confirmed any more the connection is given up: RabbitMQ handles the messages of a channel
 * one after another, one for a queue without a leader holds up all behind it, and those in the end the whole connection
 * (seen on 3.10.8).
 */
export class PublishLane {
  readonly #deps: PublishLaneDeps;
  #session: Session | null = null;
  #channel: ConfirmChannel | null = null;
  #blocked: string | null = null;
  /** The socket does not take what is sent as fast as it comes. */
  #congested = false;
  readonly #unconfirmed = new Map<string, Pending>();
  readonly #waiting = new Map<string, Pending>();
  #unconfirmedBytes = 0;
  #waitingBytes = 0;
  #lastConfirmAt = 0;
  #expiry: NodeJS.Timeout | null = null;
  #reopen: NodeJS.Timeout | null = null;

  constructor(deps: PublishLaneDeps) {
    this.#deps = deps;
  }

  /** Opens the channel on a new connection. @throws UNAVAILABLE when that fails. */
  async attach(session: Session): Promise<void> {
    this.#session = session;
    await this.#open(session);
  }

  /** The connection is lost: what is unconfirmed is rejected. */
  detach(reason: string): void {
    this.#session = null;
    this.#channelLost(this.#channel, reason);
    if (this.#reopen !== null) clearTimeout(this.#reopen);
    this.#reopen = null;
  }

  /** While `reason` is not null nothing is sent: the broker would not read it, and it would pile up here. */
  setBlocked(reason: string | null): void {
    this.#blocked = reason;
  }

  /** Why nothing can be published now, or null. */
  get problem(): string | null {
    if (this.#blocked !== null) return `the broker blocks publishers: ${this.#blocked}`;
    return this.#session === null ? 'the broker is not connected' : null;
  }

  /** Publishes persistent and, unless `options` says otherwise, mandatory, under a message id of its own. */
  publish(destination: Destination, wire: WireMessage, options: PublishOptions = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      const bytes = wire.body.length + BYTES_BESIDE_BODY;
      const refusal = this.problem ?? this.#overload(bytes);
      if (refusal !== null) {
        reject(new EventCenterError('UNAVAILABLE', refusal));
        return;
      }
      const messageId = uuidV7();
      const pending: Pending = {
        messageId,
        destination,
        wire,
        options,
        bytes,
        deadline: performance.now() + this.#deps.confirmTimeoutMs,
        returned: null,
        resolve,
        reject,
      };
      this.#waiting.set(messageId, pending);
      this.#waitingBytes += bytes;
      this.#watchExpiry();
      this.#sendWaiting();
    });
  }

  #overload(bytes: number): string | null {
    const full = this.#waiting.size >= MAX_WAITING || this.#waitingBytes + bytes > MAX_WAITING_BYTES;
    return full && this.#waiting.size > 0 ? `${this.#waiting.size} messages already wait to be published` : null;
  }

  #sendWaiting(): void {
    for (const pending of this.#waiting.values()) {
      const channel = this.#channel;
      if (channel === null || this.#blocked !== null || this.#congested) return;
      const full =
        this.#unconfirmed.size >= MAX_UNCONFIRMED || this.#unconfirmedBytes + pending.bytes > MAX_UNCONFIRMED_BYTES;
      if (full && this.#unconfirmed.size > 0) return;
      this.#waiting.delete(pending.messageId);
      this.#waitingBytes -= pending.bytes;
      this.#send(channel, pending);
    }
  }

  #send(channel: ConfirmChannel, pending: Pending): void {
    const { destination, wire, messageId, options } = pending;
    const user = options.namesUser === true ? this.#session?.user : undefined;
    const known = user === undefined ? {} : { userId: user };
    try {
      const hasRoom = channel.publish(
        destination.exchange,
        destination.routingKey,
        wire.body,
        { persistent: true, mandatory: true, ...options, ...known, messageId, headers: wire.headers },
        (error: unknown) => {
          this.#confirmed(pending, error);
        },
      );
      if (!hasRoom) this.#congested = true;
    } catch (error) {
      pending.reject(
        new EventCenterError('UNAVAILABLE', `cannot send to the broker: ${messageOf(error)}`, { cause: error }),
      );
      return;
    }
    this.#unconfirmed.set(messageId, pending);
    this.#unconfirmedBytes += pending.bytes;
  }

  #confirmed(pending: Pending, error: unknown): void {
    // Missing when its time was over before.
    if (!this.#unconfirmed.delete(pending.messageId)) return;
    this.#unconfirmedBytes -= pending.bytes;
    if (error !== null && error !== undefined) {
      pending.reject(new EventCenterError('UNAVAILABLE', `the broker did not confirm: ${messageOf(error)}`));
    } else if (pending.returned !== null) {
      pending.reject(new EventCenterError('UNAVAILABLE', `the broker returned the message: ${pending.returned}`));
    } else {
      this.#lastConfirmAt = performance.now();
      this.#deps.onConfirmed(pending.destination);
      pending.resolve();
    }
    this.#sendWaiting();
  }

  /** A return comes before the confirm of the same message. */
  #onReturn(messageId: unknown, fields: object): void {
    const reason = 'replyText' in fields ? String(fields.replyText) : 'no queue';
    const pending = typeof messageId === 'string' ? this.#unconfirmed.get(messageId) : undefined;
    if (pending !== undefined) pending.returned = reason;
    this.#deps.metrics?.incident('broker-message-returned');
    this.#deps.onTopologyBroken();
  }

  async #open(session: Session): Promise<void> {
    const { channelTimeoutMs } = this.#deps;
    const channel = await openChannel(session, channelTimeoutMs, ({ model }) =>
      model.createConfirmChannel({ highWaterMark: MAX_BUFFERED_FRAMES }),
    );
    channel.on('return', (message) => {
      this.#onReturn(message.properties.messageId, message.fields);
    });
    channel.on('drain', () => {
      if (this.#channel !== channel) return;
      this.#congested = false;
      this.#sendWaiting();
    });
    channel.on('error', (error) => {
      this.#deps.log.warn('broker.publish_channel.failed', { error: error.message });
      if (closedWith(error, 'NOT_FOUND')) this.#deps.onTopologyBroken();
    });
    channel.on('close', () => {
      if (this.#channel !== channel) return;
      this.#channelLost(channel, 'the channel was closed');
      this.#reopenLater(session, 0);
    });
    if (this.#session !== session) {
      closeChannel(channel);
      return;
    }
    this.#congested = false;
    this.#channel = channel;
    this.#sendWaiting();
  }

  #reopenLater(session: Session, failures: number): void {
    if (this.#session !== session || !session.alive() || this.#reopen !== null) return;
    const delayMs = backoffMs(failures, FIRST_REOPEN_MS, MAX_REOPEN_MS);
    this.#reopen = setTimeout(() => {
      this.#reopen = null;
      this.#open(session).catch((error: unknown) => {
        this.#deps.log.warn('broker.publish_channel.failed', { error: messageOf(error) });
        this.#reopenLater(session, failures + 1);
      });
    }, delayMs);
  }

  #channelLost(channel: ConfirmChannel | null, reason: string): void {
    if (channel === null || this.#channel !== channel) return;
    this.#channel = null;
    for (const pending of [...this.#unconfirmed.values()]) this.#confirmed(pending, new Error(reason));
    for (const pending of this.#waiting.values()) {
      pending.reject(new EventCenterError('UNAVAILABLE', `the broker is not connected: ${reason}`));
    }
    this.#waiting.clear();
    this.#waitingBytes = 0;
  }

  /** One timer for all: both maps are in the order of their deadlines. */
  #watchExpiry(): void {
    if (this.#expiry !== null) return;
    const intervalMs = Math.max(10, Math.min(100, this.#deps.confirmTimeoutMs / 10));
    this.#expiry = setTimeout(() => {
      this.#expiry = null;
      this.#expire(performance.now());
      if (this.#unconfirmed.size + this.#waiting.size > 0) this.#watchExpiry();
    }, intervalMs);
  }

  /** The oldest message is the one that stopped the channel, as far as can be told from here. */
  #stalled({ destination }: Pending, session: Session): void {
    this.#deps.log.warn('broker.publish.stalled', { ...destination, unconfirmed: this.#unconfirmed.size });
    this.#deps.metrics?.incident('broker-publish-stalled');
    this.#deps.onStalled(destination);
    session.kill('nothing is confirmed any more');
  }

  #expire(now: number): void {
    const late = `the broker did not confirm within ${this.#deps.confirmTimeoutMs} ms`;
    const [oldest] = this.#unconfirmed.values();
    const silent = now - this.#lastConfirmAt > this.#deps.confirmTimeoutMs / 2;
    const session = this.#blocked === null ? this.#session : null;
    if (oldest !== undefined && oldest.deadline <= now && silent && session !== null) this.#stalled(oldest, session);
    for (const pending of this.#unconfirmed.values()) {
      if (pending.deadline > now) break;
      this.#unconfirmed.delete(pending.messageId);
      this.#unconfirmedBytes -= pending.bytes;
      pending.reject(new EventCenterError('UNAVAILABLE', late));
    }
    for (const pending of this.#waiting.values()) {
      if (pending.deadline > now) break;
      this.#waiting.delete(pending.messageId);
      this.#waitingBytes -= pending.bytes;
      pending.reject(new EventCenterError('UNAVAILABLE', late));
    }
    this.#sendWaiting();
  }
}
