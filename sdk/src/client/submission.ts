import { randomUUID } from 'node:crypto';
import { InvalidOptionError } from '../errors.js';
import type { EventKey, EventMap, EventTypeOf, SourceIdOf } from '../event-map.js';
import { messageOf } from '../message-of.js';

/** What is said of an event beside its type and payload. */
export interface SubmissionDetails {
  /** The tenant that it belongs to, 1 to 40 characters. */
  tenantCode?: string;
  /**
   * Idempotency key, 1 to 128 characters without control characters; a random UUID by default. Within 24 hours the centre
   * makes one event of all sends with this key and the same content.
   */
  uuid?: string;
  /** Not delivered before then: a date, or milliseconds since the epoch. */
  deliverAt?: Date | number;
  /** W3C trace context, carried to every listener; one that does not parse is left out, as that standard asks. */
  traceparent?: string;
}

/**
 * `userObject`: a text is sent as it is, everything else as JSON. It may be left out where the event map does not say
 * what it must be.
 */
type WithPayload<Payload> = unknown extends Payload ? { userObject?: Payload } : { userObject: Payload | string };

/** An event to send, typed by the event map. */
export type Submission<Events extends object = EventMap> = {
  [Key in EventKey<Events>]: SubmissionDetails &
    WithPayload<Events[Key]> & {
      /** The application that the event comes from, 1 to 40 characters. */
      sourceId: SourceIdOf<Key>;
      /** 1 to 40 characters. */
      eventType: EventTypeOf<Key>;
    };
}[EventKey<Events>];

/** A submission as it goes onto the wire. */
export interface CheckedSubmission {
  uuid: string;
  /** Fields of the form. */
  fields: Record<string, string>;
  headers: Record<string, string>;
}

/** Limits of the protocol page, section 2, in characters. */
const CODE_LENGTH = 40;
const KEY_LENGTH = 128;

/**
 * Checks a submission by the rules of the protocol page, section 2, as far as they do not depend on the centre's
 * configuration and registry.
 * @throws InvalidOptionError naming the field.
 */
export function checkSubmission(submission: Submission): CheckedSubmission {
  if (typeof submission !== 'object' || (submission as unknown) === null) {
    throw new InvalidOptionError('event', 'expected an object with sourceId and eventType');
  }
  const { sourceId, eventType, tenantCode, uuid, deliverAt, traceparent } = submission;
  const fields: Record<string, string> = {
    sourceID: code('sourceId', sourceId),
    eventType: code('eventType', eventType),
  };
  if (isGiven(tenantCode) && tenantCode !== '') fields['tenantCode'] = code('tenantCode', tenantCode);
  if ('userObject' in submission) fields['userObject'] = userObjectText(submission.userObject);
  if (isGiven(deliverAt)) fields['deliverAt'] = milliseconds(deliverAt);
  const key = isGiven(uuid) ? keyText(uuid) : randomUUID();
  fields['uuid'] = key;
  const headers: Record<string, string> = {};
  if (typeof traceparent === 'string' && TRACEPARENT.test(traceparent)) headers['traceparent'] = traceparent;
  return { uuid: key, fields, headers };
}

/** JavaScript callers give null where TypeScript ones leave out. */
function isGiven<T>(value: T | undefined): value is NonNullable<T> {
  return value !== undefined && value !== null;
}

function code(field: string, text: unknown): string {
  if (typeof text !== 'string' || text === '') {
    throw new InvalidOptionError(field, `required, a text of 1 to ${String(CODE_LENGTH)} characters`);
  }
  if (isLongerThan(text, CODE_LENGTH)) {
    throw new InvalidOptionError(field, `expected at most ${String(CODE_LENGTH)} characters, found more`);
  }
  return wellFormed(field, text);
}

function keyText(text: unknown): string {
  if (typeof text !== 'string' || text === '') {
    throw new InvalidOptionError('uuid', `expected a text of 1 to ${String(KEY_LENGTH)} characters, or none`);
  }
  if (isLongerThan(text, KEY_LENGTH)) {
    throw new InvalidOptionError('uuid', `expected at most ${String(KEY_LENGTH)} characters, found more`);
  }
  if (CONTROL_CHARACTER.test(text)) throw new InvalidOptionError('uuid', 'expected no control characters');
  return wellFormed('uuid', text);
}

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;
const LONE_SURROGATE = /\p{Surrogate}/u;
const TRACEPARENT =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{0,72})?$/;

/** Half of a surrogate pair would arrive as another character. */
function wellFormed(field: string, text: string): string {
  if (LONE_SURROGATE.test(text)) {
    throw new InvalidOptionError(field, 'expected text that can be written as UTF-8, found half of a surrogate pair');
  }
  return text;
}

/** Characters are code points, as in the columns of the centre's database. */
function isLongerThan(text: string, length: number): boolean {
  if (text.length <= length) return false;
  return text.length > 2 * length || [...text].length > length;
}

/**
 * The text of a payload: a text as it is, everything else as JSON.
 * @throws InvalidOptionError at `userObject` for what JSON cannot say.
 */
function userObjectText(value: unknown): string {
  if (typeof value === 'string') return wellFormed('userObject', value);
  if (typeof value === 'number' && !Number.isFinite(value)) throw noJson(String(value));
  let text: unknown;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw new InvalidOptionError('userObject', `cannot be written as JSON: ${messageOf(error)}`);
  }
  if (typeof text !== 'string') throw noJson(typeof value);
  return text;
}

function noJson(found: string): InvalidOptionError {
  return new InvalidOptionError(
    'userObject',
    `expected a text or what JSON can say, found ${found}; leave it out for none`,
  );
}

function milliseconds(time: unknown): string {
  const ms = time instanceof Date ? time.getTime() : time;
  if (typeof ms !== 'number' || !Number.isInteger(ms) || ms < 0 || ms >= 1e15) {
    throw new InvalidOptionError('deliverAt', 'expected a valid Date, or whole milliseconds since the epoch');
  }
  return String(ms);
}
