import type { Event } from '../core/model.js';
import type { ScheduledStore } from '../core/ports.js';
import { uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { EVENT_COLUMNS, eventOf, type RawEvent } from './journal-rows.js';
import { skipLockedClause } from './skip-locked.js';
import { execute, placeholders, rowsOf } from './sql.js';

/**
 * Scheduled events in the journal's table. `release_at` says that one waits; its state stays `scheduled` until the
 * journal records the released event, because only then its deliveries are known.
 */
export class SqlScheduledStore implements ScheduledStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async releaseDue(now: number, limit: number, publish: (event: Event) => Promise<void>): Promise<number> {
    if (!(await this.#anyDue(now))) return 0;
    return this.#database.transaction(async (manager) => {
      const select = `SELECT ${EVENT_COLUMNS.join(', ')} FROM pub_event WHERE release_at <= ?
        ORDER BY release_at, event_id LIMIT ?${await skipLockedClause(manager)}`;
      const events = (await rowsOf<RawEvent>(manager, select, [now, limit])).map(eventOf);
      const published = await Promise.allSettled(events.map(publish));
      const released = events.filter((_event, index) => published[index]?.status === 'fulfilled');
      const failure = published.find((result) => result.status === 'rejected');
      if (released.length === 0) {
        if (failure !== undefined) throw failure.reason;
        return 0;
      }
      const mark = `UPDATE pub_event SET release_at = NULL WHERE event_id IN (${placeholders(released.length)})`;
      await execute(
        manager,
        mark,
        released.map(({ eventId }) => uuidToBytes(eventId)),
      );
      return released.length;
    });
  }

  /** Spares the write lock, on SQLite the only one, while nothing is due. */
  async #anyDue(now: number): Promise<boolean> {
    const sql = 'SELECT 1 FROM pub_event WHERE release_at <= ? LIMIT 1';
    return (await this.#database.run((manager) => rowsOf(manager, sql, [now]))).length > 0;
  }
}
