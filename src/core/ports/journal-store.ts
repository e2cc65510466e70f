import type { Event, EventMessage, Outcome, OwedListener } from '../model.js';

export interface RecordedEvent {
  event: Event;
  /** Who is owed it by its registry version; not looked at while it is scheduled. */
  owed: OwedListener[];
  /** A scheduled event that still has to be released. Once a released one is recorded it is never scheduled again. */
  scheduled: boolean;
}

export interface JournalBatch {
  events: RecordedEvent[];
  outcomes: Outcome[];
}

/** An entry that the database refuses for its data, with the reason; everything else of the batch is committed. */
export interface RejectedEntry {
  entry: { kind: 'event'; eventId: string } | { kind: 'outcome'; outcomeId: string };
  reason: string;
}

/** What of a recorded event other events take over. */
export interface EventOrigin {
  eventId: string;
  sourceId: string;
  tenantCode: string | null;
  traceparent: string | null;
}

export interface JournalStore {
  /** Writes a batch and commits. Idempotent; events and outcomes may come in any order and more than once. */
  record(batch: JournalBatch): Promise<RejectedEntry[]>;
  /** Lists an unreadable message, or an entry the database refused, under failures. Idempotent by `id`. */
  recordUnreadable(failure: { id: string; reason: string; raw: Buffer; rawHeaders: string; at: number }): Promise<void>;
  /**
   * Marks all unsettled deliveries of (event, node) `failed` with `dead-lettered` and the reason, in the failure log too.
   * Gives the outcomes of all that are `dead-lettered` now, so that a repeat gives them again.
   */
  failDeadLettered(dead: { message: EventMessage; nodeCode: string; reason: string; at: number }): Promise<Outcome[]>;
  /** Those of the events that are recorded, in any order, by one query. */
  originsOf(eventIds: string[]): Promise<EventOrigin[]>;
  /** Cheap query that fails while the database is away. */
  probe(): Promise<void>;
}
