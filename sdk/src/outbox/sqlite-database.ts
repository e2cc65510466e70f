import { setTimeout as wait } from 'node:timers/promises';
import type { SqlRow } from '../sql/answer.js';
import type { SqlValue } from '../sql/statements.js';
import type { RelayDatabase } from './relay-database.js';

/** A database of better-sqlite3, by what the relay uses of it. */
export interface Sqlite {
  readonly inTransaction: boolean;
  prepare(sql: string): { all(...values: SqlValue[]): unknown[]; run(...values: SqlValue[]): { changes: number } };
}

/** How long somebody else may have a transaction open on a connection that the relay shares. */
const SHARED_WAIT_MS = 5_000;
const SHARED_POLL_MS = 2;

/**
 * The application may use the same connection, and then what the relay reads in the middle of the application's
 * transaction could be rolled back. So each statement waits until none is open; it then runs in the same tick.
 */
export function sqliteDatabase(connection: () => Sqlite): RelayDatabase {
  const whenFree = async <T>(work: (database: Sqlite) => T): Promise<T> => {
    const giveUpAt = Date.now() + SHARED_WAIT_MS;
    for (;;) {
      const database = connection();
      if (!database.inTransaction) return work(database);
      if (Date.now() > giveUpAt) throw new Error(`the SQLite connection was in a transaction for ${SHARED_WAIT_MS} ms`);
      await wait(SHARED_POLL_MS);
    }
  };
  return {
    rows: (sql, values) => whenFree((database) => database.prepare(sql).all(...values) as SqlRow[]),
    run: (sql, values) => whenFree((database) => database.prepare(sql).run(...values).changes),
    transaction: null,
  };
}
