import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Accepted } from '../../core/accepting/accept.js';
import { EventCenterError, type ErrorCode } from '../../core/errors.js';
import { DISCARDED_BYTES, DISCARDING_MS } from '../unread-body.js';

/** Of every answer. Browsers must not take one for a page or a script, whatever stands in it. */
const FIXED_HEADERS = { 'Content-Type': 'application/json;charset=UTF-8', 'X-Content-Type-Options': 'nosniff' };

/** The vendor's SDK throws every answer but 200 away, so that a refusal by rule is a 200 too (protocol, section 2). */
const STATUS_BESIDE_200: Partial<Record<ErrorCode, number>> = {
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  PAYLOAD_TOO_LARGE: 413,
  RATE_LIMITED: 429,
  UNAVAILABLE: 503,
  IN_PROGRESS: 503,
};

/** Seconds after which a repeat is asked for when nobody knows better. */
const DEFAULT_RETRY_AFTER_SECONDS = 1;

type Headers = Record<string, string | number>;

/** `{"data":{"status":1,…}}` of an accepted event. */
export function answerAccepted(res: ServerResponse, { code, eventId }: Accepted): void {
  const message = code === 'OK' ? 'accepted' : 'accepted before';
  const body = `{"data":{"status":1,"message":"${message}","msg":"${message}","code":"${code}","eventId":"${eventId}"}}`;
  answer(res, { status: 200, body });
}

/** `{"data":{"status":1,…}}` with members beside the status. */
export function answerData(res: ServerResponse, data: Record<string, unknown>): void {
  answer(res, { status: 200, body: JSON.stringify({ data: { status: 1, ...data } }) });
}

/**
 * `{"data":{"status":0,…}}` of a refused call, its `eventId` empty unless a repeat would get that id. When its body has not been read, the connection is closed after a bounded
 * part of it, because a sender that still writes would lose the answer to a reset.
 */
export function answerRefused(req: IncomingMessage, res: ServerResponse, error: EventCenterError): void {
  const { message, code } = error;
  const data = { status: 0, message, msg: message, code, eventId: error.eventId ?? '' };
  const status = STATUS_BESIDE_200[error.code] ?? 200;
  const body = JSON.stringify({ data });
  const headers: Headers = {};
  if (status === 429 || status === 503) headers['Retry-After'] = error.retryAfterSeconds ?? DEFAULT_RETRY_AFTER_SECONDS;
  if (typeof error.extra['allow'] === 'string') headers['Allow'] = error.extra['allow'];
  if (hasUnreadBody(req)) answerAndDiscard(req, res, { status, body, headers });
  else answer(res, { status, body, headers });
}

interface Answer {
  status: number;
  body: string;
  headers?: Headers;
}

function answer(res: ServerResponse, { status, body, headers }: Answer): void {
  res.writeHead(status, { ...FIXED_HEADERS, 'Content-Length': Buffer.byteLength(body), ...headers });
  res.end(body);
}

function hasUnreadBody(req: IncomingMessage): boolean {
  if (req.readableEnded || req.destroyed) return false;
  const { 'content-length': length, 'transfer-encoding': encoding } = req.headers;
  return encoding !== undefined || (length !== undefined && length !== '0');
}

function answerAndDiscard(req: IncomingMessage, res: ServerResponse, { status, body, headers }: Answer): void {
  res.writeHead(status, {
    ...FIXED_HEADERS,
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
    ...headers,
  });
  // The answer is complete on the wire; `end` waits, because it makes node close the connection.
  res.write(body);
  let left = DISCARDED_BYTES;
  const close = (): void => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(close, DISCARDING_MS);
  req.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) close();
  });
  req.once('end', close);
  req.once('close', close);
  req.resume();
}
