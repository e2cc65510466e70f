import { uuidV5 } from '../ids.js';
import type { Delivery, DeliveryState, Event, EventState, Outcome, OwedListener } from '../model.js';
import type { AttemptRecord, FailureRecord } from '../ports.js';

/**
 * A delivery with what the merging of outcomes needs beside it. `last…` stand for the outcome that decided the row:
 * `generation` may be raised without an outcome (retry, replay, sweep, cancel), `lastGeneration` never is.
 */
export interface DeliveryRecord extends Delivery {
  /** 0 while no outcome came. */
  lastGeneration: number;
  lastAttempt: number;
  lastSequence: number;
  /**
   * When something is expected to happen: the next attempt, or for `pending` the time since when it is. Null once
   * settled, so that what is overdue is one range of an index.
   */
  expectedAt: number | null;
}

export type AttemptRow = AttemptRecord & { eventId: string; listenerId: string };

/** What the newest message of a chain has at least come to. */
export interface ChainProgress {
  eventId: string;
  nodeCode: string;
  generation: number;
  sequence: number;
}

export interface MergedOutcome {
  delivery: DeliveryRecord;
  /** Rows to add to the attempts, unless their `outcomeId` is there already. */
  attemptRows: AttemptRow[];
  /** Row to add to the failure log, unless its `id` is there already. */
  failureRow: FailureRecord | null;
  /** A successor exists, because it is confirmed before its outcome is published; null otherwise. */
  chainProgress: ChainProgress | null;
}

const UNSETTLED: readonly DeliveryState[] = ['pending', 'retrying'];

/** Which of two outcomes of the same message counts, when a crash has repeated an attempt. */
const RANK: Record<DeliveryState, number> = {
  pending: 0,
  retrying: 1,
  skipped: 2,
  cancelled: 3,
  failed: 4,
  succeeded: 5,
};

/** The states of an event, the one that most needs attention first (protocol page, section 4). */
const EVENT_STATES: readonly DeliveryState[] = ['pending', 'retrying', 'failed', 'succeeded'];

/** Whether a delivery in this state has come to its end. */
export function isSettled(state: DeliveryState): boolean {
  return !UNSETTLED.includes(state);
}

/**
 * The state of an event: the worst of its deliveries; cancelled ones count as skipped.
 * `scheduled` says that the event waits for its release, for an event without deliveries.
 */
export function eventStateOf(deliveries: Iterable<DeliveryState>, event: { scheduled: boolean }): EventState {
  const states = new Set(deliveries);
  if (states.size === 0) return event.scheduled ? 'scheduled' : 'no-listener';
  for (const state of EVENT_STATES) if (states.has(state)) return state as EventState;
  return 'skipped';
}

/**
 * The delivery of a listener that is owed an event, from the event itself. A row that is there already, because an
 * outcome was recorded first or the event comes again, keeps its state.
 */
export function mergeOwed(existing: DeliveryRecord | null, owed: OwedListener, event: Event): DeliveryRecord {
  if (existing !== null) return { ...existing, operIndex: owed.operIndex, createdAt: event.acceptedAt };
  return {
    eventId: event.eventId,
    listenerId: owed.listenerId,
    nodeCode: owed.nodeCode,
    operIndex: owed.operIndex,
    state: 'pending',
    reason: null,
    generation: 1,
    attempts: 0,
    lastStatus: null,
    lastError: null,
    lastResponse: null,
    lastOutcomeId: null,
    lastStartedAt: null,
    lastDurationMs: null,
    nextAttemptAt: null,
    createdAt: event.acceptedAt,
    updatedAt: event.acceptedAt,
    lastGeneration: 0,
    lastAttempt: 0,
    lastSequence: 0,
    expectedAt: Math.max(event.acceptedAt, event.deliverAt ?? 0),
  };
}

/**
 * Merges an outcome into the record of its delivery. Idempotent by `outcomeId`; every order of the same outcomes
 * gives the same record and the same rows. Within a generation a success is final; otherwise the outcome that is
 * further by (attempt, sequence) counts, and of one message's the better end. Outcomes of an older generation are
 * only remembered as attempts. What an operator has cancelled stays so, unless a success arrives.
 */
export function mergeOutcome(existing: DeliveryRecord | null, outcome: Outcome): MergedOutcome {
  const counts = existing === null || displaces(outcome, existing);
  const delivery = counts ? decidedBy(outcome, existing) : withAttempts(existing, outcome);
  const attemptRows: AttemptRow[] = [];
  if (counts && existing !== null && isUnrecordedSuccess(existing)) attemptRows.push(firstSuccessOf(existing));
  const livesInDelivery = delivery.lastOutcomeId === outcome.outcomeId && isUnrecordedSuccess(delivery);
  if (outcome.called && !livesInDelivery) attemptRows.push(attemptRowOf(outcome));
  return {
    delivery,
    attemptRows,
    failureRow: outcome.state === 'failed' ? failureRowOf(outcome) : null,
    chainProgress: outcome.state === 'retrying' ? progressOf(outcome) : null,
  };
}

/** The attempt that lives in the delivery's own row, null when it has a row of its own or there was none. */
export function ownAttemptOf(delivery: DeliveryRecord): AttemptRow | null {
  return isUnrecordedSuccess(delivery) ? firstSuccessOf(delivery) : null;
}

/** Whether chain progress `a` is ahead of `b`. */
export function isAhead(a: ChainProgress, b: ChainProgress): boolean {
  return a.generation !== b.generation ? a.generation > b.generation : a.sequence > b.sequence;
}

function displaces(outcome: Outcome, existing: DeliveryRecord): boolean {
  if (outcome.outcomeId === existing.lastOutcomeId) return false;
  if (isCancelledByOperator(existing)) {
    return outcome.state === 'succeeded' || outcome.generation > existing.generation;
  }
  if (existing.state === 'succeeded' && isCancelledByOperator(outcome)) return false;
  if (outcome.generation !== existing.generation) return outcome.generation > existing.generation;
  if (existing.lastGeneration < existing.generation && existing.state !== 'succeeded') return true;
  const isSuccess = outcome.state === 'succeeded';
  if (isSuccess !== (existing.state === 'succeeded')) return isSuccess;
  if (outcome.attempt !== existing.lastAttempt) return outcome.attempt > existing.lastAttempt;
  if (outcome.sequence !== existing.lastSequence) return outcome.sequence > existing.lastSequence;
  if (RANK[outcome.state] !== RANK[existing.state]) return RANK[outcome.state] > RANK[existing.state];
  return outcome.outcomeId > (existing.lastOutcomeId ?? '');
}

function isCancelledByOperator({ state, reason }: Pick<Delivery, 'state' | 'reason'>): boolean {
  return state === 'cancelled' && reason === 'cancelled';
}

function decidedBy(outcome: Outcome, existing: DeliveryRecord | null): DeliveryRecord {
  const endedAt = endOf(outcome);
  const nextAttemptAt = outcome.state === 'retrying' ? outcome.nextAttemptAt : null;
  return {
    eventId: outcome.eventId,
    listenerId: outcome.listenerId,
    nodeCode: outcome.nodeCode,
    operIndex: existing?.operIndex ?? outcome.operIndex,
    state: outcome.state,
    reason: outcome.reason,
    generation: Math.max(outcome.generation, existing?.generation ?? 1),
    attempts: Math.max(outcome.attempt, existing?.attempts ?? 0),
    lastStatus: outcome.status,
    lastError: errorOf(outcome),
    lastResponse: outcome.response,
    lastOutcomeId: outcome.outcomeId,
    lastStartedAt: outcome.called ? outcome.startedAt : null,
    lastDurationMs: outcome.called ? outcome.durationMs : null,
    nextAttemptAt,
    createdAt: existing?.createdAt ?? outcome.startedAt,
    updatedAt: Math.max(endedAt, existing?.updatedAt ?? 0),
    lastGeneration: outcome.generation,
    lastAttempt: outcome.attempt,
    lastSequence: outcome.sequence,
    expectedAt: isSettled(outcome.state) ? null : (nextAttemptAt ?? endedAt),
  };
}

function withAttempts(existing: DeliveryRecord, outcome: Outcome): DeliveryRecord {
  return {
    ...existing,
    attempts: Math.max(existing.attempts, outcome.attempt),
    updatedAt: Math.max(existing.updatedAt, endOf(outcome)),
  };
}

/** Only a success at the first attempt has no row of its own: it is by far the most frequent attempt. */
function isUnrecordedSuccess(delivery: DeliveryRecord): boolean {
  return delivery.lastStartedAt !== null && delivery.lastError === null && delivery.lastAttempt === 1;
}

function firstSuccessOf(delivery: DeliveryRecord): AttemptRow {
  return {
    eventId: delivery.eventId,
    listenerId: delivery.listenerId,
    outcomeId: delivery.lastOutcomeId ?? '',
    attempt: delivery.lastAttempt,
    generation: delivery.lastGeneration,
    state: 'succeeded',
    startedAt: delivery.lastStartedAt ?? 0,
    durationMs: delivery.lastDurationMs ?? 0,
    status: delivery.lastStatus,
    error: null,
    response: delivery.lastResponse,
  };
}

function attemptRowOf(outcome: Outcome): AttemptRow {
  const { eventId, listenerId, outcomeId, attempt, generation, state, startedAt, durationMs, status, response } =
    outcome;
  const error = errorOf(outcome);
  return { eventId, listenerId, outcomeId, attempt, generation, state, startedAt, durationMs, status, error, response };
}

/** A call without success always has an error, so that a null error means success. */
function errorOf(outcome: Outcome): string | null {
  if (outcome.state === 'succeeded') return null;
  return outcome.error ?? (outcome.called ? 'no reason was given' : null);
}

function failureRowOf(outcome: Outcome): FailureRecord {
  return {
    id: uuidV5('delivery-failure', outcome.eventId, outcome.listenerId, String(outcome.generation)),
    kind: 'delivery',
    eventId: outcome.eventId,
    listenerId: outcome.listenerId,
    nodeCode: outcome.nodeCode,
    generation: outcome.generation,
    attempts: outcome.attempt,
    reason: outcome.reason ?? 'exhausted',
    lastStatus: outcome.status,
    lastError: errorOf(outcome),
    lastResponse: outcome.response,
    raw: null,
    rawHeaders: null,
    failedAt: endOf(outcome),
  };
}

function progressOf(outcome: Outcome): ChainProgress {
  const { eventId, nodeCode, generation, sequence } = outcome;
  return { eventId, nodeCode, generation, sequence: sequence + 1 };
}

function endOf(outcome: Outcome): number {
  return outcome.startedAt + outcome.durationMs;
}
