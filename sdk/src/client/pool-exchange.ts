// eslint-disable-next-line @typescript-eslint/triple-slash-reference -- whoever checks this file must see the declaration
/// <reference path="./undici-pool.d.ts" />
import Pool from 'undici/lib/dispatcher/pool.js';
import { aborted, ExchangeFailed, LONGEST_ANSWER_BYTES, messageOf, timedOut } from './http-exchange.js';
import type { HttpAnswer, HttpExchange, HttpRequest } from './http-exchange.js';

/** Exchanges over undici's pool of connections, which is bundled; it costs less than `node:http` (decision 0007). */
export class PoolExchange implements HttpExchange {
  readonly #origin: string;
  readonly #connectTimeoutMs: number;
  #pool: Pool | null = null;

  /** @param connectTimeoutMs after which an attempt to connect ends, whoever waits for it. */
  constructor(baseUrl: URL, connectTimeoutMs: number) {
    this.#origin = baseUrl.origin;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  exchange(request: HttpRequest): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (request.signal?.aborted === true) {
        reject(aborted(request.signal));
        return;
      }
      const { method, target: path, headers, body } = request;
      this.#pool ??= this.#newPool();
      this.#pool.dispatch({ method, path, headers, body }, new Reception(request, resolve, reject));
    });
  }

  close(): void {
    const pool = this.#pool;
    this.#pool = null;
    if (pool !== null) void pool.close();
  }

  #newPool(): Pool {
    // One deadline covers the whole exchange, so the pool's own are off.
    return new Pool(this.#origin, {
      connect: { timeout: this.#connectTimeoutMs },
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }
}

type Abort = (error: Error) => void;

/** Takes what comes in for one request. Once per request and hot. */
class Reception {
  readonly #request: HttpRequest;
  readonly #resolve: (answer: HttpAnswer) => void;
  readonly #reject: (error: ExchangeFailed) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #onAbort: (() => void) | null = null;
  #abort: Abort | null = null;
  #failure: ExchangeFailed | null = null;
  #status = 0;
  #rawHeaders: Buffer[] = [];
  readonly #chunks: Buffer[] = [];
  #length = 0;

  constructor(request: HttpRequest, resolve: (answer: HttpAnswer) => void, reject: (error: ExchangeFailed) => void) {
    this.#request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(endLate, request.timeoutMs, this);
    const { signal } = request;
    if (signal !== undefined) {
      this.#onAbort = () => this.#fail(aborted(signal));
      signal.addEventListener('abort', this.#onAbort, { once: true });
    }
  }

  /** Ends it at its deadline. */
  expire(): void {
    this.#fail(timedOut(this.#request.timeoutMs));
  }

  /** A connection is there, possibly later than the end of the exchange: then nothing may be sent. */
  onConnect(abort: Abort): void {
    if (this.#failure === null) this.#abort = abort;
    else abort(this.#failure);
  }

  onHeaders(status: number, rawHeaders: Buffer[]): boolean {
    this.#status = status;
    this.#rawHeaders = rawHeaders;
    return true;
  }

  onData(chunk: Buffer): boolean {
    this.#length += chunk.length;
    if (this.#length > LONGEST_ANSWER_BYTES) this.#fail(new Error('the answer is longer than 64 MiB'));
    else this.#chunks.push(chunk);
    return true;
  }

  onComplete(): void {
    this.#settle();
    const [first] = this.#chunks;
    const whole = first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#length);
    const answer = new PoolAnswer(this.#status, this.#rawHeaders, whole.toString('utf8'));
    // The pool takes its connection back by an immediate that it sets after this call: a caller that sends the next
    // request before that would open another connection.
    process.nextTick(setImmediate, this.#resolve, answer);
  }

  onError(error: Error): void {
    this.#fail(error);
  }

  #fail(error: Error): void {
    if (this.#failure !== null) return;
    this.#settle();
    this.#failure = error instanceof ExchangeFailed ? error : new ExchangeFailed('network', messageOf(error), error);
    this.#reject(this.#failure);
    this.#abort?.(this.#failure);
  }

  #settle(): void {
    clearTimeout(this.#timer);
    if (this.#onAbort !== null) this.#request.signal?.removeEventListener('abort', this.#onAbort);
  }
}

function endLate(reception: Reception): void {
  reception.expire();
}

/** An answer whose headers are read when they are asked for, which they seldom are. */
class PoolAnswer implements HttpAnswer {
  readonly status: number;
  readonly text: string;
  readonly #rawHeaders: readonly Buffer[];

  constructor(status: number, rawHeaders: readonly Buffer[], text: string) {
    this.status = status;
    this.text = text;
    this.#rawHeaders = rawHeaders;
  }

  get headers(): Record<string, string> {
    const texts: Record<string, string> = {};
    for (let at = 0; at + 1 < this.#rawHeaders.length; at += 2) {
      const name = String(this.#rawHeaders[at]).toLowerCase();
      const value = (this.#rawHeaders[at + 1] as Buffer).toString('latin1');
      const known = texts[name];
      texts[name] = known === undefined ? value : `${known}, ${value}`;
    }
    return texts;
  }
}
