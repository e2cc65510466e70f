import { EventCenterError } from '../../core/errors.js';
import { closedWith } from './replies.js';
import type { RpcChannels } from './rpc-channels.js';
import type { Upkeep } from './upkeep.js';

/**
 * The upkeep of an application's process, whose broker user may declare nothing: the centre has declared what it uses, or
 * will. It only looks whether a queue is there before it consumes it, so that waiting for one costs no channel.
 */
export class ApplicationUpkeep implements Upkeep {
  #channels: RpcChannels | null = null;
  readonly #missing = new Set<string>();

  attach(channels: RpcChannels): Promise<{ created: boolean }> {
    this.#channels = channels;
    return NOTHING_CREATED;
  }

  listen(): Promise<void> {
    return Promise.resolve();
  }

  detach(): void {
    this.#channels = null;
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  repair(): Promise<{ created: boolean }> {
    return NOTHING_CREATED;
  }

  ensure(): Promise<void> {
    return refused();
  }

  unbind(): Promise<void> {
    return refused();
  }

  deleteNodeQueue(): Promise<boolean> {
    return refused();
  }

  ensureDelay(): Promise<void> {
    return Promise.resolve();
  }

  remember(): void {
    // The centre knows which queues there must be.
  }

  async ensureForConsumer(queue: string): Promise<void> {
    const channels = this.#channels;
    if (channels === null) throw new EventCenterError('UNAVAILABLE', 'the broker is not connected');
    try {
      await channels.run(`checking ${queue}`, (channel) => channel.checkQueue(queue));
      this.#missing.delete(queue);
    } catch (error) {
      if (!closedWith(error, 'NOT_FOUND')) throw error;
      this.#missing.add(queue);
      throw new EventCenterError('UNAVAILABLE', `there is no queue ${queue}: the centre declares it`, { cause: error });
    }
  }

  doubt(): void {
    // Looked for before the next try.
  }

  suspectQueue(): void {
    // The centre finds and mends queues that confirm nothing.
  }

  suspectQueuesOf(): void {
    // The same.
  }

  unusable(): string[] {
    return [...this.#missing];
  }
}

const NOTHING_CREATED = Promise.resolve({ created: false });

function refused(): Promise<never> {
  return Promise.reject(new EventCenterError('FORBIDDEN', 'an application declares nothing on the broker'));
}
