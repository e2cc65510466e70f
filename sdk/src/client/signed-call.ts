import { createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { InvalidOptionError, RefusedError, UnavailableError } from '../errors.js';
import { decodeKey, digest, stringToSign, writtenQuery } from '../signature.js';
import type { FormField, SignatureAlgorithm } from '../signature.js';
import { FetchExchange } from './fetch-exchange.js';
import { ExchangeFailed } from './http-exchange.js';
import type { HttpAnswer, HttpExchange } from './http-exchange.js';
import { PoolExchange } from './pool-exchange.js';
import { readAnswer } from './read-answer.js';
import type { SignedAnswer } from './read-answer.js';
import { formBody, jsonBody, queryText } from './signed-body.js';
import type { SignedBody } from './signed-body.js';

export type { SignedAnswer } from './read-answer.js';

/** Who calls which centre. */
export interface SignedCallerOptions {
  /** Where the centre is, such as `https://events.example.com`. A path is signed with the rest. */
  baseUrl: string;
  /** The application's node code. */
  appId: string;
  /** The node's `app_key`, in Base64 as it was issued. */
  appKey: string;
  /** The centre's context path; `/event` by default. */
  contextPath?: string | undefined;
  /** What the node signs with; `HmacSHA1` by default. */
  algorithm?: SignatureAlgorithm | undefined;
  /** Most milliseconds that one request may take, its answer included; 10000 by default. */
  timeoutMs?: number | undefined;
  /** A `fetch` to use instead of the client's own kept-alive connections, for example one that knows a proxy. */
  fetch?: typeof fetch | undefined;
}

/** How one call differs from the others. */
export interface CallOptions {
  /** Ends the call; it then throws UnavailableError with the code `ABORTED`. */
  signal?: AbortSignal | undefined;
  /** Instead of the caller's own. */
  timeoutMs?: number | undefined;
  /** Headers beside those of the protocol. */
  headers?: Record<string, string> | undefined;
}

type Fields = Readonly<Record<string, string>>;

const ALGORITHMS: readonly SignatureAlgorithm[] = ['HmacSHA1', 'HmacSHA256', 'HmacSHA384', 'HmacSHA512'];
const DEFAULT_TIMEOUT_MS = 10_000;
/** The longest that a timer of node can wait. */
const LONGEST_TIMEOUT_MS = 2_147_483_647;
/** A `Date` header has no milliseconds: a smaller difference between two clocks is none. */
const CLOCK_RESOLUTION_MS = 1_000;

/**
 * Makes signed calls under `{context}/eventmanager/` (protocol page, sections 1 and 2), each once: repeating is the
 * caller's decision. Only a refusal as `TIMESTAMP_EXPIRED` is repeated here, one time, when the answer's `Date` shows
 * that this process's clock is off: the difference is kept for later calls, and the system's clock is left alone.
 *
 * Every call throws RefusedError when the centre says no, and UnavailableError when it cannot be known whether the call
 * was processed (no answer, 5xx) or when it may be repeated later (429). An UnavailableError's `uuid` is the field of
 * that name.
 */
export class SignedCaller {
  readonly appId: string;
  readonly #key: KeyObject;
  readonly #algorithm: SignatureAlgorithm;
  readonly #timeoutMs: number;
  readonly #prefix: string;
  readonly #http: HttpExchange;
  /** What the centre's clock shows more than this process's, in milliseconds. */
  #clockOffsetMs = 0;

  /** @throws InvalidOptionError naming the option. */
  constructor(options: SignedCallerOptions) {
    const { appId, appKey, algorithm = 'HmacSHA1', timeoutMs = DEFAULT_TIMEOUT_MS } = options;
    const baseUrl = checkedBaseUrl(options.baseUrl);
    if (!isText(appId)) throw new InvalidOptionError('appId', 'required, the node code of this application');
    const key = isText(appKey) ? decodeKey(appKey) : null;
    if (key === null) {
      throw new InvalidOptionError('appKey', 'required, Base64 text that decodes to at least one byte');
    }
    if (!ALGORITHMS.includes(algorithm)) {
      throw new InvalidOptionError('algorithm', `expected one of ${ALGORITHMS.join(', ')}`);
    }
    this.appId = appId;
    this.#key = createSecretKey(key);
    this.#algorithm = algorithm;
    this.#timeoutMs = checkedTimeout(timeoutMs);
    this.#prefix = `${withoutSlash(baseUrl.pathname)}${checkedContextPath(options.contextPath)}/eventmanager/`;
    this.#http =
      options.fetch === undefined ? new PoolExchange(baseUrl, timeoutMs) : new FetchExchange(baseUrl, options.fetch);
  }

  /** @param path behind `{context}/eventmanager/`, such as `eventinfo/index.do`. */
  get(path: string, query: Fields = {}, options: CallOptions = {}): Promise<SignedAnswer> {
    return this.#call({ path, query: Object.entries(query), body: null, uuid: null, options });
  }

  /** @param path behind `{context}/eventmanager/`, such as `sendEventMsg.do`. */
  postForm(path: string, fields: Fields, options: CallOptions = {}): Promise<SignedAnswer> {
    return this.#call({ path, query: [], body: formBody(fields), uuid: fields['uuid'] ?? null, options });
  }

  /** Sends a flat JSON object whose values are texts, signed as if its members were fields of a form. */
  postJson(path: string, fields: Fields, options: CallOptions = {}): Promise<SignedAnswer> {
    return this.#call({ path, query: [], body: jsonBody(fields), uuid: fields['uuid'] ?? null, options });
  }

  /** Closes the kept-alive connections that are idle. The caller can still be used, and opens new ones. */
  close(): void {
    this.#http.close();
  }

  async #call(call: Call): Promise<SignedAnswer> {
    const { uuid } = call;
    const answer = await this.#exchange(call);
    try {
      return readAnswer(answer, uuid);
    } catch (error) {
      const isLate = error instanceof RefusedError && error.code === 'TIMESTAMP_EXPIRED';
      if (!isLate || !this.#learnClock(answer.headers['date'])) throw error;
      return readAnswer(await this.#exchange(call), uuid);
    }
  }

  async #exchange({ path, query, body, uuid, options }: Call): Promise<HttpAnswer> {
    const requestPath = this.#prefix + path;
    const named: FormField[] = [['appId', this.appId], ['ts', String(Date.now() + this.#clockOffsetMs)], ...query];
    const text = stringToSign({
      path: requestPath,
      query: writtenQuery(named),
      contentLength: body === null ? 0 : body.contentLength,
      form: body === null ? null : body.signed,
    });
    const headers: Record<string, string> = { accept: 'application/json' };
    if (body !== null) headers['content-type'] = body.type;
    if (options.headers !== undefined) Object.assign(headers, options.headers);
    headers['sign'] = digest(text, this.#key, this.#algorithm);
    try {
      return await this.#http.exchange({
        method: body === null ? 'GET' : 'POST',
        target: `${requestPath}?${queryText(named)}`,
        headers,
        body: body === null ? null : body.text,
        timeoutMs: options.timeoutMs === undefined ? this.#timeoutMs : checkedTimeout(options.timeoutMs),
        signal: options.signal,
      });
    } catch (error) {
      throw error instanceof ExchangeFailed ? unavailable(error, uuid) : error;
    }
  }

  /** Whether the answer's clock differs from the one that the call was signed by. */
  #learnClock(date: string | undefined): boolean {
    const at = date === undefined ? Number.NaN : Date.parse(date);
    if (Number.isNaN(at)) return false;
    const offsetMs = at - Date.now();
    if (Math.abs(offsetMs - this.#clockOffsetMs) <= CLOCK_RESOLUTION_MS) return false;
    this.#clockOffsetMs = offsetMs;
    return true;
  }
}

interface Call {
  path: string;
  query: readonly FormField[];
  body: SignedBody | null;
  /** The field of that name. */
  uuid: string | null;
  options: CallOptions;
}

const FAILURE_CODES = { network: 'UNAVAILABLE', timeout: 'TIMEOUT', aborted: 'ABORTED' } as const;

function unavailable(failed: ExchangeFailed, uuid: string | null): UnavailableError {
  return new UnavailableError(failed.message, {
    status: null,
    uuid,
    code: FAILURE_CODES[failed.reason],
    cause: failed.cause ?? failed,
  });
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

function checkedBaseUrl(text: unknown): URL {
  const rule = 'required, an absolute http or https url without user, query and fragment';
  if (!isText(text)) throw new InvalidOptionError('baseUrl', rule);
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new InvalidOptionError('baseUrl', rule);
  }
  const isHttp = url.protocol === 'http:' || url.protocol === 'https:';
  if (!isHttp || url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new InvalidOptionError('baseUrl', rule);
  }
  return url;
}

function checkedContextPath(path = '/event'): string {
  const trimmed = withoutSlash(path);
  if (trimmed !== '' && !/^(?:\/[A-Za-z0-9._~-]+)+$/.test(trimmed)) {
    throw new InvalidOptionError('contextPath', 'expected a path such as /event, of letters, digits and . _ ~ -');
  }
  return trimmed;
}

function withoutSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path;
}

function checkedTimeout(timeoutMs: number): number {
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > LONGEST_TIMEOUT_MS) {
    throw new InvalidOptionError('timeoutMs', `expected whole milliseconds, 1 to ${String(LONGEST_TIMEOUT_MS)}`);
  }
  return timeoutMs;
}
