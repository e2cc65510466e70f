import type { BusinessEvent } from '../business-event.js';

/** An event that cannot be handled as it is, and why. */
export interface DeadEvent {
  event: BusinessEvent;
  /** One sentence. */
  reason: string;
  /** When it died the last time, in milliseconds since the epoch. */
  at: number;
}

/** Which part of the list is wanted. */
export interface DeadEventPage {
  /** At most so many, 1 to 1000; 100 by default. */
  limit?: number;
  /** Goes on behind the event with this id. */
  after?: string;
}

/** Keeps dead events until they are handled or removed. */
export interface DeadEventStore {
  /**
   * Keeps a dead event; one of the same event id is replaced. Resolves once it is kept: only then the centre is told
   * that the event was taken.
   */
  add(dead: DeadEvent): Promise<void>;
  /** The dead event of this id, null when there is none. */
  find(eventId: string): Promise<DeadEvent | null>;
  /** In ascending order of their event ids, which is about the order in which the centre accepted them. */
  list(page?: DeadEventPage): Promise<DeadEvent[]>;
  /** False when there was none. */
  remove(eventId: string): Promise<boolean>;
}
