import { InvalidOptionError } from '../errors.js';
import { statementRunner, type RunStatement, type SqlExecutor } from '../sql/executor.js';

/** A database of better-sqlite3. */
export interface SqliteExecutor {
  readonly inTransaction: boolean;
  prepare(sql: string): { run(...parameters: unknown[]): unknown };
}

/**
 * How `executor` runs a statement. Where it can be seen that it is in no transaction (a pool, a DataSource, a manager
 * outside), it is refused, because the event would be sent although the business change is rolled back.
 * @throws InvalidOptionError
 */
export function inTransaction(executor: SqlExecutor | SqliteExecutor): RunStatement {
  if (isSqlite(executor)) {
    requireSqliteTransaction(executor);
    return async (sql, values) => executor.prepare(sql).run(...values);
  }
  const run = statementRunner(executor);
  refuseOutside(executor as Given);
  return run;
}

/** How `executor` runs a statement, in a transaction or not. @throws InvalidOptionError */
export function anyStatements(executor: SqlExecutor | SqliteExecutor): RunStatement {
  if (isSqlite(executor)) return async (sql, values) => executor.prepare(sql).run(...values);
  return statementRunner(executor);
}

/** @throws InvalidOptionError when `database` is no better-sqlite3 database in a transaction. */
export function requireSqliteTransaction(database: SqliteExecutor): void {
  if (!isSqlite(database)) throw new InvalidOptionError('executor', 'expected a database of better-sqlite3');
  if (!database.inTransaction) throw new InvalidOptionError('executor', 'expected an open transaction');
}

export function isSqlite(value: unknown): value is SqliteExecutor {
  const given = value as { prepare?: unknown; inTransaction?: unknown } | null;
  return typeof given?.prepare === 'function' && typeof given.inTransaction === 'boolean';
}

type Given = Record<string, unknown> & SqlExecutor;

function refuseOutside(given: Given): void {
  const isPool = typeof given['getConnection'] === 'function' || typeof given['totalCount'] === 'number';
  if (isPool || typeof given['createQueryRunner'] === 'function') {
    throw new InvalidOptionError('executor', 'expected one with a transaction, which a pool or DataSource is not');
  }
  const isManager = typeof given['getRepository'] === 'function' && typeof given['transaction'] === 'function';
  const runner = isManager ? given['queryRunner'] : given;
  const active = (runner as { isTransactionActive?: unknown } | null | undefined)?.isTransactionActive;
  if (active === false || (isManager && active !== true)) {
    throw new InvalidOptionError('executor', 'expected the manager or query runner of an open transaction');
  }
}
