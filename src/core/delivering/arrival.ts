import type { AssuredPublisher } from './assured-publish.js';
import type { Delays } from './chain.js';
import type { ChainPosition, EventMessage, ListenerKind } from '../model.js';
import { sleep } from '../periodic.js';
import type { Clock } from '../ports.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';
import { longestStepWithin } from './retry-schedule.js';
import { topologyOf } from '../registry/topology.js';

export interface ArrivalsDeps {
  /** The kind of listeners whose queues are served. */
  kind: ListenerKind;
  registry: RegistryView;
  publisher: AssuredPublisher;
  clock: Clock;
  defaultDelaysMs: number[];
  /** Ends all waiting. */
  signal: AbortSignal;
}

/** A message that has arrived from the queue of a node. */
export interface Arrival {
  message: EventMessage;
  position: ChainPosition;
  snapshot: RegistrySnapshot;
  /** When to give it back, if it finds no other place. */
  giveUpAt: number;
}

/** Between two questions for a registry version that is not known yet. */
const ASK_AGAIN_MS = 1_000;
/** A wait shorter than every delay step is held in memory up to this; beyond it the shortest step is taken. */
const LONGEST_WAIT_IN_HAND_MS = 5_000;

/** What every message needs before anything can be done for it: a registry that knows who is owed it, and its time. */
export class Arrivals {
  readonly #deps: ArrivalsDeps;
  readonly #delays = new WeakMap<RegistrySnapshot, Delays>();

  constructor(deps: ArrivalsDeps) {
    this.#deps = deps;
  }

  /**
   * A snapshot that knows who is owed the event. Without the store it may not be had for a while.
   * @throws UNAVAILABLE when it was not to be had before `until`.
   */
  async snapshotFor({ event }: EventMessage, until: number): Promise<RegistrySnapshot> {
    const { registry, clock, signal } = this.#deps;
    for (;;) {
      try {
        const current = registry.current();
        return current.version >= event.registryVersion ? current : await registry.forVersion(event.registryVersion);
      } catch (error) {
        if (signal.aborted || clock.now() >= until) throw error;
      }
      await sleep(ASK_AGAIN_MS, signal);
    }
  }

  /**
   * A message that is not due goes on through the longest delay that is not too long, and is acked here. When every
   * delay is too long, a short wait is made in memory, and a long one is rounded up to the shortest delay: never early.
   * @throws UNAVAILABLE when it found no place in time.
   */
  async untilDue({ message, position, snapshot, giveUpAt }: Arrival): Promise<'due' | 'ack' | 'requeue'> {
    const { clock, publisher, kind, signal } = this.#deps;
    const { dueAt, nodeCode } = position;
    const remainingMs = dueAt === null ? 0 : dueAt - clock.now();
    if (dueAt === null || remainingMs <= 0) return 'due';
    const { stepsMs } = this.delaysOf(snapshot);
    const shortest = remainingMs > LONGEST_WAIT_IN_HAND_MS ? stepsMs[0] : undefined;
    const delayMs = longestStepWithin(stepsMs, remainingMs) ?? shortest;
    if (delayMs === undefined) {
      await sleep(remainingMs, signal);
      return clock.now() >= dueAt ? 'due' : 'requeue';
    }
    await publisher.successor({ queue: { kind, nodeCode }, message, delayMs, giveUpAt });
    return 'ack';
  }

  /** The delays of a registry. */
  delaysOf(snapshot: RegistrySnapshot): Delays {
    let delays = this.#delays.get(snapshot);
    if (delays === undefined) {
      const { defaultDelaysMs } = this.#deps;
      delays = { defaultDelaysMs, stepsMs: topologyOf(snapshot.data, defaultDelaysMs).delaysMs };
      this.#delays.set(snapshot, delays);
    }
    return delays;
  }
}
