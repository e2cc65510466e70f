/** One request, signed and ready for the wire. */
export interface HttpRequest {
  method: 'GET' | 'POST';
  /** Path and query as they were signed. */
  target: string;
  headers: Record<string, string>;
  body: string | null;
  /** Bytes of the body. */
  contentLength: number;
  /** Ends the exchange, reading of the answer included, after so many milliseconds. */
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

/** An answer that came completely. Names of headers are in lower case. */
export interface HttpAnswer {
  status: number;
  headers: Record<string, string>;
  text: string;
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
