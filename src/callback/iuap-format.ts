import { parseQuery, signCall, splitUrl, type FormField } from '@event-center/sdk';
import type { Event, Listener } from '../core/model.js';
import type { ListenerCall } from '../core/ports.js';
import { isUnreadable } from '../core/registry/unreadable-secret.js';
import { formBody, type BodyField } from './form-encoding.js';
import { asciiText, jsonHeader } from './header-text.js';

/** What a format makes of a call. */
export interface FormattedCall {
  /** Path and query as they go onto the wire. */
  path: string;
  /** Names and values in turn. */
  headers: string[];
  body: Buffer;
}

const CONTENT_TYPE = 'application/x-www-form-urlencoded;charset=UTF-8';
const TRACEPARENT = /^[\x21-\x7e]+$/;

/**
 * The callback of the vendor's protocol (protocol page, section 3): the fields as a form, signed at each attempt with the
 * node's client key when it has one.
 * @param target path and query of the listener's url.
 * @throws Error when the key cannot be read or used, or the url's own query cannot be signed: nothing is sent unsigned.
 */
export function iuapCall(call: ListenerCall, target: string, now: number): FormattedCall {
  const { event, node } = call;
  const body = bodyOf(event);
  const headers = ['content-type', CONTENT_TYPE, 'accept', 'application/json', ...eventHeaders(call)];
  if (isUnreadable(node.clientKey)) {
    throw new Error(`the clientKey of node ${node.nodeCode} cannot be decrypted; give the node another one`);
  }
  if (node.clientKey === null) return { path: target, headers, body };

  const path = `${target}${target.includes('?') ? '&' : '?'}appId=${encodeURIComponent(node.nodeCode)}&ts=${now}`;
  const sign = signCall({
    url: path,
    fields: seenByReceiver(fieldsOf(event), path),
    contentLength: node.contentLength === 'zero' ? 0 : body.length,
    key: node.clientKey,
    algorithm: node.algorithm,
  });
  headers.push('sign', sign);
  return { path, headers, body };
}

/** The body of an event, which is the same for all its listeners and attempts: made once. */
function bodyOf(event: Event): Buffer {
  let body = bodies.get(event);
  if (body === undefined) {
    body = formBody(fieldsOf(event));
    bodies.set(event, body);
  }
  return body;
}

const bodies = new WeakMap<Event, Buffer>();

function fieldsOf({ sourceId, eventType, tenantCode, userObject, eventId }: Event): BodyField[] {
  const fields: BodyField[] = [
    ['sourceID', sourceId],
    ['eventType', eventType],
  ];
  if (tenantCode !== null) fields.push(['tenantCode', tenantCode]);
  if (userObject !== null) fields.push(['userObject', userObject]);
  fields.push(['uuid', eventId]);
  return fields;
}

/** A receiver leaves fields out of the form that its url's query has too (protocol page, section 1, `paramsStr`). */
function seenByReceiver(fields: BodyField[], path: string): FormField[] {
  const { values } = parseQuery(splitUrl(path).query);
  const seen: FormField[] = [];
  for (const [name, value] of fields) {
    if (!values.has(name)) seen.push([name, typeof value === 'string' ? value : value.toString('utf8')]);
  }
  return seen;
}

function eventHeaders({ event, listener, attempt }: ListenerCall): string[] {
  const headers = ['x-event-id', event.eventId, 'x-event-attempt', String(attempt), 'x-event-listener', listener.id];
  headers.push('traceparent', traceparentOf(event, listener));
  if (event.senderUuid !== null) headers.push('x-event-sender-uuid', asciiText(event.senderUuid));
  if (!listener.fieldsAsHeaders) return headers;
  headers.push('sourceID', asciiText(event.sourceId), 'eventType', asciiText(event.eventType));
  if (event.tenantCode !== null) headers.push('tenantCode', asciiText(event.tenantCode));
  const payload = event.userObject === null ? null : jsonHeader(event.userObject);
  if (payload !== null) headers.push('userObject', payload);
  return headers;
}

/**
 * The sender's trace (W3C Trace Context), or one made of the event's id, so that all callbacks of an event share it: the
 * parent is the second half of the listener's id, which as part of a UUID is never zero. Not sampled.
 */
function traceparentOf(event: Event, listener: Listener): string {
  if (event.traceparent !== null && TRACEPARENT.test(event.traceparent)) return event.traceparent;
  return `00-${event.eventId.replaceAll('-', '')}-${listener.id.slice(19).replace('-', '')}-00`;
}
