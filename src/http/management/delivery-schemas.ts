import { z } from 'zod';
import { DELIVERY_STATES, type Delivery } from '../../core/model.js';
import type { AttemptRecord } from '../../core/ports.js';
import type { ListenerNames } from '../../core/registry/listener-names.js';
import { isoTime, isoTimeOrNull, time, uuid } from './fields.js';

export const deliveryState = z.enum(DELIVERY_STATES);

export const delivery = z
  .object({
    eventId: uuid,
    listenerId: uuid,
    listenerName: z.string().nullable().meta({ description: 'null when nothing is known of the listener any more' }),
    nodeCode: z.string(),
    operIndex: z.int(),
    state: deliveryState,
    reason: z.string().nullable().meta({ description: 'why it has its state, where the state alone does not say' }),
    generation: z.int().meta({ description: 'raised by each manual retry, replay or sweep' }),
    attempts: z.int(),
    lastStatus: z.int().nullable(),
    lastError: z.string().nullable(),
    lastResponse: z.string().nullable(),
    lastStartedAt: time.nullable(),
    lastDurationMs: z.number().nullable(),
    nextAttemptAt: time.nullable(),
    createdAt: time,
    updatedAt: time,
  })
  .meta({ id: 'Delivery' });

export const attempt = z
  .object({
    attempt: z.int(),
    generation: z.int(),
    state: deliveryState,
    startedAt: time,
    durationMs: z.number(),
    status: z.int().nullable(),
    error: z.string().nullable(),
    response: z.string().nullable(),
  })
  .meta({ id: 'Attempt' });

export function deliveryView(one: Delivery, nameOf: ListenerNames): z.infer<typeof delivery> {
  return {
    eventId: one.eventId,
    listenerId: one.listenerId,
    listenerName: nameOf(one.listenerId),
    nodeCode: one.nodeCode,
    operIndex: one.operIndex,
    state: one.state,
    reason: one.reason,
    generation: one.generation,
    attempts: one.attempts,
    lastStatus: one.lastStatus,
    lastError: one.lastError,
    lastResponse: one.lastResponse,
    lastStartedAt: isoTimeOrNull(one.lastStartedAt),
    lastDurationMs: one.lastDurationMs,
    nextAttemptAt: isoTimeOrNull(one.nextAttemptAt),
    createdAt: isoTime(one.createdAt),
    updatedAt: isoTime(one.updatedAt),
  };
}

export function attemptView(record: AttemptRecord): z.infer<typeof attempt> {
  const { outcomeId: _, startedAt, ...rest } = record;
  return { ...rest, startedAt: isoTime(startedAt) };
}
