import type { Statements } from '../sql/statements.js';

/** A database as the relay speaks to it. */
export interface RelayDatabase extends Statements {
  /**
   * Runs `work` in one READ COMMITTED transaction: under REPEATABLE READ the locks of a claim would make other
   * transactions wait that add events. Null where the relay does without (SQLite).
   */
  readonly transaction: (<T>(work: (statements: Statements) => Promise<T>) => Promise<T>) | null;
}
