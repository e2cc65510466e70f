import type { EventMessage } from '../model.js';
import { sleep } from '../periodic.js';
import type { Broker, Clock, Handler, Log, NodeQueue, Received, Settlement, Subscription } from '../ports.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';

export interface LeaseQueueDeps {
  nodeCode: string;
  broker: Pick<Broker, 'consumeNode' | 'depth'>;
  registry: RegistryView;
  /** Makes a message ready to be given, or says what becomes of it instead. Never rejects. */
  receive: (received: Received<EventMessage>) => Promise<Settlement | { snapshot: RegistrySnapshot }>;
  clock: Clock;
  log: Log;
}

/** What a caller asks for. */
export interface LeaseAsk {
  /** Most messages. */
  max: number;
  /** When it goes away without any. */
  until: number;
  /** Aborted when the caller is gone. */
  signal: AbortSignal;
}

/** A message in hand, unacked until it is settled. */
export interface InHand {
  received: Received<EventMessage>;
  snapshot: RegistrySnapshot;
  settle: (settlement: Settlement) => void;
}

interface Caller extends LeaseAsk {
  items: InHand[];
  bytes: number;
  timer: NodeJS.Timeout;
  gathering: boolean;
  resolve: (items: InHand[]) => void;
  onGone: () => void;
}

/** After its first message, a caller waits this long for more: one answer, one transaction. */
const GATHER_MS = 15;
/** Nobody is sent away before what lies in the queue had the time to come. */
const LEAST_WAIT_MS = 150;
/** The queue is taken from for so long after the last caller has gone. */
const LINGER_MS = 1_000;
const RETRY_PAUSE_MS = 1_000;
/** What is taken from the queue ahead of the answers is bounded, in messages and for an answer in bytes. */
const MOST_PREFETCH = 200;
const ANSWER_BYTES = 8 * 1024 * 1024;

/**
 * The queue of one node's plugins, as long as somebody asks for its messages. Callers are served in the order in which
 * they came, each up to what it asked for; whoever comes again stands at the end.
 */
export class LeaseQueue {
  readonly #deps: LeaseQueueDeps;
  readonly #queue: NodeQueue;
  readonly #callers: Caller[] = [];
  #waiting: InHand[] = [];
  #subscription: { handle: Subscription; prefetch: number } | null = null;
  readonly #left = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #idle: NodeJS.Timeout | null = null;
  /** True from the last caller on until the queue has been left for a while. */
  #lingering = false;
  #loop: Promise<void> | null = null;

  constructor(deps: LeaseQueueDeps) {
    this.#deps = deps;
    this.#queue = { kind: 'plugin', nodeCode: deps.nodeCode };
  }

  /** The next messages, none when nothing came in time, the caller is gone, the node is disabled or this stops. */
  ask(ask: LeaseAsk): Promise<InHand[]> {
    if (this.#stop.signal.aborted || ask.signal.aborted || this.#isDisabled()) return Promise.resolve([]);
    return new Promise((resolve) => {
      const caller: Caller = {
        ...ask,
        items: [],
        bytes: 0,
        gathering: false,
        timer: setTimeout(
          () => {
            this.#answer(caller);
          },
          Math.max(LEAST_WAIT_MS, ask.until - this.#deps.clock.now()),
        ),
        resolve,
        onGone: () => {
          this.#goneAway(caller);
        },
      };
      ask.signal.addEventListener('abort', caller.onGone, { once: true });
      this.#callers.push(caller);
      this.#linger(false);
      this.#serve();
      this.#begin();
    });
  }

  /** To be called at each new registry: a disabled node's queue waits. */
  look(): void {
    if (!this.#isDisabled()) return;
    this.#sendAway();
    this.#begin();
  }

  /** Sends all callers away and takes nothing more; resolves when nothing is in hand. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#sendAway();
    this.#begin();
    while (this.#loop !== null) await this.#loop;
    await Promise.all(this.#left);
  }

  readonly #handle: Handler<EventMessage> = async (received) => {
    if (this.#isDisabled()) {
      this.look();
      // It must not come again before the queue is left.
      await Promise.race([this.#loop, sleep(RETRY_PAUSE_MS, this.#stop.signal)]);
      return 'requeue';
    }
    const ready = await this.#deps.receive(received);
    if (typeof ready === 'string' || 'dead' in ready) return ready;
    return new Promise((resolve) => {
      this.#waiting.push({ received, snapshot: ready.snapshot, settle: resolve });
      if (this.#wish() === null) this.#giveBack();
      else this.#serve();
    });
  };

  /** Gives what is in hand to those who wait, first come, first served. */
  #serve(): void {
    for (let caller = this.#callers[0]; caller !== undefined; caller = this.#callers[0]) {
      while (this.#waiting.length > 0 && !isFull(caller)) {
        const item = this.#waiting.shift() as InHand;
        caller.items.push(item);
        caller.bytes += item.received.bytes;
      }
      if (isFull(caller)) {
        this.#answer(caller);
        continue;
      }
      if (caller.items.length > 0 && !caller.gathering) this.#gather(caller);
      return;
    }
  }

  #gather(caller: Caller): void {
    caller.gathering = true;
    clearTimeout(caller.timer);
    caller.timer = setTimeout(() => {
      this.#answer(caller);
    }, GATHER_MS);
  }

  #answer(caller: Caller): void {
    this.#remove(caller);
    caller.resolve(caller.items);
    // The next one may have been waiting behind a caller that was gathering.
    if (this.#waiting.length > 0) this.#serve();
  }

  #goneAway(caller: Caller): void {
    this.#remove(caller);
    this.#waiting = [...caller.items, ...this.#waiting];
    caller.resolve([]);
    this.#serve();
  }

  #remove(caller: Caller): void {
    clearTimeout(caller.timer);
    caller.signal.removeEventListener('abort', caller.onGone);
    const at = this.#callers.indexOf(caller);
    if (at !== -1) this.#callers.splice(at, 1);
    if (this.#callers.length === 0) this.#linger(true);
  }

  #sendAway(): void {
    for (const caller of [...this.#callers]) this.#answer(caller);
  }

  #linger(lingering: boolean): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
    this.#lingering = lingering;
    if (!lingering) return;
    this.#idle = setTimeout(() => {
      this.#linger(false);
      this.#begin();
    }, LINGER_MS);
  }

  /** How many messages are wanted at a time; null when none are. */
  #wish(): number | null {
    if (this.#stop.signal.aborted || this.#isDisabled()) return null;
    if (this.#callers.length === 0) return this.#lingering ? (this.#subscription?.prefetch ?? null) : null;
    let wanted = 0;
    for (const { max } of this.#callers) wanted += max;
    return Math.min(wanted, MOST_PREFETCH);
  }

  #begin(): void {
    if (this.#loop !== null) return;
    this.#loop = this.#run().finally(() => {
      this.#loop = null;
      // A wish that came while the loop was ending was not seen by it.
      if (this.#operation() !== null) this.#begin();
    });
  }

  async #run(): Promise<void> {
    let refused = 0;
    for (let operation = this.#operation(); operation !== null; operation = this.#operation()) {
      try {
        await operation();
        refused = 0;
      } catch (error) {
        refused += 1;
        const { log, nodeCode } = this.#deps;
        if (refused === 1) log.warn('node-queue.not-taken', { nodeCode, kind: 'plugin', error });
        await sleep(RETRY_PAUSE_MS, this.#stop.signal);
      }
    }
    if (this.#subscription === null && this.#wish() === null) this.#giveBack();
  }

  /** One step towards the wish, or null when there is nothing to do. */
  #operation(): (() => Promise<void>) | null {
    const wish = this.#wish();
    const present = this.#subscription;
    if (present === null) return wish === null ? null : () => this.#subscribe(wish);
    if (wish === null || wish > present.prefetch || wish * 4 < present.prefetch) return () => this.#leave(present);
    return null;
  }

  async #subscribe(prefetch: number): Promise<void> {
    if (!(await this.#isThere())) {
      await sleep(RETRY_PAUSE_MS, this.#stop.signal);
      return;
    }
    const handle = await this.#deps.broker.consumeNode(this.#queue, { prefetch }, this.#handle);
    this.#subscription = { handle, prefetch };
  }

  /** A queue that nothing registered needs is emptied as long as it exists; taking from it must not make a new one. */
  async #isThere(): Promise<boolean> {
    const { registry, broker, nodeCode } = this.#deps;
    const { listeners, revisions } = registry.current().data;
    if (listeners.some((listener) => listener.nodeCode === nodeCode && listener.implClassName !== null)) return true;
    if (!revisions.some((revision) => revision.nodeCode === nodeCode && revision.kind === 'plugin')) return false;
    return (await broker.depth(this.#queue)) !== null;
  }

  /** Takes nothing more by this subscription; what is in hand goes back when nobody asks any more. */
  async #leave(present: { handle: Subscription; prefetch: number }): Promise<void> {
    await present.handle.pause();
    this.#subscription = null;
    if (this.#wish() === null) this.#giveBack();
    const left = present.handle
      .stop()
      .catch((error: unknown) => {
        this.#deps.log.warn('node-queue.not-left', { nodeCode: this.#deps.nodeCode, kind: 'plugin', error });
      })
      .finally(() => this.#left.delete(left));
    this.#left.add(left);
  }

  #giveBack(): void {
    for (const { settle } of this.#waiting.splice(0)) settle('requeue');
  }

  #isDisabled(): boolean {
    return this.#deps.registry.current().node(this.#deps.nodeCode)?.enabled === false;
  }
}

function isFull(caller: Caller): boolean {
  return caller.items.length >= caller.max || caller.bytes >= ANSWER_BYTES;
}
