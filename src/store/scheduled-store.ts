import type { EntityManager } from 'typeorm';
import type { Event } from '../core/model.js';
import type { Log, ScheduledStore } from '../core/ports.js';
import { uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { EVENT_COLUMNS, eventOf, type RawEvent } from './journal-rows.js';
import { skipLockedClause } from './skip-locked.js';
import { execute, placeholders, rowsOf } from './sql.js';

export interface ScheduledStoreDeps {
  database: Database;
  log: Log;
}

type Publish = Parameters<ScheduledStore['releaseDue']>[2];

/** An event that could not be published makes place for others for this long. */
const LATER_MS = 5_000;

/**
 * Scheduled events in the journal's table. `release_at` says that one waits; its state stays `scheduled` until the
 * journal records the released event, because only then its deliveries are known.
 */
export class SqlScheduledStore implements ScheduledStore {
  readonly #database: Database;
  readonly #log: Log;
  /** SQLite has one process, and no lock is held there while publishing, so that nothing else waits for the broker. */
  #releasing = false;

  constructor(deps: ScheduledStoreDeps) {
    this.#database = deps.database;
    this.#log = deps.log;
  }

  async releaseDue(now: number, limit: number, publish: Publish): Promise<number> {
    if (!this.#database.isSqlite) {
      return this.#database.transaction(async (manager) => {
        const events = await takeDue(manager, now, limit);
        return this.#mark(manager, now, await this.#publishEach(events, publish));
      });
    }
    if (this.#releasing) return 0;
    this.#releasing = true;
    try {
      const events = await this.#database.run((manager) => takeDue(manager, now, limit));
      const published = await this.#publishEach(events, publish);
      return await this.#database.transaction((manager) => this.#mark(manager, now, published));
    } finally {
      this.#releasing = false;
    }
  }

  async #publishEach(events: Event[], publish: Publish): Promise<{ released: Event[]; kept: Event[] }> {
    const results = await Promise.allSettled(events.map(async (event) => publish(event)));
    const released: Event[] = [];
    const kept: Event[] = [];
    results.forEach((result, index) => {
      const event = events[index] as Event;
      (result.status === 'fulfilled' ? released : kept).push(event);
      if (result.status === 'fulfilled') return;
      const { eventId, deliverAt } = event;
      this.#log.warn('scheduled.not-published', { eventId, deliverAt, error: result.reason as unknown });
    });
    return { released, kept };
  }

  async #mark(manager: EntityManager, now: number, events: { released: Event[]; kept: Event[] }): Promise<number> {
    await setRelease(manager, events.released, null);
    await setRelease(manager, events.kept, now + LATER_MS);
    return events.released.length;
  }
}

async function takeDue(manager: EntityManager, now: number, limit: number): Promise<Event[]> {
  const sql = `SELECT ${EVENT_COLUMNS.join(', ')} FROM pub_event WHERE release_at <= ?
    ORDER BY release_at, event_id LIMIT ?${await skipLockedClause(manager)}`;
  return (await rowsOf<RawEvent>(manager, sql, [now, limit])).map(eventOf);
}

async function setRelease(manager: EntityManager, events: Event[], releaseAt: number | null): Promise<void> {
  if (events.length === 0) return;
  const sql = `UPDATE pub_event SET release_at = ?
    WHERE release_at IS NOT NULL AND event_id IN (${placeholders(events.length)})`;
  await execute(manager, sql, [releaseAt, ...events.map(({ eventId }) => uuidToBytes(eventId))]);
}
