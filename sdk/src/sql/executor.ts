import { InvalidOptionError } from '../errors.js';

/**
 * What runs a statement: a TypeORM `DataSource`, `EntityManager` or `QueryRunner`, a pool or connection of `mysql2`, a
 * pool or client of `pg`, or anything that answers a SELECT with its rows.
 */
export interface SqlExecutor {
  query(sql: string, parameters?: unknown[]): unknown;
}

/** Runs one statement in the dialect's own words and resolves to what the driver answers. */
export type RunStatement = (sql: string, values: unknown[]) => Promise<unknown>;

/** How `executor` runs a statement. @throws InvalidOptionError */
export function statementRunner(executor: SqlExecutor): RunStatement {
  const given = executor as (SqlExecutor & { promise?: () => SqlExecutor }) | null | undefined;
  if (typeof given?.query !== 'function') {
    throw new InvalidOptionError('executor', 'expected query(sql, parameters), as data sources and connections have');
  }
  // The pools and connections of mysql2 itself take a callback; their promise() gives the ones that are meant.
  const target = typeof given.promise === 'function' ? given.promise() : given;
  return async (sql, values) => target.query(sql, values);
}
