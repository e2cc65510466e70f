import type { AttemptRow as Attempt, DeliveryRecord } from '../core/recording/delivery-state.js';
import type { Delivery, Event, EventState } from '../core/model.js';
import type { AttemptRecord, FailureRecord } from '../core/ports.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { AttemptRow, DeliveryRow, EventRow, FailureRow } from './journal-tables.js';
import type { SqlValue } from './sql.js';

/** A row as the drivers give it: ids are bytes. */
export type Raw<Row, Id extends keyof Row> = {
  [Name in keyof Row]: Name extends Id ? (null extends Row[Name] ? Buffer | null : Buffer) : Row[Name];
};
export type RawEvent = Raw<EventRow, 'event_id' | 'event_type_id'>;
export type RawDelivery = Raw<DeliveryRow, 'event_id' | 'listener_id' | 'last_outcome_id'>;
export type RawAttempt = Raw<AttemptRow, 'event_id' | 'listener_id' | 'outcome_id'>;
export type RawFailure = Raw<FailureRow, 'id' | 'event_id' | 'listener_id'>;

export const EVENT_COLUMNS = [
  'event_id',
  'app_id',
  'event_type_id',
  'sourceid',
  'eventtype',
  'tenant_code',
  'user_object',
  'sender_uuid',
  'traceparent',
  'accepted_at',
  'deliver_at',
  'registry_version',
  'state',
  'release_at',
] satisfies (keyof EventRow)[];

export const DELIVERY_KEY = ['event_id', 'listener_id'] satisfies (keyof DeliveryRow)[];
export const DELIVERY_COLUMNS = [
  ...DELIVERY_KEY,
  'node_code',
  'oper_index',
  'state',
  'reason',
  'generation',
  'attempts',
  'last_status',
  'last_error',
  'last_response',
  'last_outcome_id',
  'last_started_at',
  'last_duration_ms',
  'last_generation',
  'last_attempt',
  'last_sequence',
  'next_attempt_at',
  'expected_at',
  'created_at',
  'updated_at',
] satisfies (keyof DeliveryRow)[];

export const ATTEMPT_COLUMNS = [
  'event_id',
  'listener_id',
  'outcome_id',
  'attempt',
  'generation',
  'state',
  'started_at',
  'duration_ms',
  'status',
  'error',
  'response',
] satisfies (keyof AttemptRow)[];

export const FAILURE_COLUMNS = [
  'id',
  'kind',
  'event_id',
  'listener_id',
  'node_code',
  'generation',
  'attempts',
  'reason',
  'last_status',
  'last_error',
  'last_response',
  'raw',
  'raw_headers',
  'failed_at',
] satisfies (keyof FailureRow)[];

/** Characters of a one-sentence column; what is longer is cut, because it explains and decides nothing. */
const SENTENCE = 1_000;
/** Characters of an answer's beginning. */
const ANSWER = 4_096;

/** The values of EVENT_COLUMNS. */
export function eventValues(event: Event, state: EventState): SqlValue[] {
  return [
    uuidToBytes(event.eventId),
    event.appId,
    uuidToBytes(event.eventTypeId),
    event.sourceId,
    event.eventType,
    event.tenantCode,
    // As text: bytes would travel to MySQL as hex, twice as long.
    event.userObject?.toString('utf8') ?? null,
    event.senderUuid,
    event.traceparent,
    event.acceptedAt,
    event.deliverAt,
    event.registryVersion,
    state,
    state === 'scheduled' ? event.deliverAt : null,
  ];
}

/** The event of a row with all columns. */
export function eventOf(row: RawEvent): Event {
  return {
    eventId: uuidFromBytes(row.event_id),
    appId: row.app_id,
    eventTypeId: uuidFromBytes(row.event_type_id),
    sourceId: row.sourceid,
    eventType: row.eventtype,
    tenantCode: row.tenant_code,
    userObject: row.user_object === null ? null : Buffer.from(row.user_object, 'utf8'),
    senderUuid: row.sender_uuid,
    traceparent: row.traceparent,
    acceptedAt: row.accepted_at,
    deliverAt: row.deliver_at,
    registryVersion: row.registry_version,
  };
}

/** The values of DELIVERY_COLUMNS. */
export function deliveryValues(delivery: DeliveryRecord): SqlValue[] {
  return [
    uuidToBytes(delivery.eventId),
    uuidToBytes(delivery.listenerId),
    delivery.nodeCode,
    delivery.operIndex,
    delivery.state,
    delivery.reason,
    delivery.generation,
    delivery.attempts,
    delivery.lastStatus,
    cut(delivery.lastError, SENTENCE),
    cut(delivery.lastResponse, ANSWER),
    delivery.lastOutcomeId === null ? null : uuidToBytes(delivery.lastOutcomeId),
    delivery.lastStartedAt,
    delivery.lastDurationMs,
    delivery.lastGeneration,
    delivery.lastAttempt,
    delivery.lastSequence,
    delivery.nextAttemptAt,
    delivery.expectedAt,
    delivery.createdAt,
    delivery.updatedAt,
  ];
}

/** The delivery of a row, with what merging needs. */
export function deliveryRecordOf(row: RawDelivery): DeliveryRecord {
  return {
    ...deliveryOf(row),
    lastGeneration: row.last_generation,
    lastAttempt: row.last_attempt,
    lastSequence: row.last_sequence,
    expectedAt: row.expected_at,
  };
}

/** The delivery of a row. */
export function deliveryOf(row: RawDelivery): Delivery {
  return {
    eventId: uuidFromBytes(row.event_id),
    listenerId: uuidFromBytes(row.listener_id),
    nodeCode: row.node_code,
    operIndex: row.oper_index,
    state: row.state,
    reason: row.reason,
    generation: row.generation,
    attempts: row.attempts,
    lastStatus: row.last_status,
    lastError: row.last_error,
    lastResponse: row.last_response,
    lastOutcomeId: row.last_outcome_id === null ? null : uuidFromBytes(row.last_outcome_id),
    lastStartedAt: row.last_started_at,
    lastDurationMs: row.last_duration_ms,
    nextAttemptAt: row.next_attempt_at,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** The values of ATTEMPT_COLUMNS. */
export function attemptValues(attempt: Attempt): SqlValue[] {
  return [
    uuidToBytes(attempt.eventId),
    uuidToBytes(attempt.listenerId),
    uuidToBytes(attempt.outcomeId),
    attempt.attempt,
    attempt.generation,
    attempt.state,
    attempt.startedAt,
    attempt.durationMs,
    attempt.status,
    cut(attempt.error, SENTENCE),
    cut(attempt.response, ANSWER),
  ];
}

/** The attempt of a row. */
export function attemptOf(row: RawAttempt): AttemptRecord {
  return {
    outcomeId: uuidFromBytes(row.outcome_id),
    attempt: row.attempt,
    generation: row.generation,
    state: row.state,
    startedAt: row.started_at,
    durationMs: row.duration_ms,
    status: row.status,
    error: row.error,
    response: row.response,
  };
}

/** The values of FAILURE_COLUMNS. */
export function failureValues(failure: FailureRecord): SqlValue[] {
  return [
    uuidToBytes(failure.id),
    failure.kind,
    failure.eventId === null ? null : uuidToBytes(failure.eventId),
    failure.listenerId === null ? null : uuidToBytes(failure.listenerId),
    failure.nodeCode,
    failure.generation,
    failure.attempts,
    cut(failure.reason, SENTENCE),
    failure.lastStatus,
    cut(failure.lastError, SENTENCE),
    cut(failure.lastResponse, ANSWER),
    failure.raw,
    failure.rawHeaders,
    failure.failedAt,
  ];
}

/** The failure of a row. */
export function failureOf(row: RawFailure): FailureRecord {
  return {
    id: uuidFromBytes(row.id),
    kind: row.kind,
    eventId: row.event_id === null ? null : uuidFromBytes(row.event_id),
    listenerId: row.listener_id === null ? null : uuidFromBytes(row.listener_id),
    nodeCode: row.node_code,
    generation: row.generation,
    attempts: row.attempts,
    reason: row.reason,
    lastStatus: row.last_status,
    lastError: row.last_error,
    lastResponse: row.last_response,
    raw: row.raw,
    rawHeaders: row.raw_headers,
    failedAt: row.failed_at,
  };
}

function cut(text: string | null, length: number): string | null {
  return text !== null && text.length > length ? text.slice(0, length) : text;
}
