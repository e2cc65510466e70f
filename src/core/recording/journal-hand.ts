import type { Outcome } from '../model.js';
import type { JournalBatch, RecordedEvent, Settlement } from '../ports.js';

/** A message in hand: settled when all that it says is recorded, or at once by `settle`. */
export class HeldMessage {
  readonly #onSettled: (settlement: Settlement) => void;
  #parts = 0;
  #dead: string | null = null;
  #settled = false;

  /** `onSettled` is called once. */
  constructor(onSettled: (settlement: Settlement) => void) {
    this.#onSettled = onSettled;
  }

  addPart(): void {
    this.#parts += 1;
  }

  /** One part is recorded, or refused with a reason. */
  donePart(refused: string | null): void {
    this.#dead ??= refused;
    this.#parts -= 1;
    if (this.#parts === 0) this.#settle(this.#dead === null ? 'ack' : { dead: this.#dead });
  }

  /** What comes first counts: a message that was given back stays so. */
  giveBack(): void {
    this.#settle('requeue');
  }

  #settle(settlement: Settlement): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#onSettled(settlement);
  }
}

/** What a message says of one event. */
interface Part {
  message: HeldMessage;
  recorded: RecordedEvent | null;
  outcomes: Outcome[];
}

/** All that is in hand of one event. */
export class HeldEvent {
  readonly eventId: string;
  /** When it came into hand. */
  readonly heldSince: number;
  readonly parts: Part[] = [];
  /** When the oldest of it happened. */
  happenedAt = Infinity;
  bytes = 0;
  #hasEvent = false;
  /** Listeners that get a delivery's row, those of them that no outcome came of yet, and attempts with a row. */
  readonly #listeners = new Set<string>();
  readonly #waitsFor = new Set<string>();
  #attempts = 0;

  constructor(eventId: string, heldSince: number) {
    this.eventId = eventId;
    this.heldSince = heldSince;
  }

  /**
   * True when nothing more is expected soon: the event is here with an outcome of each listener that is owed it. Written
   * in one go, it costs one row each and no reading.
   */
  get isComplete(): boolean {
    return this.#hasEvent && this.#waitsFor.size === 0;
  }

  /** Rows that it becomes. */
  get rows(): number {
    return (this.#hasEvent ? 1 : 0) + this.#listeners.size + this.#attempts;
  }

  addEvent(message: HeldMessage, recorded: RecordedEvent): void {
    this.#add({ message, recorded, outcomes: [] }, Math.max(recorded.event.acceptedAt, recorded.event.deliverAt ?? 0));
    this.#hasEvent = true;
    this.bytes += recorded.event.userObject?.length ?? 0;
    for (const { listenerId } of recorded.scheduled ? [] : recorded.owed) {
      if (!this.#listeners.has(listenerId)) this.#waitsFor.add(listenerId);
      this.#listeners.add(listenerId);
    }
  }

  addOutcomes(message: HeldMessage, outcomes: Outcome[]): void {
    let happenedAt = Infinity;
    for (const outcome of outcomes) {
      happenedAt = Math.min(happenedAt, outcome.startedAt + outcome.durationMs);
      if (outcome.called && !isFirstSuccess(outcome)) this.#attempts += 1;
      this.bytes += outcome.response?.length ?? 0;
      this.#listeners.add(outcome.listenerId);
      this.#waitsFor.delete(outcome.listenerId);
    }
    this.#add({ message, recorded: null, outcomes }, happenedAt);
  }

  #add(part: Part, happenedAt: number): void {
    part.message.addPart();
    this.parts.push(part);
    this.happenedAt = Math.min(this.happenedAt, happenedAt);
  }
}

/** What a batch must not pass; a single event may be larger. */
export interface BatchBounds {
  rows: number;
  bytes: number;
  /** How long what is complete waits for others, so that a batch is worth its commit. */
  flushMs: number;
  /** How long an event waits for its outcomes, and outcomes for their event. */
  outcomeWaitMs: number;
}

/**
 * With so many events in hand, in batches of rows, they do not wait for their outcomes any more, unless a whole batch is
 * complete. It is enough for some thousand a second that wait for `outcomeWaitMs`.
 */
const MOST_BATCHES_OF_EVENTS = 5;
/** The same of their bytes. */
const MOST_BATCHES_OF_BYTES = 8;

/**
 * What the journal has in hand, by event. Events with all their outcomes leave after `flushMs`; others when they have
 * waited for `outcomeWaitMs`, because writing them in two goes costs more than twice, or when there is too much in hand
 * of which too little is complete. What is complete leaves first even then: whoever writes in two goes under load gets
 * slower, so that outcomes come later, and never gets out of it. An event leaves once at a time: what comes of it
 * meanwhile waits.
 */
export class JournalHand {
  readonly #bounds: BatchBounds;
  readonly #held = new Map<string, HeldEvent>();
  readonly #away = new Set<HeldEvent>();
  readonly #awayIds = new Set<string>();
  #completeRows = 0;
  #completeBytes = 0;
  /** Since when something complete is held; null when nothing is. */
  #completeSince: number | null = null;
  #bytes = 0;

  constructor(bounds: BatchBounds) {
    this.#bounds = bounds;
  }

  /** Whether nothing is held or being written. */
  get isEmpty(): boolean {
    return this.#held.size === 0 && this.#away.size === 0;
  }

  /** When the oldest thing happened that is not recorded; null when there is none. */
  get oldestHappenedAt(): number | null {
    let oldest = Infinity;
    for (const held of this.#held.values()) oldest = Math.min(oldest, held.happenedAt);
    for (const held of this.#away) oldest = Math.min(oldest, held.happenedAt);
    return oldest === Infinity ? null : oldest;
  }

  /** When the next event will have waited long enough; null when nothing is held that could leave. */
  get nextFlushAt(): number | null {
    const { flushMs, outcomeWaitMs } = this.#bounds;
    for (const held of this.#held.values()) {
      if (this.#awayIds.has(held.eventId)) continue;
      const longest = held.heldSince + outcomeWaitMs;
      return this.#completeSince === null ? longest : Math.min(longest, this.#completeSince + flushMs);
    }
    return null;
  }

  /** Adds to what is held of an event. */
  hold(eventId: string, now: number, add: (held: HeldEvent) => void): void {
    let held = this.#held.get(eventId);
    if (held === undefined) this.#held.set(eventId, (held = new HeldEvent(eventId, now)));
    else this.#count(held, -1);
    add(held);
    this.#count(held, 1);
    if (held.isComplete) this.#completeSince ??= now;
  }

  /** The next batch, or null when nothing has to leave yet; `all` takes what is there. */
  take(now: number, all: boolean): HeldEvent[] | null {
    const { rows, bytes, outcomeWaitMs } = this.#bounds;
    const isFull = this.#bytes >= MOST_BATCHES_OF_BYTES * bytes || this.#held.size >= MOST_BATCHES_OF_EVENTS * rows;
    const flushAt = this.nextFlushAt;
    if (flushAt === null) return null;
    const fillsBatch = this.#completeRows >= rows || this.#completeBytes >= bytes;
    if (!all && !isFull && !fillsBatch && flushAt > now) return null;
    const takesAny = all || (isFull && !fillsBatch);
    const taken: HeldEvent[] = [];
    let takenRows = 0;
    let takenBytes = 0;
    for (const held of this.#held.values()) {
      if (this.#awayIds.has(held.eventId)) continue;
      if (!takesAny && !held.isComplete && held.heldSince + outcomeWaitMs > now) continue;
      if (taken.length > 0 && (takenRows + held.rows > rows || takenBytes + held.bytes > bytes)) break;
      taken.push(held);
      takenRows += held.rows;
      takenBytes += held.bytes;
    }
    if (taken.length === 0) return null;
    for (const held of taken) this.#leave(held);
    this.#completeSince = this.#completeRows > 0 ? now : null;
    return taken;
  }

  /** A batch that was taken is written, or given back. */
  written(batch: HeldEvent[]): void {
    for (const held of batch) {
      this.#away.delete(held);
      this.#awayIds.delete(held.eventId);
    }
  }

  /** Drops what is held, but not what is being written. */
  dropAll(): HeldEvent[] {
    const dropped = [...this.#held.values()];
    this.#held.clear();
    this.#completeRows = this.#bytes = this.#completeBytes = 0;
    this.#completeSince = null;
    return dropped;
  }

  #leave(held: HeldEvent): void {
    this.#held.delete(held.eventId);
    this.#count(held, -1);
    this.#away.add(held);
    this.#awayIds.add(held.eventId);
  }

  #count(held: HeldEvent, sign: 1 | -1): void {
    this.#bytes += sign * held.bytes;
    if (!held.isComplete) return;
    this.#completeRows += sign * held.rows;
    this.#completeBytes += sign * held.bytes;
  }
}

/** The batch for the store. */
export function batchOf(events: HeldEvent[]): JournalBatch {
  const batch: JournalBatch = { events: [], outcomes: [] };
  for (const { recorded, outcomes } of events.flatMap(({ parts }) => parts)) {
    if (recorded !== null) batch.events.push(recorded);
    for (const outcome of outcomes) batch.outcomes.push(outcome);
  }
  return batch;
}

function isFirstSuccess(outcome: Outcome): boolean {
  return outcome.state === 'succeeded' && outcome.attempt === 1;
}
