import { setMaxListeners } from 'node:events';
import { CallGate } from './call-gate.js';
import type { LanePlan } from './lane-plans.js';
import type { EventMessage, ListenerKind } from '../model.js';
import { sleep } from '../periodic.js';
import type { Broker, Clock, Handler, Log, NodeQueue, Subscription } from '../ports.js';

/** Why a node's queue is not taken from for a while, although the plan says so. */
export type PauseReason = 'bytes' | 'nowhere-to-go';

export interface NodeLaneDeps {
  kind: ListenerKind;
  broker: Pick<Broker, 'consumeNode' | 'depth'>;
  /** Messages that are taken beyond those being called. */
  prefetchSlack: number;
  /** Shared by all lanes: bounds the broker operations that run at a time. */
  operations: CallGate;
  handler: (lane: NodeLane) => Handler<EventMessage>;
  clock: Clock;
  log: Log;
}

interface LaneSubscription {
  handle: Subscription;
  prefetch: number;
  paused: boolean;
  /** Whether it began for a retired queue, which may be deleted under it. */
  retired: boolean;
}

const RETRY_PAUSE_MS = 1_000;

/**
 * The consumer of one node's queue. Wishes may change at any time; a single loop makes the subscription equal to the
 * newest wish and repeats what the broker refused.
 */
export class NodeLane {
  readonly nodeCode: string;
  readonly gate: CallGate;
  readonly #deps: NodeLaneDeps;
  readonly #pausedBy = new Set<PauseReason>();
  readonly #replaced = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #plan: LanePlan;
  #subscription: LaneSubscription | null = null;
  /** A retired queue was found gone at the last look. */
  #gone = false;
  #lookDue = false;
  #started = false;
  #loop: Promise<void> | null = null;

  constructor(nodeCode: string, plan: LanePlan, deps: NodeLaneDeps) {
    this.nodeCode = nodeCode;
    this.#plan = plan;
    this.#deps = deps;
    this.gate = new CallGate(deps.clock, plan);
    setMaxListeners(0, this.#closing.signal);
  }

  start(): void {
    this.#started = true;
    this.#begin();
  }

  get consuming(): boolean {
    return this.#subscription !== null && !this.#subscription.paused;
  }

  setPlan(plan: LanePlan): void {
    this.#plan = plan;
    this.gate.setLimits(plan);
    this.#gone = false;
    this.#begin();
  }

  pause(reason: PauseReason): void {
    this.#pausedBy.add(reason);
    this.#begin();
  }

  resume(reason: PauseReason): void {
    if (this.#pausedBy.delete(reason)) this.#begin();
  }

  /** Looks whether the queue of a retired node came or went. */
  look(): void {
    if (!this.#plan.retired) return;
    this.#gone = false;
    this.#lookDue = true;
    this.#begin();
  }

  /** Resolves when the present wish is fulfilled, or the broker has refused it once. */
  async arrived(): Promise<void> {
    const loop = this.#loop;
    if (loop !== null) await Promise.race([loop, sleep(RETRY_PAUSE_MS, this.#closing.signal)]);
  }

  /** Stops taking messages, for good. */
  async quiesce(): Promise<void> {
    this.#closing.abort();
    this.gate.close();
    await this.#loop;
    const subscription = this.#subscription;
    if (subscription === null || subscription.paused) return;
    subscription.paused = true;
    await this.#operate(() => subscription.handle.pause());
  }

  /** Ends the subscription; resolves when no handler is running. */
  async close(): Promise<void> {
    await this.quiesce();
    await Promise.all([this.#subscription?.handle.stop(), ...this.#replaced]);
    this.#subscription = null;
  }

  #begin(): void {
    if (this.#loop !== null || !this.#started || this.#closing.signal.aborted) return;
    this.#loop = this.#run().finally(() => {
      this.#loop = null;
      // A wish that came while the loop was ending was not seen by it.
      if (this.#nextOperation() !== null) this.#begin();
    });
  }

  async #run(): Promise<void> {
    for (let refused = 0; !this.#closing.signal.aborted;) {
      const operation = this.#nextOperation();
      if (operation === null) return;
      try {
        await this.#operate(operation);
        refused = 0;
      } catch (error) {
        refused += 1;
        if (refused === 1) this.#deps.log.warn('node-queue.not-taken', { nodeCode: this.nodeCode, error });
        await sleep(RETRY_PAUSE_MS, this.#closing.signal);
      }
    }
  }

  /** One step towards the wish, or null when there is nothing to do. */
  #nextOperation(): (() => Promise<void>) | null {
    const paused = this.#pausedBy.size > 0 || !this.#plan.enabled;
    const present = this.#subscription;
    if (present === null) {
      if (paused || this.#gone) return null;
      return this.#plan.retired ? () => this.#subscribeIfThere() : () => this.#subscribe();
    }
    const revived = present.retired && !this.#plan.retired;
    if (revived || present.prefetch !== this.#prefetch()) return () => this.#drop(present);
    if (this.#plan.retired && this.#lookDue) return () => this.#dropIfGone(present);
    if (present.paused === paused) return null;
    return async () => {
      await (paused ? present.handle.pause() : present.handle.resume());
      present.paused = paused;
    };
  }

  async #subscribe(): Promise<void> {
    const prefetch = this.#prefetch();
    const { retired } = this.#plan;
    const handle = await this.#deps.broker.consumeNode(this.#queue(), { prefetch }, this.#deps.handler(this));
    this.#subscription = { handle, prefetch, paused: false, retired };
  }

  async #subscribeIfThere(): Promise<void> {
    this.#lookDue = false;
    this.#gone = (await this.#deps.broker.depth(this.#queue())) === null;
    if (!this.#gone) await this.#subscribe();
  }

  async #dropIfGone(present: LaneSubscription): Promise<void> {
    this.#gone = (await this.#deps.broker.depth(this.#queue())) === null;
    this.#lookDue = false;
    if (this.#gone) await this.#drop(present);
  }

  /** Takes nothing more by this subscription; what it has in hand comes to its end beside the next one. */
  async #drop(present: LaneSubscription): Promise<void> {
    await present.handle.pause();
    this.#subscription = null;
    const stopped = present.handle
      .stop()
      .catch((error: unknown) => {
        this.#deps.log.warn('node-queue.not-left', { nodeCode: this.nodeCode, error });
      })
      .finally(() => this.#replaced.delete(stopped));
    this.#replaced.add(stopped);
  }

  #queue(): NodeQueue {
    return { kind: this.#deps.kind, nodeCode: this.nodeCode };
  }

  /** Under a rate, what is taken waits for its turn: so not more than about a second's worth. */
  #prefetch(): number {
    const { concurrency, ratePerSecond } = this.#plan;
    return Math.min(concurrency, Math.max(1, Math.ceil(ratePerSecond ?? concurrency))) + this.#deps.prefetchSlack;
  }

  async #operate(operation: () => Promise<void>): Promise<void> {
    const { operations } = this.#deps;
    if (!(await operations.enter(Infinity))) return;
    try {
      await operation();
    } finally {
      operations.leave();
    }
  }
}
