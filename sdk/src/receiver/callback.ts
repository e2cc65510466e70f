import { payloadOf } from '../business-event.js';
import type { BusinessEvent } from '../business-event.js';
import { formText, parseQuery, splitUrl, verifySignature } from '../signature.js';
import type { FormField, SignatureAlgorithm, SignedParts, SignedQuery } from '../signature.js';
import { formFields } from './form-fields.js';
import { ReceiverRefusal } from './receiver-refusal.js';

/** A call of the centre as it came over the wire. */
export interface Callback {
  /** Path and query as the centre wrote them. */
  target: string;
  /** Text of a header by its name in lower case. */
  header: (name: string) => string | null;
  body: Uint8Array;
}

/** What a receiver trusts. */
export interface Trust {
  /** Decoded keys, any of which may have signed. */
  keys: readonly Uint8Array[];
  algorithm: SignatureAlgorithm;
  /** The application's own node code; null takes what was signed with a key. */
  nodeCode: string | null;
  /** How far `ts` may be from this process's clock, in milliseconds, either way. */
  toleranceMs: number;
  requireSignature: boolean;
}

/**
 * The event in a callback of the format `iuap` (protocol page, section 3), once its signature is right.
 * @throws ReceiverRefusal.
 */
export function eventIn(callback: Callback, trust: Trust): BusinessEvent {
  const { header, body } = callback;
  const { path, query: rawQuery } = splitUrl(callback.target);
  const query = parseQuery(rawQuery);
  const fields = formFields(header('content-type'), header('content-encoding'), body);
  const sign = header('sign') ?? query.values.get('sign') ?? null;
  if (trust.requireSignature || sign !== null) {
    const parts = { path, query, contentLength: body.length, form: formText(fields, query) };
    checkSignature(sign ?? '', parts, trust);
  }
  return eventOf(textsOf(fields, query), header);
}

function checkSignature(sign: string, parts: SignedParts, trust: Trust): void {
  const { values } = parts.query;
  // Every key is tried, so that the time says nothing about which of them is right.
  const right = trust.keys.filter((key) => verifySignature(sign, parts, { key, algorithm: trust.algorithm }));
  if (right.length === 0) {
    throw new ReceiverRefusal(
      'BAD_SIGNATURE',
      'sign: expected the signature of this path, query and body with the client key of the node',
    );
  }
  if (trust.nodeCode !== null && values.get('appId') !== trust.nodeCode) {
    throw new ReceiverRefusal('UNKNOWN_APP', 'appId: expected the node code of this application');
  }
  const ts = values.get('ts') ?? '';
  const isFresh = /^\d{1,15}$/.test(ts) && Math.abs(Date.now() - Number(ts)) <= trust.toleranceMs;
  if (!isFresh) {
    throw new ReceiverRefusal(
      'TIMESTAMP_EXPIRED',
      `ts: expected a time within ${String(trust.toleranceMs)} ms of this receiver's clock`,
    );
  }
}

const FIELD_NAMES = new Set(['sourceID', 'eventType', 'tenantCode', 'userObject', 'uuid']);

/** The fields of an event: each once, and only where the signature covers it. */
function textsOf(fields: readonly FormField[], query: SignedQuery): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  for (const [name, value] of fields) {
    if (!FIELD_NAMES.has(name)) continue;
    if (texts.has(name)) throw new ReceiverRefusal('INVALID_PARAM', `${name}: expected it once`);
    if (query.values.has(name)) {
      throw new ReceiverRefusal('INVALID_PARAM', `${name}: stands in the url too, which unsigns it: take it out there`);
    }
    texts.set(name, value);
  }
  return texts;
}

function eventOf(texts: ReadonlyMap<string, string>, header: Callback['header']): BusinessEvent {
  const userObject = texts.get('userObject') ?? null;
  const senderUuid = header('x-event-sender-uuid');
  return {
    eventId: required(texts, 'uuid'),
    sourceId: required(texts, 'sourceID'),
    eventType: required(texts, 'eventType'),
    tenantCode: texts.get('tenantCode') ?? null,
    payload: payloadOf(userObject),
    userObject,
    listenerId: header('x-event-listener'),
    attempt: attemptIn(header('x-event-attempt')),
    acceptedAt: null,
    senderUuid: senderUuid === null ? null : unescaped(senderUuid),
    traceparent: header('traceparent'),
  };
}

function required(texts: ReadonlyMap<string, string>, name: string): string {
  const text = texts.get(name);
  if (text === undefined || text === '') throw new ReceiverRefusal('INVALID_PARAM', `${name}: required in the body`);
  return text;
}

function attemptIn(text: string | null): number {
  return text !== null && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : 1;
}

/** A header has all but printable ASCII as `\uXXXX`. */
function unescaped(text: string): string {
  return text.replace(/\\u([0-9a-f]{4})/g, (escape, hex: string) => {
    const unit = Number.parseInt(hex, 16);
    return unit < 0x20 || unit > 0x7e ? String.fromCharCode(unit) : escape;
  });
}
