import { z } from 'zod';
import { maskHeaders } from '../../core/registry/mask-secrets.js';
import type { Listener } from '../../core/model.js';
import {
  CLASS_NAME_LENGTH,
  CODE_LENGTH,
  DEFAULT_TIMEOUT_MS,
  DELAYS_PER_LISTENER,
  DELAY_MS,
  HEADERS_PER_LISTENER,
  KEY_LENGTH,
  MASK,
  MAX_ATTEMPTS,
  NAME_LENGTH,
  NODE_CODE,
  NOTE_LENGTH,
  OPER_INDEX,
  TIMEOUT_MS,
  URL_LENGTH,
} from '../../core/registry/registry-limits.js';
import { isUnreadable, unreadableOfListener } from '../../core/registry/unreadable-secret.js';
import { isoTime, jsonObject, text, time, unreadable, unreadableFields, uuid, whole } from './fields.js';

const retryFields = {
  strategy: z.enum(['default', 'loop', 'none']),
  maxAttempts: whole(MAX_ATTEMPTS)
    .nullable()
    .meta({ description: 'attempts in all; the number of delays + 1 by default' }),
  delaysMs: z
    .array(whole(DELAY_MS))
    .nullable()
    .meta({ minItems: 1, maxItems: DELAYS_PER_LISTENER, description: 'null is the default schedule of the centre' }),
};

const fields = {
  name: text(NAME_LENGTH),
  namei18n: text(NAME_LENGTH).nullable(),
  implClassName: text(CLASS_NAME_LENGTH)
    .nullable()
    .meta({ description: 'class of a plugin; exactly one of it and `url`' }),
  url: text(URL_LENGTH)
    .nullable()
    .meta({ description: 'absolute http or https url, without user, password and fragment' }),
  owner: text(CODE_LENGTH).nullable(),
  note: text(NOTE_LENGTH, 0).nullable(),
  operIndex: whole(OPER_INDEX).meta({ description: 'place in the order of the node’s listeners of the event type' }),
  enabled: z.boolean(),
  tenantCode: text(CODE_LENGTH).nullable().meta({ description: 'only events of this tenant; null takes all' }),
  filter: jsonObject.nullable().meta({ description: 'JSON Schema: only events whose `userObject` satisfies it' }),
  format: z.string().meta({ description: '`iuap`; the other formats of the protocol answer NOT_IMPLEMENTED' }),
  method: z.enum(['POST', 'PUT']),
  headers: z
    .record(z.string(), z.string())
    .meta({ maxProperties: HEADERS_PER_LISTENER, description: 'sent along with each call' }),
  timeoutMs: whole(TIMEOUT_MS).meta({ default: DEFAULT_TIMEOUT_MS }),
  secret: text(KEY_LENGTH).nullable(),
  fieldsAsHeaders: z.boolean().meta({ description: 'repeats the event’s fields as headers' }),
};

const retryChanges = z.strictObject(retryFields).partial().meta({ id: 'NewRetryPolicy' });
/** Null sets these back to their defaults, as it clears others. */
const defaulted = {
  format: fields.format.nullable(),
  method: fields.method.nullable(),
  headers: fields.headers.nullable(),
  timeoutMs: fields.timeoutMs.nullable(),
  retry: retryChanges.nullable(),
};
const changes = z.strictObject({ ...fields, ...defaulted }).partial();
const nodeCode = z.string().meta({ pattern: NODE_CODE.source });

export const listenerChanges = changes.meta({ id: 'ListenerChanges' });

export const newListener = changes
  .extend({
    name: fields.name,
    nodeCode,
    eventTypeId: uuid.optional().meta({ description: 'or `sourceId` and `eventTypeCode`' }),
    sourceId: text(CODE_LENGTH).optional(),
    eventTypeCode: text(CODE_LENGTH).optional(),
  })
  .meta({ id: 'NewListener' });

export const listener = z
  .object({
    id: uuid,
    eventTypeId: uuid,
    nodeCode,
    ...fields,
    secret: z
      .string()
      .nullable()
      .meta({ description: `${MASK}, or null when there is none` }),
    retry: z.object(retryFields).meta({ id: 'RetryPolicy' }),
    unreadable,
    version: z.int(),
    lastTime: time,
  })
  .meta({ id: 'Listener' });

/** A listener as answers show it, without its secrets. */
export function listenerView(one: Listener): z.infer<typeof listener> {
  return {
    ...one,
    ...unreadableFields(unreadableOfListener(one)),
    headers: isUnreadable(one.headers) ? {} : maskHeaders(one.headers),
    secret: one.secret === null ? null : MASK,
    lastTime: isoTime(one.lastTime),
  };
}

const MOVED = 'cannot be changed; register another listener';

/** Why these fields of a listener cannot be given in a change. */
export const FIXED_LISTENER_FIELDS = { nodeCode: MOVED, eventTypeId: MOVED, sourceId: MOVED, eventTypeCode: MOVED };
