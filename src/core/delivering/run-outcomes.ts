import { attemptOutcome, decisionOutcome, type OutcomeEnd } from './chain-outcome.js';
import type { ChainLink } from './chain.js';
import type { ChainPosition, Event, Outcome } from '../model.js';
import type { OutcomeBatches } from './outcome-batches.js';
import type { Clock, ListenerAnswer, Log, Metrics } from '../ports.js';

export interface RunOutcomesDeps {
  outcomes: OutcomeBatches;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** Which listener an outcome is about: `attempt` is the one that was made, or for a decision those made so far. */
export interface Concerned {
  link: ChainLink;
  attempt: number;
}

/** The outcomes of one message: sent as they come, counted and logged, and all safe before the ack. */
export class RunOutcomes {
  readonly #deps: RunOutcomesDeps;
  readonly #source: { event: Event; position: ChainPosition };
  readonly #giveUpAt: number;
  readonly #sent: Promise<void>[] = [];

  constructor(deps: RunOutcomesDeps, of: { event: Event; position: ChainPosition; giveUpAt: number }) {
    this.#deps = deps;
    this.#source = { event: of.event, position: of.position };
    this.#giveUpAt = of.giveUpAt;
  }

  /** What an attempt would be recorded as. */
  ofAttempt({ link, attempt }: Concerned, answer: ListenerAnswer, end: OutcomeEnd): Outcome {
    const { event, position } = this.#source;
    return attemptOutcome({ event, position, link, attempt }, answer, end);
  }

  /** Records an attempt, with its wide log line. */
  attempted(outcome: Outcome): void {
    const { event } = this.#source;
    // Field by field, like the outcome itself: there is one line for each attempt.
    this.#deps.log.info('delivery.attempted', {
      eventId: outcome.eventId,
      listenerId: outcome.listenerId,
      nodeCode: outcome.nodeCode,
      operIndex: outcome.operIndex,
      generation: outcome.generation,
      sequence: outcome.sequence,
      attempt: outcome.attempt,
      state: outcome.state,
      reason: outcome.reason,
      nextAttemptAt: outcome.nextAttemptAt,
      outcomeId: outcome.outcomeId,
      durationMs: outcome.durationMs,
      status: outcome.status,
      error: outcome.error,
      sourceId: event.sourceId,
      eventType: event.eventType,
      traceparent: event.traceparent,
    });
    this.#send(outcome);
  }

  /** Records that no attempt was made. */
  decided({ link, attempt }: Concerned, end: OutcomeEnd, error: string | null): void {
    const now = this.#deps.clock.now();
    const { event, position } = this.#source;
    this.#send(decisionOutcome({ event, position, link, attempt }, end, { now, error }));
  }

  /** @throws UNAVAILABLE when one of them found no safe place in time. */
  async allSafe(): Promise<void> {
    for (const sent of this.#sent) await sent;
  }

  #send(outcome: Outcome): void {
    const { acceptedAt, deliverAt } = this.#source.event;
    const waitedMs = outcome.startedAt + outcome.durationMs - Math.max(acceptedAt, deliverAt ?? 0);
    this.#deps.metrics.delivered(outcome.state, outcome.state === 'succeeded' ? waitedMs : null);
    const sent = this.#deps.outcomes.add(outcome, this.#giveUpAt);
    // It is awaited before the ack; until then nobody listens.
    sent.catch(() => undefined);
    this.#sent.push(sent);
  }
}
