import { setMaxListeners } from 'node:events';
import type { CallGate } from './call-gate.js';
import { ChainRun, type ChainRunDeps } from './chain-run.js';
import { firstPosition, type Delays } from './chain.js';
import { EventCenterError } from './errors.js';
import type { ChainPosition, EventMessage } from './model.js';
import { sleep } from './periodic.js';
import type { Received, Settlement } from './ports.js';
import type { RegistrySnapshot } from './registry.js';
import { longestStepWithin } from './retry-schedule.js';
import { topologyOf } from './topology.js';

export interface DelivererDeps extends Omit<ChainRunDeps, 'delaysOf' | 'isStopping' | 'isOver'> {
  defaultDelaysMs: number[];
  /** No message is held unacked longer than this, unless a listener may take more than half of it to answer. */
  maxHoldMs: number;
  /** Aborted once the messages in hand were given back over the heads of those who handle them. */
  signal: AbortSignal;
}

/** Where the message came from: the queue of a node, with the gate for its calls. */
export interface DeliveryLane {
  nodeCode: string;
  gate: CallGate;
}

/** What is left of the hold for bringing the consequences of the last call to a safe place. */
const SAFEKEEPING_MS = 60_000;
/** A wait shorter than every delay step is held in memory up to this; beyond it the shortest step is taken. */
const LONGEST_WAIT_IN_HAND_MS = 5_000;
/** Before a message goes back that could not be handled, so that it does not come again at once. */
const GIVE_BACK_PAUSE_MS = 1_000;

/**
 * Handles the messages of node queues: one received message is one (event, node), and comes to an end by an ack only
 * when everything that follows from it is safe (architecture, decisions 4, 5 and 9).
 */
export class Deliverer {
  readonly #deps: DelivererDeps;
  readonly #runDeps: ChainRunDeps;
  readonly #delays = new WeakMap<RegistrySnapshot, Delays>();
  readonly #stop = new AbortController();

  constructor(deps: DelivererDeps) {
    this.#deps = deps;
    setMaxListeners(0, this.#stop.signal);
    this.#runDeps = {
      ...deps,
      delaysOf: (snapshot) => this.#delaysOf(snapshot),
      isStopping: () => this.#stop.signal.aborted,
      isOver: () => deps.signal.aborted,
    };
  }

  /** From now on no call is begun: chains in hand are handed on as soon as their present call has ended. */
  beginStop(): void {
    this.#stop.abort();
  }

  /** Never rejects; what could not be brought to its end goes back. */
  async deliver(received: Received<EventMessage>, lane: DeliveryLane): Promise<Settlement> {
    const { message } = received;
    const position = message.chain ?? firstPosition(lane.nodeCode);
    if (position.nodeCode !== lane.nodeCode) {
      return { dead: `the message is for node ${position.nodeCode} but came from the queue of node ${lane.nodeCode}` };
    }
    try {
      return await this.#deliver(received, position, lane.gate);
    } catch (error) {
      const known = error instanceof EventCenterError && error.code === 'UNAVAILABLE';
      const { eventId } = message.event;
      this.#deps.log[known ? 'warn' : 'error']('delivery.given-back', { eventId, nodeCode: lane.nodeCode, error });
      await sleep(GIVE_BACK_PAUSE_MS, this.#stop.signal);
      return 'requeue';
    }
  }

  async #deliver(received: Received<EventMessage>, position: ChainPosition, gate: CallGate): Promise<Settlement> {
    const { clock, maxHoldMs } = this.#deps;
    const { message, messageId, redelivered } = received;
    const receivedAt = clock.now();
    const giveUpAt = receivedAt + maxHoldMs + SAFEKEEPING_MS;
    const snapshot = await this.#snapshotFor(message, receivedAt + maxHoldMs / 2);
    if (position.dueAt !== null && position.dueAt > clock.now()) {
      const waited = await this.#waitUntil(position.dueAt, { message, position, snapshot, giveUpAt });
      if (waited !== 'due') return waited;
    }
    const claimSteps = redelivered || message.claimSteps || message.chain !== null;
    const subject = { event: message.event, position, messageId, claimSteps, gate, receivedAt, maxHoldMs, giveUpAt };
    return new ChainRun(this.#runDeps, subject, snapshot).run();
  }

  /** A snapshot that knows who is owed the event. Without the store it may not be had for a while. */
  async #snapshotFor({ event }: EventMessage, until: number): Promise<RegistrySnapshot> {
    const { registry, clock } = this.#deps;
    for (;;) {
      try {
        const current = registry.current();
        return current.version >= event.registryVersion ? current : await registry.atLeast(event.registryVersion);
      } catch (error) {
        if (this.#stop.signal.aborted || clock.now() >= until) throw error;
      }
      await sleep(GIVE_BACK_PAUSE_MS, this.#stop.signal);
    }
  }

  /**
   * A message that is not due goes on through the longest delay that is not too long. When every delay is too long, a
   * short wait is made in memory, and a long one is rounded up to the shortest delay: never early.
   */
  async #waitUntil(
    dueAt: number,
    held: { message: EventMessage; position: ChainPosition; snapshot: RegistrySnapshot; giveUpAt: number },
  ): Promise<'due' | 'ack' | 'requeue'> {
    const { clock, publisher } = this.#deps;
    const { stepsMs } = this.#delaysOf(held.snapshot);
    const remainingMs = dueAt - clock.now();
    const shortest = remainingMs > LONGEST_WAIT_IN_HAND_MS ? stepsMs[0] : undefined;
    const delayMs = longestStepWithin(stepsMs, remainingMs) ?? shortest;
    if (delayMs === undefined) {
      await sleep(remainingMs, this.#stop.signal);
      return clock.now() >= dueAt ? 'due' : 'requeue';
    }
    const queue = { kind: this.#deps.kind, nodeCode: held.position.nodeCode };
    await publisher.successor({ queue, message: held.message, delayMs, giveUpAt: held.giveUpAt });
    return 'ack';
  }

  #delaysOf(snapshot: RegistrySnapshot): Delays {
    let delays = this.#delays.get(snapshot);
    if (delays === undefined) {
      const { defaultDelaysMs } = this.#deps;
      delays = { defaultDelaysMs, stepsMs: topologyOf(snapshot.data, defaultDelaysMs).delaysMs };
      this.#delays.set(snapshot, delays);
    }
    return delays;
  }
}
