import type { ChainLink } from './chain.js';
import { uuidV7 } from '../ids.js';
import type { ChainPosition, DeliveryReason, DeliveryState, Event, Outcome } from '../model.js';
import type { ListenerAnswer } from '../ports.js';

/** What of a message every outcome of it carries. */
export interface OutcomeSource {
  event: Event;
  position: ChainPosition;
  link: ChainLink;
  /** Number of the attempt, or for a decision of those made so far. */
  attempt: number;
}

export interface OutcomeEnd {
  state: DeliveryState;
  reason: DeliveryReason | null;
  /** When the successor is due; null unless `retrying`. */
  nextAttemptAt: number | null;
}

/** Longest text of an answer, and of an error, that is kept. */
const RESPONSE_CHARACTERS = 4096;
const ERROR_CHARACTERS = 500;

// Both write every field out: one is made for each attempt, and copying objects into each other costs several times that.

/** The outcome of a call. */
export function attemptOutcome(source: OutcomeSource, answer: ListenerAnswer, end: OutcomeEnd): Outcome {
  const succeeded = end.state === 'succeeded';
  return {
    outcomeId: uuidV7(answer.startedAt),
    eventId: source.event.eventId,
    listenerId: source.link.listenerId,
    nodeCode: source.position.nodeCode,
    operIndex: source.link.operIndex,
    generation: source.position.generation,
    sequence: source.position.sequence,
    attempt: source.attempt,
    called: true,
    state: end.state,
    reason: end.reason,
    startedAt: answer.startedAt,
    durationMs: answer.durationMs,
    status: answer.status,
    error: succeeded ? null : (answer.error ?? 'the answer was not a success').slice(0, ERROR_CHARACTERS),
    response: succeeded ? null : (answer.response?.slice(0, RESPONSE_CHARACTERS) ?? null),
    nextAttemptAt: end.nextAttemptAt,
  };
}

/** The outcome of a decision not to call. */
export function decisionOutcome(
  source: OutcomeSource,
  end: OutcomeEnd,
  decision: { now: number; error: string | null },
): Outcome {
  return {
    outcomeId: uuidV7(decision.now),
    eventId: source.event.eventId,
    listenerId: source.link.listenerId,
    nodeCode: source.position.nodeCode,
    operIndex: source.link.operIndex,
    generation: source.position.generation,
    sequence: source.position.sequence,
    attempt: source.attempt,
    called: false,
    state: end.state,
    reason: end.reason,
    startedAt: decision.now,
    durationMs: 0,
    status: null,
    error: decision.error,
    response: null,
    nextAttemptAt: end.nextAttemptAt,
  };
}
