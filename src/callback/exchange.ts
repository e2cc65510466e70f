import type { Dispatcher } from 'undici';
import { AddressRefused } from './address-guard.js';

/** A request that is ready to be sent. */
export interface ExchangeRequest {
  origin: string;
  /** Path and query. */
  path: string;
  method: 'POST' | 'PUT';
  /** Names and values in turn. */
  headers: string[];
  body: Buffer;
  timeoutMs: number;
}

/**
 * An answer with the first 64 KiB of its body at most; or why there is none: `not-sent` when the address may not be
 * called, `incomplete` for all else.
 */
export type ExchangeResult =
  | {
      kind: 'complete';
      status: number;
      contentType: string | null;
      retryAfter: string | null;
      body: Buffer;
    }
  | { kind: 'incomplete'; status: number | null; error: string }
  | { kind: 'not-sent'; error: string };

/** The most that is read of an answer's body (protocol page, section 3). */
const MAX_ANSWER_BYTES = 64 * 1024;
/** The most interim answers before the final one, and the most characters of all their headers, as of one head. */
const MOST_INTERIM = 16;
const MAX_INTERIM_HEADERS = 16 * 1024;

/**
 * Sends a request and takes its answer, all within `timeoutMs`, connecting included. Never rejects and follows nothing.
 * A kept connection that turns out to be dead when the request is written, so that none of it can have arrived, is
 * replaced once without being counted; a request that may have arrived is never sent again here.
 *
 * A body that goes on beyond 64 KiB ends the exchange there: what follows is neither kept nor waited for, and its
 * connection is given up, because draining it could take for ever.
 *
 * Interim answers before the final one are skipped, except `100 Continue`, which was not asked for (no `Expect` is ever
 * sent): undici gives the connection up at one, by design and without an option, and the exchange is `incomplete`. So it
 * is when there are more of them, or longer ones, than anybody has a use for.
 */
export function exchange(dispatcher: Dispatcher, request: ExchangeRequest): Promise<ExchangeResult> {
  return new Promise((resolve) => new Exchange(dispatcher, request, resolve).send());
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #dispatcher: Dispatcher;
  readonly #request: ExchangeRequest;
  readonly #timer: NodeJS.Timeout;
  #resolve: ((result: ExchangeResult) => void) | null;
  #controller: Dispatcher.DispatchController | null = null;
  #sentAgain = false;
  #interim = 0;
  #interimHeaders = 0;
  #status: number | null = null;
  #contentType: string | null = null;
  #retryAfter: string | null = null;
  #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(dispatcher: Dispatcher, request: ExchangeRequest, resolve: (result: ExchangeResult) => void) {
    this.#dispatcher = dispatcher;
    this.#request = request;
    this.#resolve = resolve;
    this.#timer = setTimeout(() => this.#timeOut(), request.timeoutMs);
  }

  send(): void {
    const { origin, path, method, headers, body } = this.#request;
    try {
      // The whole exchange has one time-out; undici's own would only cut it short.
      this.#dispatcher.dispatch({ origin, path, method, headers, body, headersTimeout: 0, bodyTimeout: 0 }, this);
    } catch (error) {
      this.#fail(describe(error));
    }
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#resolve === null) controller.abort(new Error('the time is over'));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    // Interim answers, such as 103 Early Hints: the final one is still to come.
    if (status < 200) {
      this.#skipInterim(controller, headers);
      return;
    }
    this.#status = status;
    this.#contentType = first(headers['content-type']);
    this.#retryAfter = first(headers['retry-after']);
  }

  #skipInterim(
    controller: Dispatcher.DispatchController,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    this.#interim += 1;
    for (const [name, value] of Object.entries(headers)) this.#interimHeaders += name.length + String(value).length;
    if (this.#interim <= MOST_INTERIM && this.#interimHeaders <= MAX_INTERIM_HEADERS) return;
    const most = this.#interim > MOST_INTERIM ? `${MOST_INTERIM}` : `${MAX_INTERIM_HEADERS / 1024} KiB of headers of`;
    this.#fail(`more than ${most} interim answers came instead of an answer`);
    controller.abort(new Error('enough of interim answers was read'));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const room = MAX_ANSWER_BYTES - this.#bytes;
    if (chunk.length <= room) {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      return;
    }
    this.#chunks.push(chunk.subarray(0, room));
    this.#complete();
    controller.abort(new Error('enough of the answer was read'));
  }

  onResponseEnd(): void {
    this.#complete();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#resolve !== null && !this.#sentAgain && this.#wasNotSent(error)) {
      this.#sentAgain = true;
      this.#controller = null;
      this.send();
      return;
    }
    if (error instanceof AddressRefused) this.#end({ kind: 'not-sent', error: error.message });
    else this.#fail(describe(error));
  }

  /**
   * The peer had reset a kept connection before: either that was read before the request was begun, or the kernel
   * refused to write it. (A kept connection that was closed in order is replaced by undici itself.)
   */
  #wasNotSent(error: Error): boolean {
    if (!('syscall' in error)) return false;
    return error.syscall === 'write' || (error.syscall === 'read' && this.#controller === null);
  }

  #complete(): void {
    this.#end({
      kind: 'complete',
      status: this.#status ?? 0,
      contentType: this.#contentType,
      retryAfter: this.#retryAfter,
      body: this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks),
    });
  }

  #timeOut(): void {
    const reached = this.#status === null ? 'no answer' : 'no complete answer';
    this.#fail(`${reached} within ${this.#request.timeoutMs} ms`);
    this.#controller?.abort(new Error('the time is over'));
  }

  #fail(error: string): void {
    this.#end({ kind: 'incomplete', status: this.#status, error });
  }

  #end(result: ExchangeResult): void {
    const resolve = this.#resolve;
    if (resolve === null) return;
    this.#resolve = null;
    clearTimeout(this.#timer);
    this.#chunks = [];
    resolve(result);
  }
}

function first(header: string | string[] | undefined): string | null {
  return (Array.isArray(header) ? header[0] : header) ?? null;
}

/** One sentence; several tried addresses are told by the first. */
function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (error.message === '') return code === '' ? error.name : code;
  return error.message.includes(code) ? error.message : `${error.message} (${code})`;
}
