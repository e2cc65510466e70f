import { EventCenterError } from '../errors.js';
import type { EventMessage, Outcome } from '../model.js';
import { sleep } from '../periodic.js';
import type { Broker, Clock, Log, Metrics, NodeQueue, ParkedMessage, ParkedStore } from '../ports.js';

export interface AssuredPublisherDeps {
  broker: Pick<Broker, 'publishToNode' | 'publishOutcomes' | 'publishEvent'>;
  parked: Pick<ParkedStore, 'park'>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** How long the broker is asked alone before the store is asked too. */
  patienceMs: number;
  /** Told when the first message can be brought nowhere, and when the last such message found a place. */
  onStuck(stuck: boolean): void;
  /** Ends all trying. */
  signal: AbortSignal;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

interface Attempted {
  what: string;
  publish: () => Promise<void>;
  parked: () => { message: ParkedMessage; dueAt: number };
  giveUpAt: number;
}

/**
 * Brings a message to a safe place: to the broker; when that does not confirm for a while, to the store, from where the
 * due scanner publishes it; and while both are away it keeps trying, with backoff, and says that it is stuck
 * (architecture, decision 9). What resolves is safe; it may be there twice.
 */
export class AssuredPublisher {
  readonly #deps: AssuredPublisherDeps;
  #stuck = 0;

  constructor(deps: AssuredPublisherDeps) {
    this.#deps = deps;
  }

  /**
   * A successor that comes back after `delayMs`, never earlier.
   * @returns when it is due.
   * @throws UNAVAILABLE when it found no place before `giveUpAt`.
   */
  async successor(successor: {
    queue: NodeQueue;
    message: EventMessage;
    delayMs: number;
    giveUpAt: number;
  }): Promise<number> {
    const { queue, message, delayMs, giveUpAt } = successor;
    const { broker, clock } = this.#deps;
    const earliestAt = clock.now() + delayMs;
    let dueAt = earliestAt;
    await this.#bring({
      what: 'successor',
      publish: () => {
        const now = clock.now();
        const overdue = now >= earliestAt;
        dueAt = overdue ? now : now + delayMs;
        return broker.publishToNode(queue, message, overdue ? 0 : delayMs);
      },
      parked: () => {
        dueAt = earliestAt;
        return { message: { kind: 'successor', queue, message }, dueAt };
      },
      giveUpAt,
    });
    return dueAt;
  }

  /** @throws UNAVAILABLE when they found no place before `giveUpAt`. */
  async outcomes(outcomes: Outcome[], giveUpAt: number): Promise<void> {
    await this.#bring({
      what: 'outcomes',
      publish: () => this.#deps.broker.publishOutcomes(outcomes),
      parked: () => ({ message: { kind: 'outcomes', outcomes }, dueAt: this.#deps.clock.now() }),
      giveUpAt,
    });
  }

  /** An event of our own. Never throws and never waits for long: it must not hold back a delivery. */
  async event(message: EventMessage): Promise<void> {
    const { broker, parked, clock, log, metrics } = this.#deps;
    try {
      await broker.publishEvent(message);
    } catch (publishError) {
      try {
        await parked.park({ kind: 'event', message }, clock.now());
      } catch (error) {
        metrics.incident('built-in-event.lost');
        log.warn('built-in-event.lost', { eventId: message.event.eventId, error, publishError });
      }
    }
  }

  async #bring(attempted: Attempted): Promise<void> {
    const { clock, metrics, signal } = this.#deps;
    const patientUntil = clock.now() + this.#deps.patienceMs;
    let pauseMs = FIRST_PAUSE_MS;
    let stuck = false;
    try {
      for (;;) {
        try {
          await attempted.publish();
          return;
        } catch (error) {
          metrics.incident(`${attempted.what}.not-confirmed`);
          if (clock.now() >= patientUntil || signal.aborted) {
            if (await this.#park(attempted, error)) return;
            if (!stuck) this.#countStuck(1);
            stuck = true;
          }
          if (signal.aborted || clock.now() >= attempted.giveUpAt) {
            throw new EventCenterError('UNAVAILABLE', `${attempted.what}: neither broker nor store took it in time`, {
              cause: error,
            });
          }
        }
        await sleep(pauseMs * (0.5 + Math.random() / 2), signal);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      }
    } finally {
      if (stuck) this.#countStuck(-1);
    }
  }

  async #park(attempted: Attempted, publishError: unknown): Promise<boolean> {
    const { parked, log, metrics } = this.#deps;
    const { message, dueAt } = attempted.parked();
    try {
      await parked.park(message, dueAt);
    } catch (error) {
      log.warn(`${attempted.what}.nowhere-to-go`, { error, publishError });
      return false;
    }
    metrics.incident(`${attempted.what}.parked`);
    log.warn(`${attempted.what}.parked`, { dueAt, publishError });
    return true;
  }

  #countStuck(change: 1 | -1): void {
    const was = this.#stuck > 0;
    this.#stuck += change;
    if (was !== this.#stuck > 0) this.#deps.onStuck(this.#stuck > 0);
  }
}
