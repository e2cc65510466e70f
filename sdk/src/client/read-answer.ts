import { RefusedError, UnavailableError } from '../errors.js';
import type { HttpAnswer } from './http-exchange.js';

/** An answer of the centre that says yes. */
export interface SignedAnswer {
  /** HTTP status. */
  readonly status: number;
  /** The members beside `status: 1` under `data`. */
  readonly data: Record<string, unknown>;
  /** By their names in lower case. */
  readonly headers: Record<string, string>;
}

/** Statuses that say nothing about whether the call was processed, or that it was not and may be repeated. */
const UNAVAILABLE_STATUSES = new Set([429, 502, 503, 504]);

/**
 * What an answer means (protocol page, section 2).
 * @param uuid the key of the call, which an UnavailableError repeats.
 * @throws RefusedError for a refusal by rule, also by something between here and the centre; UnavailableError for 429,
 *   5xx, and a success that is not the centre's.
 */
export function readAnswer(answer: HttpAnswer, uuid: string | null): SignedAnswer {
  const { status, text } = answer;
  const data = dataOf(text);
  const message = textOf(data?.['message']) ?? textOf(data?.['msg']);
  const code = textOf(data?.['code']);
  if (status >= 500 || UNAVAILABLE_STATUSES.has(status)) {
    throw new UnavailableError(message ?? `the centre's side answered HTTP ${String(status)}`, {
      status,
      uuid,
      retryAfterMs: retryAfterMs(answer.headers['retry-after'], Date.now()),
      ...(code === null ? {} : { code }),
    });
  }
  if (data === null) throw unexpected(status, uuid);
  if (status < 200 || status > 299 || String(data['status']) !== '1') {
    throw new RefusedError(code ?? 'REFUSED', message ?? 'the centre refused the call', {
      status,
      eventId: textOf(data['eventId']),
    });
  }
  return new Accepted(answer, data);
}

/** Reads the headers when they are asked for only. */
class Accepted implements SignedAnswer {
  readonly status: number;
  readonly data: Record<string, unknown>;
  readonly #answer: HttpAnswer;

  constructor(answer: HttpAnswer, data: Record<string, unknown>) {
    this.status = answer.status;
    this.data = data;
    this.#answer = answer;
  }

  get headers(): Record<string, string> {
    return this.#answer.headers;
  }
}

/** An answer without the centre's `data`: a proxy, a wrong address, a redirect. */
function unexpected(status: number, uuid: string | null): RefusedError | UnavailableError {
  const code = 'UNEXPECTED_ANSWER';
  const found = `expected the answer of an event centre, found HTTP ${String(status)} with something else`;
  if (status >= 200 && status <= 299) {
    return new UnavailableError(`${found}: check baseUrl and contextPath`, { status, uuid, code });
  }
  const isRedirect = status === 0 || (status >= 300 && status <= 399);
  const hint = isRedirect ? 'redirects are not followed, because the path is signed' : 'check baseUrl and contextPath';
  return new RefusedError(code, `${found}: ${hint}`, { status });
}

function dataOf(text: string): Record<string, unknown> | null {
  try {
    const answer: unknown = JSON.parse(text);
    return memberObject(answer, 'data');
  } catch {
    return null;
  }
}

function memberObject(value: unknown, name: string): Record<string, unknown> | null {
  if (typeof value !== 'object' || value === null) return null;
  const member = (value as Record<string, unknown>)[name];
  return typeof member === 'object' && member !== null ? (member as Record<string, unknown>) : null;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** `Retry-After` (RFC 9110, section 10.2.3) in milliseconds from `now`; null when it is absent or unreadable. */
function retryAfterMs(header: string | undefined, now: number): number | null {
  if (header === undefined) return null;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
