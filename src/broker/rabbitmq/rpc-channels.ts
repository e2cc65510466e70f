import type { Channel } from 'amqplib';
import { hasCode } from '../../core/errors.js';
import { within } from '../within.js';
import type { Session } from './link.js';

/** Declarations at a time; one channel has one call on its way. */
const MAX_CHANNELS = 4;

interface Slot {
  channel: Channel | null;
}

/**
 * Channels for declaring, checking and deleting on one connection. An operation that fails costs its channel, never the
 * connection with its consumers: one queue that does not answer harms only itself.
 */
export class RpcChannels {
  readonly #session: Session;
  readonly #timeoutMs: number;
  readonly #free: Slot[] = Array.from({ length: MAX_CHANNELS }, () => ({ channel: null }));
  readonly #waiting: ((slot: Slot) => void)[] = [];

  constructor(session: Session, timeoutMs: number) {
    this.#session = session;
    this.#timeoutMs = timeoutMs;
  }

  /** Runs `operation` on a channel of its own. @throws what it throws, or UNAVAILABLE when it takes too long. */
  async run<T>(what: string, operation: (channel: Channel) => Promise<T>): Promise<T> {
    const slot = this.#free.pop() ?? (await new Promise<Slot>((resolve) => this.#waiting.push(resolve)));
    try {
      const channel = slot.channel ?? (await this.#open(slot));
      return await within(this.#timeoutMs, what, operation(channel));
    } catch (error) {
      this.#discard(slot);
      throw error;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(slot);
      else next(slot);
    }
  }

  async #open(slot: Slot): Promise<Channel> {
    const channel = await openChannel(this.#session, this.#timeoutMs, (session) => session.model.createChannel());
    channel.on('close', () => {
      if (slot.channel === channel) slot.channel = null;
    });
    slot.channel = channel;
    return channel;
  }

  #discard(slot: Slot): void {
    const { channel } = slot;
    slot.channel = null;
    if (channel !== null) closeChannel(channel);
  }
}

/** Opens a channel; a connection that cannot do so in time is cut, because nothing else will work on it either. */
export async function openChannel<C extends Channel>(
  session: Session,
  timeoutMs: number,
  open: (session: Session) => Promise<C>,
): Promise<C> {
  try {
    const channel = await within(timeoutMs, 'opening a channel', open(session));
    // Without a listener an error event would be thrown inside amqplib and take the connection down.
    channel.on('error', () => undefined);
    return channel;
  } catch (error) {
    if (hasCode(error, 'UNAVAILABLE')) session.kill('a channel could not be opened');
    throw error;
  }
}

/** Closes a channel without waiting; one that is closed already stays so. */
export function closeChannel(channel: Channel): void {
  try {
    channel.close().catch(() => undefined);
  } catch {
    // Closed by the other side meanwhile.
  }
}
