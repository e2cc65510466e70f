import type { SqlValue, Statements } from '../sql/statements.js';

/** A database as the relay speaks to it. */
export interface RelayDatabase extends Statements {
  /**
   * Runs `work` in one READ COMMITTED transaction: under REPEATABLE READ the locks of a claim would make other
   * transactions wait that add events. Null where the relay does without (SQLite).
   */
  readonly transaction: (<T>(work: (statements: Statements) => Promise<T>) => Promise<T>) | null;
}

/**
 * A change of rows that are found by an index that new events are in too: its locks must not hold those back.
 * @returns how many rows were changed.
 */
export function changeAlone(database: RelayDatabase, sql: string, values: SqlValue[]): Promise<number> {
  const { transaction } = database;
  return transaction === null ? database.run(sql, values) : transaction((statements) => statements.run(sql, values));
}
