import type { Event, Listener, Node } from '../model.js';

export interface ListenerCall {
  event: Event;
  listener: Listener;
  node: Node;
  /** 1-based, `X-Event-Attempt`. */
  attempt: number;
}

/** What came back. A listener's refusal is an answer, never an exception. */
export interface ListenerAnswer {
  /**
   * `success` by the format's rule; `refused` for any other complete answer; `unreachable` for connection errors and
   * time-outs (these count for the circuit breaker). What was not sent, such as to an address that may not be called, is
   * `refused`.
   */
  kind: 'success' | 'refused' | 'unreachable';
  status: number | null;
  /** One sentence; null for a success. */
  error: string | null;
  /** The beginning of the body as text, at most 4 KiB; null when there is none. */
  response: string | null;
  /** From `Retry-After` (seconds or HTTP date), null when absent or unreadable. */
  retryAfterMs: number | null;
  startedAt: number;
  durationMs: number;
}

/** Which addresses may be called, as far as a url says it without a look-up. */
export interface CallbackAddresses {
  /**
   * Why the centre would not connect to the host of `url`, in a sentence that names the address and what would open it. Null
   * when it would, when the host is a name, which is looked up and checked at each connection, and when it is no url.
   */
  refusalOf(url: string): string | null;
}

export interface ListenerCaller {
  /** Never rejects. Ends within the listener's `timeoutMs`. */
  call(call: ListenerCall): Promise<ListenerAnswer>;
  close(): Promise<void>;
}
