import type { HttpAnswer, HttpExchange, HttpRequest } from './http-exchange.js';
import { aborted, ExchangeFailed, messageOf, timedOut } from './http-exchange.js';

/** Exchanges over a `fetch` that the application gives, such as one that goes through a proxy. */
export class FetchExchange implements HttpExchange {
  readonly #origin: string;
  readonly #fetch: typeof fetch;

  constructor(baseUrl: URL, fetchLike: typeof fetch) {
    this.#origin = baseUrl.origin;
    this.#fetch = fetchLike;
  }

  async exchange({ method, target, headers, body, timeoutMs, signal }: HttpRequest): Promise<HttpAnswer> {
    if (signal?.aborted === true) throw aborted(signal);
    const controller = new AbortController();
    const onAbort = (): void => controller.abort(aborted(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => controller.abort(timedOut(timeoutMs)), timeoutMs);
    try {
      const response = await this.#fetch(this.#origin + target, {
        method,
        headers,
        body,
        redirect: 'manual',
        signal: controller.signal,
      });
      const text = await response.text();
      return { status: response.status, headers: Object.fromEntries(response.headers), text };
    } catch (error) {
      const ended: unknown = controller.signal.reason;
      if (ended instanceof ExchangeFailed) throw ended;
      // A fetch says why it failed in the cause only.
      throw new ExchangeFailed('network', messageOf((error as { cause?: unknown } | null)?.cause ?? error), error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  close(): void {
    // The connections belong to the given fetch.
  }
}
