import type { DeliveryState } from '../model.js';

/** Milliseconds since the epoch; injected so that rules about time can be tested. */
export interface Clock {
  now(): number;
}

/** One wide line per happening: a dotted past-tense name and fields. Never a secret or a payload. */
export interface Log {
  debug(event: string, fields?: Record<string, unknown>): void;
  info(event: string, fields?: Record<string, unknown>): void;
  warn(event: string, fields?: Record<string, unknown>): void;
  /** Only when a person must act. */
  error(event: string, fields?: Record<string, unknown>): void;
}

/** What is counted. `metrics.ts` gives each its Prometheus name, help and labels. */
export interface Metrics {
  /** An event was accepted (`DUPLICATE` counts as `duplicate`), after `durationMs`. */
  accepted(code: 'OK' | 'DUPLICATE', durationMs: number): void;
  /** A send was refused with `code`. */
  refused(code: string): void;
  /** A keyed event was accepted without deduplication because the database was away. */
  deduplicationLost(): void;
  /** A listener was called. */
  attempted(result: 'succeeded' | 'failed', durationMs: number): void;
  /** A delivery came to `state`. For `succeeded`, `sinceAcceptedMs` is the time from accepted to success. */
  delivered(state: DeliveryState, sinceAcceptedMs: number | null): void;
  /** Rows written by the journal, and how long ago the oldest of them happened. */
  recorded(events: number, outcomes: number, lagMs: number): void;
  /** What became of leases: given to a node's own process, or ended in one of the three ways. */
  leases(what: 'leased' | 'settled' | 'released' | 'expired', count: number): void;
  /** A call of the management API was refused before it did anything, with the reason. */
  callerRefused(reason: string): void;
  /** Something that is not normal but handled: counted by its dotted name. */
  incident(name: string): void;
}
