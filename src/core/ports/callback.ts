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
   * time-outs (these count for the circuit breaker).
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

export interface ListenerCaller {
  /** Never rejects. Ends within the listener's `timeoutMs`. */
  call(call: ListenerCall): Promise<ListenerAnswer>;
  close(): Promise<void>;
}
