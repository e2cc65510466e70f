import type { Handler, Log, Settlement, Subscription } from '../../core/ports.js';
import { decide, type HandlerFailures } from '../hand-over.js';
import type { Decoded, WireMessage } from '../message-format.js';
import type { Consumer, EmbeddedQueue, Taken } from './embedded-queue.js';

export interface EmbeddedSubscriptionDeps<T> {
  queue: EmbeddedQueue;
  prefetch: number;
  handler: Handler<T>;
  failures: HandlerFailures | null;
  decode: (wire: WireMessage) => Decoded<T>;
  settle: (taken: Taken, settlement: Settlement) => void;
  onStopped: () => void;
  log: Log;
}

/** One consumer of one queue. Messages are read when there is room for them, so that nothing is prefetched. */
export class EmbeddedSubscription<T> implements Subscription, Consumer {
  readonly #deps: EmbeddedSubscriptionDeps<T>;
  #running = true;
  #stopped = false;
  #inHand = 0;
  #whenIdle: (() => void)[] = [];

  constructor(deps: EmbeddedSubscriptionDeps<T>) {
    this.#deps = deps;
    deps.queue.addConsumer(this);
  }

  room(): number {
    return this.#running ? this.#deps.prefetch - this.#inHand : 0;
  }

  take(taken: Taken): void {
    void this.#process(taken);
  }

  pause(): Promise<void> {
    this.#running = false;
    return Promise.resolve();
  }

  resume(): Promise<void> {
    this.#running = !this.#stopped;
    this.#deps.queue.wake();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#running = false;
    this.#deps.queue.removeConsumer(this);
    if (this.#inHand > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
    this.#deps.onStopped();
  }

  async #process(taken: Taken): Promise<void> {
    const { decode, queue, handler, failures, log, settle } = this.#deps;
    this.#inHand += 1;
    const { messageId, wire } = taken.stored;
    const incoming = { messageId, decoded: decode(wire), redelivered: taken.redelivered, bytes: wire.body.length };
    const settlement = await decide(incoming, { queue: queue.name, handler, failures, log });
    settle(taken, settlement);
    this.#inHand -= 1;
    queue.wake();
    if (this.#inHand === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}
