import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type RequestHandler, type Response } from 'express';
import { z } from 'zod';
import type { Acceptor } from '../core/accepting/accept.js';
import { EventCenterError, invalidField, invalidFields, type FieldError } from '../core/errors.js';
import { BUILT_IN_NODE_CODE } from '../core/model.js';
import { expectWithin, type Caller } from '../core/access/caller.js';
import type { Submission } from '../core/accepting/submission.js';
import { awaitBody } from './await-body.js';
import { readFields } from './read-fields.js';
import { readEventTexts, type EventText } from './user-object-text.js';

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
  /** A string is sent as that text, other JSON as it stands in the body, digit by digit; null is no payload. */
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
  /** Whose token it is; authentication and role are checked before. A caller of one node sends for that node. */
  callerOf: (res: Response) => Caller;
  /** Most bytes of one payload. */
  maxBodyBytes: number;
}

/**
 * What answers `POST /events`, to stand behind the checks of token and role and before any other parser of JSON: one event
 * → 202 `{eventId, code}`; an array of up to 500 → 207 `{items}` in order, each accepted or refused on its own, those
 * under one key one after another. Errors go to the error middleware.
 */
export function publishEvents({ acceptor, callerOf, maxBodyBytes }: PublishEventsOptions): RequestHandler[] {
  const limit = Math.max(MIN_CALL_BYTES, 2 * maxBodyBytes);
  const texts = new WeakMap<IncomingMessage, string>();
  // eslint-disable-next-line @typescript-eslint/max-params -- body-parser calls it with these four
  const verify = (req: IncomingMessage, _res: ServerResponse, body: Buffer, encoding: string): void => {
    if (encoding === 'utf-8') texts.set(req, body.toString('utf8'));
  };
  const read = (caller: Caller, input: EventInput): ReadEvent =>
    recording(acceptor, caller, () => ofCaller(caller, readEvent(input, maxBodyBytes)));
  const publish = (caller: Caller, { submission, appId }: ReadEvent) =>
    acceptor.acceptTrusted({ actor: caller.actor.name, appId }, submission);

  return [
    awaitBody(limit),
    express.json({ limit, type: ['application/json', 'application/*+json'], verify }),
    async (req, res) => {
      const body: unknown = req.body;
      const json = texts.get(req);
      if (body === undefined || json === undefined) {
        throw new EventCenterError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type: expected application/json in UTF-8');
      }
      const caller = callerOf(res);
      const traceparent = req.get('traceparent') ?? null;
      if (!Array.isArray(body)) {
        const uuid = req.get('idempotency-key') ?? null;
        const event = read(caller, { value: body, text: readEventTexts(json)[0] ?? NO_TEXT, uuid, traceparent });
        res.status(202).json(await publish(caller, event));
        return;
      }
      if (body.length === 0 || body.length > MAX_EVENTS) {
        throw invalidField('body', `expected 1 to ${String(MAX_EVENTS)} events, found ${String(body.length)}`);
      }
      const eventTexts = readEventTexts(json);
      const items: Item[] = [];
      const events: IndexedEvent[] = [];
      for (const [index, value] of body.entries()) {
        const text = eventTexts[index] ?? NO_TEXT;
        try {
          events.push({ index, event: read(caller, { value, text, uuid: null, traceparent }) });
        } catch (error) {
          items[index] = refusedItem(error);
        }
      }
      await eachBounded(lanesOf(events), async (lane) => {
        for (const { index, event } of lane) {
          items[index] = await publish(caller, event).then((accepted) => ({ status: 202, ...accepted }), refusedItem);
        }
      });
      res.status(207).json({ items });
    },
  ];
}

type Item = Record<string, unknown>;

interface IndexedEvent {
  index: number;
  event: ReadEvent;
}

const NO_TEXT: EventText = { userObject: null, repeated: null };

/** Events under one key follow one another, so that the second is told that it is a duplicate; others need not wait. */
function lanesOf(events: IndexedEvent[]): IndexedEvent[][] {
  const lanes = new Map<string | number, IndexedEvent[]>();
  for (const indexed of events) {
    const { submission, appId } = indexed.event;
    const key = submission.uuid ?? '';
    const lane = key === '' ? indexed.index : JSON.stringify([appId ?? BUILT_IN_NODE_CODE, key]);
    const known = lanes.get(lane);
    if (known === undefined) lanes.set(lane, [indexed]);
    else known.push(indexed);
  }
  return [...lanes.values()];
}

/** Counts and logs what `read` refuses, as the acceptor does with what it refuses itself. */
function recording<T>(acceptor: Acceptor, caller: Caller, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof EventCenterError) acceptor.recordRefusal(error, { actor: caller.actor.name });
    throw error;
  }
}

/** One event as it came. */
interface EventInput {
  value: unknown;
  text: EventText;
  /** From the header. */
  uuid: string | null;
  traceparent: string | null;
}

interface ReadEvent {
  submission: Submission;
  /** The node in whose name it is sent. */
  appId: string | null;
}

/** The event in the name of the caller's node. @throws FORBIDDEN when it names another one. */
function ofCaller(caller: Caller, event: ReadEvent): ReadEvent {
  if (caller.nodeCode === null) return event;
  if (event.appId !== null) expectWithin(caller, 'appId', event.appId);
  return { ...event, appId: caller.nodeCode };
}

function readEvent(input: EventInput, maxBodyBytes: number): ReadEvent {
  const fields: FieldError[] = [];
  const { repeated } = input.text;
  if (repeated !== null) fields.push({ path: repeated, message: 'expected it once' });
  const event = readFields(publishEventSchema, input.value, { fields, root: 'body', fixedFields: {} });
  if (event === null || fields.length > 0) throw invalidFields(fields);
  const uuid = event.uuid ?? null;
  const idempotencyKey = event.idempotencyKey ?? null;
  if (uuid !== null && idempotencyKey !== null && uuid !== idempotencyKey) {
    throw invalidField('idempotencyKey', 'is another name of uuid, expected only one of them');
  }
  const userObject = payloadText(event.userObject, input.text);
  if (userObject !== null && Buffer.byteLength(userObject) > maxBodyBytes) {
    throw new EventCenterError('PAYLOAD_TOO_LARGE', `userObject: expected at most ${String(maxBodyBytes)} bytes`);
  }
  const appId = event.appId ?? null;
  const body = {
    sourceId: event.sourceId,
    eventType: event.eventType,
    tenantCode: event.tenantCode ?? null,
    userObject,
    deliverAt: typeof event.deliverAt === 'number' ? String(event.deliverAt) : (event.deliverAt ?? null),
    orderKey: event.orderKey ?? null,
  };
  const bodyFields = Object.entries({ ...body, appId }).filter((field): field is [string, string] => field[1] !== null);
  return {
    submission: { ...body, uuid: uuid ?? idempotencyKey ?? input.uuid, traceparent: input.traceparent, bodyFields },
    appId,
  };
}

function payloadText(userObject: unknown, text: EventText): string | null {
  if (userObject === undefined || userObject === null) return null;
  if (typeof userObject !== 'string') return text.userObject;
  if (LONE_SURROGATE.test(userObject)) throw invalidField('userObject', 'expected text that can be written as UTF-8');
  return userObject;
}

function refusedItem(error: unknown): Item {
  if (!(error instanceof EventCenterError)) {
    return { status: 500, code: 'INTERNAL', eventId: null, message: 'Something broke on our side' };
  }
  const errors = error.fields.length === 0 ? {} : { errors: error.fields };
  return { status: error.status, code: error.code, eventId: error.eventId, message: error.message, ...errors };
}

/** Does `work` for each input, for at most `PARALLEL` at a time. `work` must not reject. */
async function eachBounded<T>(inputs: T[], work: (input: T) => Promise<void>): Promise<void> {
  const remaining = inputs.values();
  const runner = async (): Promise<void> => {
    for (const input of remaining) await work(input);
  };
  await Promise.all(Array.from({ length: Math.min(PARALLEL, inputs.length) }, runner));
}
