import { setMaxListeners } from 'node:events';
import { Arrivals } from './arrival.js';
import type { CallGate } from './call-gate.js';
import { ChainRun, type ChainRunDeps } from './chain-run.js';
import { firstPosition } from './chain.js';
import { EventCenterError } from '../errors.js';
import type { ChainPosition, EventMessage } from '../model.js';
import { sleep } from '../periodic.js';
import type { Received, Settlement } from '../ports.js';

export interface DelivererDeps extends Omit<ChainRunDeps, 'delaysOf' | 'mustHandOn' | 'isOver'> {
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
/** Before a message goes back that could not be handled, so that it does not come again at once. */
const GIVE_BACK_PAUSE_MS = 1_000;

/**
 * Handles the messages of node queues: one received message is one (event, node), and comes to an end by an ack only
 * when everything that follows from it is safe (architecture, decisions 4, 5 and 9).
 */
export class Deliverer {
  readonly #deps: DelivererDeps;
  readonly #runDeps: ChainRunDeps;
  readonly #arrivals: Arrivals;
  readonly #stop = new AbortController();

  constructor(deps: DelivererDeps) {
    this.#deps = deps;
    setMaxListeners(0, this.#stop.signal);
    this.#arrivals = new Arrivals({ ...deps, signal: this.#stop.signal });
    this.#runDeps = {
      ...deps,
      delaysOf: (snapshot) => this.#arrivals.delaysOf(snapshot),
      mustHandOn: () => this.#stop.signal.aborted,
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
    const snapshot = await this.#arrivals.snapshotFor(message, receivedAt + maxHoldMs / 2);
    const waited = await this.#arrivals.untilDue({ message, position, snapshot, giveUpAt });
    if (waited !== 'due') return waited;
    const claimSteps = redelivered || message.claimSteps || message.chain !== null;
    const subject = { event: message.event, position, messageId, claimSteps, gate, receivedAt, maxHoldMs, giveUpAt };
    return new ChainRun(this.#runDeps, subject, snapshot).run();
  }
}
