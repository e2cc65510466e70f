import type { WireMessage } from '../message-format.js';
import { keyOf, PublishLane, type Destination, type PublishLaneDeps, type PublishOptions } from './publish-lane.js';

export interface PublisherDeps extends Omit<PublishLaneDeps, 'onConfirmed' | 'onStalled'> {
  /** The lane `aside` is needed: it wants a connection. */
  onSetAside: () => void;
}

/**
 * Publishes on two lanes, each with a connection of its own: `main` for all, and `aside` for the destinations that
 * brought it to a standstill, until one of their messages is confirmed again. So a queue that cannot confirm delays the
 * senders of its own event types only.
 */
export class Publisher {
  readonly main: PublishLane;
  readonly aside: PublishLane;
  readonly #setAside = new Set<string>();

  constructor({ onSetAside, ...deps }: PublisherDeps) {
    this.main = new PublishLane({
      ...deps,
      onConfirmed: () => undefined,
      onStalled: (destination) => {
        this.#setAside.add(keyOf(destination));
        onSetAside();
      },
    });
    this.aside = new PublishLane({
      ...deps,
      onConfirmed: (destination) => this.#setAside.delete(keyOf(destination)),
      onStalled: () => undefined,
    });
  }

  /** Why nothing can be published now, or null. */
  get problem(): string | null {
    return this.main.problem;
  }

  /** Publishes persistent and, unless `options` says otherwise, mandatory, under a message id of its own. */
  publish(destination: Destination, wire: WireMessage, options: PublishOptions = {}): Promise<void> {
    const isAside = this.#setAside.size > 0 && this.#setAside.has(keyOf(destination));
    return (isAside ? this.aside : this.main).publish(destination, wire, options);
  }
}
