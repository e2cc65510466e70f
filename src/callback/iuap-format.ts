import { parseQuery, signCall, splitUrl, type FormField } from '@event-center/sdk';
import type { ListenerCall } from '../core/ports.js';
import { formBody } from './form-encoding.js';
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
 * The callback of the vendor's protocol (wire page, section 3): the fields as a form, signed at each attempt with the
 * node's client key when it has one.
 * @param target path and query of the listener's url.
 * @throws Error when the key, or the url's own query, cannot be signed.
 */
export function iuapCall(call: ListenerCall, target: string, now: number): FormattedCall {
  const { event, node } = call;
  const fields: [name: string, value: string][] = [
    ['sourceID', event.sourceId],
    ['eventType', event.eventType],
  ];
  if (event.tenantCode !== null) fields.push(['tenantCode', event.tenantCode]);
  if (event.userObject !== null) fields.push(['userObject', event.userObject.toString('utf8')]);
  fields.push(['uuid', event.eventId]);
  const bytes = event.userObject;
  const body = formBody(fields.map(([name, value]) => [name, name === 'userObject' && bytes !== null ? bytes : value]));
  const headers = ['content-type', CONTENT_TYPE, 'accept', 'application/json', ...eventHeaders(call)];
  if (node.clientKey === null) return { path: target, headers, body };

  const path = `${target}${target.includes('?') ? '&' : '?'}appId=${encodeURIComponent(node.nodeCode)}&ts=${now}`;
  const sign = signCall({
    url: path,
    fields: seenByReceiver(fields, path),
    contentLength: node.contentLength === 'zero' ? 0 : body.length,
    key: node.clientKey,
    algorithm: node.algorithm,
  });
  headers.push('sign', sign);
  return { path, headers, body };
}

/** A receiver leaves fields out of the form that its url's query has too (wire page, section 1, `paramsStr`). */
function seenByReceiver(fields: FormField[], path: string): FormField[] {
  const { values } = parseQuery(splitUrl(path).query);
  return fields.filter(([name]) => !values.has(name));
}

function eventHeaders({ event, listener, attempt }: ListenerCall): string[] {
  const headers = ['x-event-id', event.eventId, 'x-event-attempt', String(attempt), 'x-event-listener', listener.id];
  if (event.traceparent !== null && TRACEPARENT.test(event.traceparent)) headers.push('traceparent', event.traceparent);
  if (event.senderUuid !== null) headers.push('x-event-sender-uuid', asciiText(event.senderUuid));
  if (!listener.fieldsAsHeaders) return headers;
  headers.push('sourceID', asciiText(event.sourceId), 'eventType', asciiText(event.eventType));
  if (event.tenantCode !== null) headers.push('tenantCode', asciiText(event.tenantCode));
  const payload = event.userObject === null ? null : jsonHeader(event.userObject);
  if (payload !== null) headers.push('userObject', payload);
  return headers;
}
