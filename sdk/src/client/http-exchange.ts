/** One request, signed and ready for the wire. */
export interface HttpRequest {
  method: 'GET' | 'POST';
  /** Path and query as they were signed. */
  target: string;
  headers: Record<string, string>;
  body: string | null;
  /** Ends the exchange, reading of the answer included, after so many milliseconds. */
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

/** An answer that came completely. Names of headers are in lower case. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly text: string;
}

/** Carries requests to one origin over kept-alive connections. */
export interface HttpExchange {
  /**
   * Redirects are not followed, because the path is signed.
   * @throws ExchangeFailed when no complete answer came.
   */
  exchange(request: HttpRequest): Promise<HttpAnswer>;
  /** Closes idle connections; those in use close with their answer. */
  close(): void;
}

/** Why no complete answer came. Whether the request was processed is unknown. */
export class ExchangeFailed extends Error {
  override readonly name = 'ExchangeFailed';
  readonly reason: 'network' | 'timeout' | 'aborted';

  constructor(reason: ExchangeFailed['reason'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/** The most of an answer that is read, in bytes. */
export const LONGEST_ANSWER_BYTES = 64 * 1024 * 1024;

/** An exchange that the caller ended. */
export function aborted(signal: AbortSignal | undefined): ExchangeFailed {
  return new ExchangeFailed('aborted', 'the call was aborted', signal?.reason);
}

/** An exchange that took too long. */
export function timedOut(timeoutMs: number): ExchangeFailed {
  return new ExchangeFailed('timeout', `no complete answer within ${String(timeoutMs)} ms`);
}

/** What an error says. Node reports several failed addresses as one error without a message. */
export function messageOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const { message, code } = error as { message?: unknown; code?: unknown };
  if (typeof message === 'string' && message !== '') return message;
  return typeof code === 'string' ? code : 'no connection';
}
