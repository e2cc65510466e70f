import { TextDecoder } from 'node:util';
import type { ListenerAnswer } from '../core/ports.js';
import type { ExchangeResult } from './exchange.js';
import { retryAfterMs } from './retry-after.js';

/** What an exchange means, without its times. */
export type Judgement = Omit<ListenerAnswer, 'startedAt' | 'durationMs'>;

const CHARSET = /charset\s*=\s*"?([^\s;"]+)/i;
/** The most of an answer that is kept for people to read. */
const KEPT_BYTES = 4096;

/**
 * The success rule of the `iuap` format (protocol page, section 3; seed 003): HTTP 2xx with JSON whose `success` is `true`
 * or the text `true` in any case, at top level or, when there is none, under `data`. Anything else is a refusal. Takes
 * any bytes and never throws. A call that was not sent is a refusal too: it says nothing about whether the peer is there.
 */
export function judgeAnswer(result: ExchangeResult, now: number): Judgement {
  if (result.kind === 'incomplete') {
    const { status, error } = result;
    return { kind: 'unreachable', status, error, response: null, retryAfterMs: null };
  }
  if (result.kind === 'not-sent') return notSent(result.error);
  const { status, body, contentType } = result;
  const text = decode(body, contentType);
  const error = refusal(status, text);
  const response = body.length === 0 ? null : body.length <= KEPT_BYTES ? text : beginning(body, contentType);
  if (error === null) return { kind: 'success', status, error, response, retryAfterMs: null };
  return { kind: 'refused', status, error, response, retryAfterMs: retryAfterMs(result.retryAfter, now) };
}

/** A call that this process did not send, for a reason that it knows. */
export function notSent(reason: string): Judgement {
  return {
    kind: 'refused',
    status: null,
    error: `the call was not sent: ${reason}`,
    response: null,
    retryAfterMs: null,
  };
}

/** Why an answer is not a success, or null when it is one. */
function refusal(status: number, text: string): string | null {
  if (status >= 300 && status < 400) return `answered ${status}: redirects are not followed`;
  if (status < 200 || status >= 300) return `answered ${status}`;
  if (text.trim() === '') return 'the answer is empty: expected JSON with success';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'the answer is not JSON';
  }
  const success = member(value, 'success') ?? member(member(value, 'data'), 'success');
  if (success === undefined || success === null) return 'the answer has no success';
  return success === true || (typeof success === 'string' && success.toLowerCase() === 'true')
    ? null
    : 'the answer says that it is not a success';
}

/** An own member of a JSON object; a name such as `__proto__` reaches nothing else. */
function member(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}

function decode(bytes: Buffer, contentType: string | null): string {
  return decoderFor(contentType).decode(bytes);
}

/** The first bytes as text, without a character that was cut in two. */
function beginning(bytes: Buffer, contentType: string | null): string {
  return decoderFor(contentType).decode(bytes.subarray(0, KEPT_BYTES), { stream: true });
}

/** By the charset of the content type; UTF-8 when there is none or nobody knows it. A byte order mark is dropped. */
function decoderFor(contentType: string | null): TextDecoder {
  const charset = CHARSET.exec(contentType ?? '')?.[1];
  if (charset === undefined) return new TextDecoder();
  try {
    return new TextDecoder(charset);
  } catch {
    return new TextDecoder();
  }
}
