import express, { type Response, type Router } from 'express';
import { z } from 'zod';
import type { Acceptor } from '../core/accept.js';
import { EventCenterError, invalidField, type FieldError } from '../core/errors.js';
import type { Actor } from '../core/ports.js';
import type { Submission } from '../core/submission.js';

/** The most events in one call. */
const MAX_EVENTS = 500;
/** Events of one call that are published at a time. */
const PARALLEL = 32;
/** The least that a whole call may have; one event is bound by `maxBodyBytes`. */
const MIN_CALL_BYTES = 16 * 1024 * 1024;

const LONE_SURROGATE = /\p{Surrogate}/u;
const text = z.string().refine((value) => !LONE_SURROGATE.test(value), 'expected text that can be written as UTF-8');
const code = text.min(1).max(40);

/** One event of `POST /api/v1/events`. */
export const publishEventSchema = z.strictObject({
  sourceId: code,
  eventType: code,
  tenantCode: text.max(40).nullish(),
  /** A string is sent as that text, other JSON is written as JSON; null is no payload. */
  userObject: z.unknown().optional(),
  /** Idempotency key. */
  uuid: text.nullish(),
  /** Another name of `uuid`. */
  idempotencyKey: text.nullish(),
  /** RFC 3339, or ms since the epoch. */
  deliverAt: z.union([text, z.int()]).nullish(),
  /** The node in whose name it is sent; without, the token's holder may send any type. */
  appId: text.nullish(),
  orderKey: text.nullish(),
});

export interface PublishEventsOptions {
  acceptor: Acceptor;
  /** Whose token it is; authentication and role are checked before. */
  actorOf: (res: Response) => Actor;
  /** Most bytes of one payload. */
  maxBodyBytes: number;
}

/**
 * `POST /events`, to be mounted at `/api/v1` behind the check of the token and before any other parser of JSON: one event
 * → 202 `{eventId, code}`; an array of up to 500 → 207 `{items}` in order, each accepted or refused on its own. Numbers in
 * `userObject` pass through JavaScript, so whole ones beyond 2^53 keep their digits only inside a string.
 * Errors go to the error middleware.
 */
export function publishEventsRouter({ acceptor, actorOf, maxBodyBytes }: PublishEventsOptions): Router {
  const router = express.Router();
  const limit = Math.max(MIN_CALL_BYTES, 2 * maxBodyBytes);
  const publish = async (actor: Actor, input: unknown, headers: EventHeaders) => {
    const { submission, appId } = recording(acceptor, actor, () => readEvent(input, headers, maxBodyBytes));
    return acceptor.acceptTrusted({ actor: actor.name, appId }, submission);
  };

  router.post(
    '/events',
    express.json({ limit, type: ['application/json', 'application/*+json'] }),
    async (req, res) => {
      const body: unknown = req.body;
      if (body === undefined)
        throw new EventCenterError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type: expected application/json');
      const actor = actorOf(res);
      const traceparent = req.get('traceparent') ?? null;
      if (!Array.isArray(body)) {
        res.status(202).json(await publish(actor, body, { uuid: req.get('idempotency-key') ?? null, traceparent }));
        return;
      }
      if (body.length === 0 || body.length > MAX_EVENTS) {
        throw invalidField('body', `expected 1 to ${String(MAX_EVENTS)} events, found ${String(body.length)}`);
      }
      const items = await mapBounded(body, async (input: unknown) => {
        try {
          return { status: 202, ...(await publish(actor, input, { uuid: null, traceparent })) };
        } catch (error) {
          return refusedItem(error);
        }
      });
      res.status(207).json({ items });
    },
  );
  return router;
}

/** Counts and logs what `read` refuses, as the acceptor does with what it refuses itself. */
function recording<T>(acceptor: Acceptor, actor: Actor, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof EventCenterError) acceptor.recordRefusal(error, { actor: actor.name });
    throw error;
  }
}

/** What stands in headers instead of the body. */
interface EventHeaders {
  uuid: string | null;
  traceparent: string | null;
}

function readEvent(
  input: unknown,
  headers: EventHeaders,
  maxBodyBytes: number,
): { submission: Submission; appId: string | null } {
  const parsed = publishEventSchema.safeParse(input);
  if (!parsed.success) throw invalidBody(parsed.error);
  const { sourceId, eventType, tenantCode, appId, orderKey } = parsed.data;
  const uuid = parsed.data.uuid ?? null;
  const idempotencyKey = parsed.data.idempotencyKey ?? null;
  const deliverAt = parsed.data.deliverAt ?? null;
  if (uuid !== null && idempotencyKey !== null && uuid !== idempotencyKey) {
    throw invalidField('idempotencyKey', 'is another name of uuid, expected only one of them');
  }
  const userObject = payloadText(parsed.data.userObject);
  if (userObject !== null && Buffer.byteLength(userObject) > maxBodyBytes) {
    throw new EventCenterError('PAYLOAD_TOO_LARGE', `userObject: expected at most ${String(maxBodyBytes)} bytes`);
  }
  const submission = {
    sourceId,
    eventType,
    tenantCode: tenantCode ?? null,
    userObject,
    uuid: uuid ?? idempotencyKey ?? headers.uuid,
    deliverAt: deliverAt === null ? null : String(deliverAt),
    orderKey: orderKey ?? null,
    traceparent: headers.traceparent,
  };
  return { submission, appId: appId ?? null };
}

function payloadText(userObject: unknown): string | null {
  if (userObject === undefined || userObject === null) return null;
  if (typeof userObject !== 'string') return toJson(userObject);
  if (LONE_SURROGATE.test(userObject)) throw invalidField('userObject', 'expected text that can be written as UTF-8');
  return userObject;
}

function toJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    // What came as JSON has no cycles; too many levels are all that can be wrong.
    throw invalidField('userObject', 'is nested too deeply');
  }
}

function invalidBody(error: z.ZodError): EventCenterError {
  const fields: FieldError[] = error.issues.map((issue) => ({
    path: issue.path.join('.') || 'body',
    message: issue.message,
  }));
  const message = fields.map((field) => `${field.path}: ${field.message}`).join('; ');
  return new EventCenterError('INVALID_PARAM', message, { fields });
}

function refusedItem(error: unknown): Record<string, unknown> {
  if (!(error instanceof EventCenterError)) {
    return { status: 500, code: 'INTERNAL', eventId: null, message: 'Something broke on our side' };
  }
  const errors = error.fields.length === 0 ? {} : { errors: error.fields };
  return { status: error.status, code: error.code, eventId: null, message: error.message, ...errors };
}

/** Like `Promise.all` over `map`, with at most `PARALLEL` at a time. `work` must not reject. */
async function mapBounded<T, R>(inputs: T[], work: (input: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const remaining = inputs.entries();
  const runner = async (): Promise<void> => {
    for (const [index, input] of remaining) results[index] = await work(input);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, inputs.length) }, runner));
  return results;
}
