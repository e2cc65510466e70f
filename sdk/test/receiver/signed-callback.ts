import { signatureOf } from '../../../test/support/centre-client.js';

export const CLIENT_KEY = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=';

/** What a test changes about a callback of the centre. */
export interface CallbackChange {
  path?: string;
  key?: string;
  /** Milliseconds since the epoch that are signed. */
  ts?: number;
  appId?: string;
  fields?: Record<string, string>;
  /** What is signed as the length of the body. */
  contentLength?: number;
  headers?: Record<string, string>;
  unsigned?: boolean;
}

export interface WireCall {
  target: string;
  headers: Record<string, string>;
  body: string;
}

export const FIELDS = {
  sourceID: 'ERP',
  eventType: 'ORDER_CREATED',
  tenantCode: 'T1',
  userObject: '{"orderId":"4711","text":"Ärger & Söhne+"}',
  uuid: '0190a000-0000-7000-8000-000000000001',
};

/** A callback as the centre puts it onto the wire, signed without the code under test. */
export function signedCallback(change: CallbackChange = {}): WireCall {
  const { path = '/events', key = CLIENT_KEY, appId = 'SHOP', fields = FIELDS, headers = {} } = change;
  const ts = String(change.ts ?? Date.now());
  const body = new URLSearchParams(fields).toString();
  const contentLength = change.contentLength ?? Buffer.byteLength(body);
  const sign = signatureOf({ ts, path, query: [['ts', ts]], contentLength, fields }, key);
  return {
    target: change.unsigned === true ? path : `${path}?appId=${appId}&ts=${ts}`,
    headers: {
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
      'x-event-listener': 'listener-1',
      'x-event-attempt': '2',
      ...(change.unsigned === true ? {} : { sign }),
      ...headers,
    },
    body,
  };
}
