import { createHash } from 'node:crypto';
import { parseDeliverAt } from './deliver-at.js';
import { EventCenterError, invalidField } from '../errors.js';

/** What a sender hands in, as text; null and the empty text mean absent, except for `userObject`. */
export interface Submission {
  sourceId: string | null;
  eventType: string | null;
  tenantCode: string | null;
  /** The payload; the empty text is a payload too. */
  userObject: string | null;
  /** Idempotency key. */
  uuid: string | null;
  /** RFC 3339 or ms since the epoch. */
  deliverAt: string | null;
  /** Refused even when it is empty. */
  orderKey: string | null;
  traceparent: string | null;
  /** All that the body says but the key, decoded, also what the centre does not know. */
  bodyFields: BodyFields;
}

/** Names and values of a body, in any order. */
export type BodyFields = readonly (readonly [name: string, value: string])[];

/** A submission whose parameters satisfy their rules. */
export interface CheckedSubmission {
  sourceId: string;
  eventType: string;
  tenantCode: string | null;
  userObject: Buffer | null;
  uuid: string | null;
  /** As asked for, also when it is past. */
  deliverAt: number | null;
  traceparent: string | null;
  bodyFields: BodyFields;
}

/** Limits of the protocol page, section 2, in characters. */
const CODE_LENGTH = 40;
/** What a key may have, so that it fits a column, an index and a header. */
const KEY_LENGTH = 128;

/**
 * Checks the parameters of a send (protocol, section 2).
 * @throws INVALID_PARAM naming the field, `sourceIdField` being how the caller writes `sourceId`; NOT_IMPLEMENTED for
 *   an `orderKey` beside parameters that satisfy their rules.
 */
export function checkSubmission(
  submission: Submission,
  rules: { requireTenant: boolean; sourceIdField: string; now: number },
): CheckedSubmission {
  const tenantCode = isGiven(submission.tenantCode) ? submission.tenantCode : null;
  const checked: CheckedSubmission = {
    sourceId: requiredText(rules.sourceIdField, submission.sourceId),
    eventType: requiredText('eventType', submission.eventType),
    tenantCode: rules.requireTenant || tenantCode !== null ? requiredText('tenantCode', tenantCode) : null,
    userObject: submission.userObject === null ? null : Buffer.from(submission.userObject, 'utf8'),
    uuid: isGiven(submission.uuid) ? checkKey(submission.uuid) : null,
    deliverAt: isGiven(submission.deliverAt) ? parseDeliverAt(submission.deliverAt, rules.now) : null,
    traceparent: isGiven(submission.traceparent) ? validTraceparent(submission.traceparent) : null,
    bodyFields: submission.bodyFields,
  };
  if (submission.orderKey !== null) {
    throw new EventCenterError('NOT_IMPLEMENTED', 'orderKey: no order is promised between events, leave it out', {
      fields: [{ path: 'orderKey', message: 'not built yet' }],
    });
  }
  return checked;
}

/** What tells two bodies under one idempotency key apart: a hash over their fields, whose order does not count. */
export function bodyHash(fields: BodyFields): Buffer {
  const hash = createHash('sha256');
  for (const [name, value] of [...fields].sort(byNameAndValue)) {
    hash.update(`${String(name.length)}:${name}${String(value.length)}:`).update(value);
  }
  return hash.digest();
}

function byNameAndValue(a: BodyFields[number], b: BodyFields[number]): number {
  if (a[0] !== b[0]) return a[0] < b[0] ? -1 : 1;
  if (a[1] === b[1]) return 0;
  return a[1] < b[1] ? -1 : 1;
}

function isGiven(text: string | null): text is string {
  return text !== null && text !== '';
}

function requiredText(field: string, text: string | null): string {
  if (!isGiven(text)) throw invalidField(field, `required, 1 to ${String(CODE_LENGTH)} characters in the body`);
  if (isLongerThan(text, CODE_LENGTH)) {
    throw invalidField(field, `expected at most ${String(CODE_LENGTH)} characters, found more`);
  }
  return text;
}

function checkKey(key: string): string {
  if (isLongerThan(key, KEY_LENGTH))
    throw invalidField('uuid', `expected at most ${String(KEY_LENGTH)} characters, found more`);
  if (CONTROL_CHARACTER.test(key)) throw invalidField('uuid', 'expected no control characters');
  return key;
}

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/;

/** Characters are code points, as in the columns of the database. */
function isLongerThan(text: string, length: number): boolean {
  if (text.length <= length) return false;
  return text.length > 2 * length || [...text].length > length;
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$/;

/** W3C Trace Context: a header that does not parse is ignored. */
function validTraceparent(text: string): string | null {
  return text.length <= 128 && TRACEPARENT.test(text) ? text : null;
}
