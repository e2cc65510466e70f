import { changedBy, rowsOf, type SqlRow } from './answer.js';
import type { SpokenDialect } from './dialect.js';
import { statementRunner, type SqlExecutor } from './executor.js';
import { placesFor } from './places.js';

export type SqlValue = string | number | null;

/** Statements with `?` in the place of values, whatever the driver. */
export interface Statements {
  rows(sql: string, values: SqlValue[]): Promise<SqlRow[]>;
  /** Returns how many rows were changed; some drivers do not say it, then 0. */
  run(sql: string, values: SqlValue[]): Promise<number>;
}

/** @throws InvalidOptionError when `executor` is none. */
export function statementsOn(dialect: SpokenDialect, executor: SqlExecutor): Statements {
  const run = statementRunner(executor);
  return {
    rows: async (sql, values) => rowsOf(await run(placesFor(dialect, sql), values)),
    run: async (sql, values) => changedBy(await run(placesFor(dialect, sql), values)),
  };
}
