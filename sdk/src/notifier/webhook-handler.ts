import { InvalidOptionError } from '../errors.js';
import type { HandlerContext, NotifierEvent } from './notification.js';
import { WebhookFailedError } from './notifier-errors.js';
import { whole } from './notifier-options.js';

export interface WebhookHandlerOptions<Event extends NotifierEvent = NotifierEvent> {
  /** Absolute http or https url. */
  url: string;
  /** `POST` by default. */
  method?: 'POST' | 'PUT' | 'PATCH';
  /** Beside `content-type: application/json`, which may be replaced. */
  headers?: Readonly<Record<string, string>>;
  /** Milliseconds for a call, its answer included; 10000 by default. */
  timeoutMs?: number;
  /** The text to send; by default the event as JSON, as it was given. */
  body?: (event: Event) => string;
  /** Ends all calls of this handler, which are failures then. */
  signal?: AbortSignal;
}

const METHODS = ['POST', 'PUT', 'PATCH'];
/** Of an answer so much is read, so that its connection can be used again; a longer one loses it. */
const READ_BYTES = 64 * 1024;
const LONGEST_TIMEOUT_MS = 2_147_483_647;

/**
 * Sends each event to a url by the global `fetch`. Any status of 2xx is success; redirects are not followed, and the
 * content of the answer does not matter. The address that the url leads to is not checked: whoever gives it is trusted.
 */
export class WebhookHandler<Event extends NotifierEvent = NotifierEvent> {
  readonly #options: WebhookHandlerOptions<Event>;
  readonly #headers: Headers;
  readonly #timeoutMs: number;

  /** @throws InvalidOptionError */
  constructor(options: WebhookHandlerOptions<Event>) {
    requireUrl(options.url);
    if (options.method !== undefined && !METHODS.includes(options.method)) {
      throw new InvalidOptionError('method', `expected one of ${METHODS.join(', ')}`);
    }
    this.#timeoutMs = whole('timeoutMs', options.timeoutMs, { or: 10_000, from: 1, to: LONGEST_TIMEOUT_MS });
    this.#headers = headersOf(options.headers);
    this.#options = options;
  }

  /** @throws WebhookFailedError for another status than 2xx; Error without an answer in time. */
  async handle(event: Event, context?: HandlerContext): Promise<void> {
    const { url, method = 'POST', body = JSON.stringify, signal } = this.#options;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      controller.abort(new Error(`the webhook did not answer within ${this.#timeoutMs} ms`));
    }, this.#timeoutMs);
    const unfollow = [context?.signal, signal].map((outer) => follow(outer, controller));
    try {
      const request = { method, headers: this.#headers, body: body(event), redirect: 'manual' as const };
      const response = await fetch(url, { ...request, signal: controller.signal });
      await discard(response);
      if (!response.ok) throw new WebhookFailedError(response.status);
    } catch (error) {
      throw controller.signal.aborted ? (controller.signal.reason as Error) : causeOf(error);
    } finally {
      clearTimeout(timer);
      for (const end of unfollow) end();
    }
  }
}

async function discard(response: Response): Promise<void> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  let bytes = 0;
  for (;;) {
    const { done, value } = (await reader.read()) as { done: boolean; value?: Uint8Array };
    if (done) return;
    bytes += value?.length ?? 0;
    if (bytes > READ_BYTES) return reader.cancel();
  }
}

/** Aborts `controller` with `outer`; returns what ends that. */
function follow(outer: AbortSignal | undefined, controller: AbortController): () => void {
  if (outer === undefined) return () => undefined;
  const onAbort = (): void => controller.abort(outer.reason);
  if (outer.aborted) onAbort();
  outer.addEventListener('abort', onAbort, { once: true });
  return () => outer.removeEventListener('abort', onAbort);
}

/** `fetch` says "fetch failed", and why only in the cause. */
function causeOf(error: unknown): unknown {
  const cause = (error as { cause?: Partial<NodeJS.ErrnoException> | null } | null)?.cause;
  if (typeof cause?.message !== 'string') return error;
  return new Error(cause.message === '' ? (cause.code ?? cause.name) : cause.message, { cause });
}

function requireUrl(text: unknown): void {
  const rule = 'expected an absolute http or https url without user and password';
  let url: URL;
  try {
    url = new URL(String(text));
  } catch {
    throw new InvalidOptionError('url', rule);
  }
  if (!['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.password !== '') {
    throw new InvalidOptionError('url', rule);
  }
}

function headersOf(given: WebhookHandlerOptions['headers'] = {}): Headers {
  const headers = new Headers({ 'content-type': 'application/json' });
  for (const [name, value] of Object.entries(given)) {
    try {
      headers.set(name, value);
    } catch {
      throw new InvalidOptionError('headers', `${JSON.stringify(name)} is no name of a header, or has no valid value`);
    }
  }
  return headers;
}
