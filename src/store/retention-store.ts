import type { EntityManager } from 'typeorm';
import type { EventState } from '../core/model.js';
import type { RetentionStore } from '../core/ports.js';
import type { Database } from './database.js';
import { skipLockedClause } from './skip-locked.js';
import { deleteOldest, execute, placeholders, rowsOf, type OldRows } from './sql.js';

/** States of events that nothing will happen to any more by itself. */
const SETTLED: EventState[] = ['no-listener', 'failed', 'succeeded', 'skipped'];

/** Ids of one IN list: MariaDB turns lists of 1000 and more into joins. */
const IDS = 500;

/** Deleting by time, oldest rows and few of them at once. */
export class SqlRetentionStore implements RetentionStore {
  readonly #database: Database;

  constructor(deps: { database: Database }) {
    this.#database = deps.database;
  }

  /** By a named lock of the server, which ends with its connection; SQLite has one process only. */
  async exclusively(name: string, work: () => Promise<void>): Promise<boolean> {
    if (this.#database.isSqlite) {
      await work();
      return true;
    }
    return this.#database.run(async (manager) => {
      // The names of such locks are the server's, not the database's.
      const lock = "CONCAT('event-center:', LEFT(SHA1(DATABASE()), 12), ':', ?)";
      const [row] = await rowsOf<{ held: number | null }>(manager, `SELECT GET_LOCK(${lock}, 0) AS held`, [name]);
      if (row?.held !== 1) return false;
      try {
        await work();
      } finally {
        await rowsOf(manager, `SELECT RELEASE_LOCK(${lock})`, [name]);
      }
      return true;
    });
  }

  deleteEvents(before: number, limit: number): Promise<number> {
    return this.#database.transaction(async (manager) => {
      const select = `SELECT event_id FROM pub_event WHERE state IN (${placeholders(SETTLED.length)})
        AND accepted_at < ? LIMIT ?${await skipLockedClause(manager)}`;
      const rows = await rowsOf<{ event_id: Buffer }>(manager, select, [...SETTLED, before, limit]);
      const ids = rows.map((row) => row.event_id);
      for (const table of ['pub_event_attempt', 'pub_event_delivery', 'pub_event_chain', 'pub_event']) {
        await deleteOf(manager, table, ids);
      }
      return ids.length;
    });
  }

  deleteChains(before: number, limit: number): Promise<number> {
    const condition = 'NOT EXISTS (SELECT 1 FROM pub_event e WHERE e.event_id = pub_event_chain.event_id)';
    return this.#deleteOldest({ table: 'pub_event_chain', column: 'updated_at', condition, before, limit });
  }

  deleteFailures(before: number, limit: number): Promise<number> {
    return this.#deleteOldest({ table: 'pub_event_failure', column: 'failed_at', before, limit });
  }

  deleteAudit(before: number, limit: number): Promise<number> {
    return this.#deleteOldest({ table: 'pub_audit_log', column: 'at', before, limit });
  }

  deleteReplays(before: number, limit: number): Promise<number> {
    return this.#deleteOldest({ table: 'pub_replay', column: 'finished_at', before, limit });
  }

  #deleteOldest(what: OldRows): Promise<number> {
    return this.#database.run((manager) => deleteOldest(manager, what));
  }
}

async function deleteOf(manager: EntityManager, table: string, eventIds: Buffer[]): Promise<void> {
  for (let start = 0; start < eventIds.length; start += IDS) {
    const ids = eventIds.slice(start, start + IDS);
    await execute(manager, `DELETE FROM ${table} WHERE event_id IN (${placeholders(ids.length)})`, ids);
  }
}
