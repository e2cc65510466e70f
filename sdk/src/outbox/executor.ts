import { InvalidOptionError } from '../errors.js';

/**
 * What runs statements in the caller's transaction: TypeORM's `EntityManager` or `QueryRunner`, a connection of
 * `mysql2/promise`, a client of `pg`.
 */
export interface OutboxExecutor {
  query(sql: string, parameters?: unknown[]): Promise<unknown>;
}

/** A database of better-sqlite3. */
export interface SqliteExecutor {
  readonly inTransaction: boolean;
  prepare(sql: string): { run(...parameters: unknown[]): unknown };
}

/** Runs one statement and waits until it is done. */
export type RunStatement = (sql: string, values: unknown[]) => Promise<unknown>;

/**
 * How `executor` runs a statement. Where it can be seen that it is in no transaction (a pool, a DataSource, a manager
 * outside), it is refused, because the event would be sent although the business change is rolled back.
 * @throws InvalidOptionError
 */
export function inTransaction(executor: OutboxExecutor | SqliteExecutor): RunStatement {
  if (isSqlite(executor)) {
    requireSqliteTransaction(executor);
    return async (sql, values) => executor.prepare(sql).run(...values);
  }
  const given = anyExecutor(executor);
  refusePool(given);
  const runner = isManager(given) ? given['queryRunner'] : given;
  const active = (runner as { isTransactionActive?: unknown } | null | undefined)?.isTransactionActive;
  if (active === false || (isManager(given) && active !== true)) {
    throw new InvalidOptionError('executor', 'must be in a transaction: the manager or query runner of an open one');
  }
  return statementsOf(given);
}

/** How `executor` runs a statement, in a transaction or not. @throws InvalidOptionError */
export function anyStatements(executor: OutboxExecutor | SqliteExecutor): RunStatement {
  if (isSqlite(executor)) return async (sql, values) => executor.prepare(sql).run(...values);
  return statementsOf(anyExecutor(executor));
}

/** @throws InvalidOptionError when `database` is no better-sqlite3 database in a transaction. */
export function requireSqliteTransaction(database: SqliteExecutor): void {
  if (!isSqlite(database)) throw new InvalidOptionError('executor', 'must be a database of better-sqlite3');
  if (!database.inTransaction) throw new InvalidOptionError('executor', 'must be in a transaction');
}

export function isSqlite(value: unknown): value is SqliteExecutor {
  const given = value as { prepare?: unknown; inTransaction?: unknown; query?: unknown } | null;
  return typeof given?.prepare === 'function' && typeof given.inTransaction === 'boolean';
}

type Given = Record<string, unknown> & OutboxExecutor;

function anyExecutor(value: unknown): Given {
  const given = value as Given | null | undefined;
  if (typeof given?.query !== 'function') {
    throw new InvalidOptionError('executor', 'must have query(sql, parameters), as managers and connections have');
  }
  return given;
}

function statementsOf(given: Given): RunStatement {
  // The connections of mysql2 itself take a callback; their promise() gives the ones that are meant.
  const target =
    typeof given['promise'] === 'function' ? (given as unknown as { promise(): OutboxExecutor }).promise() : given;
  return (sql, values) => target.query(sql, values);
}

function refusePool(given: Given): void {
  const isPool = typeof given['getConnection'] === 'function' || typeof given['totalCount'] === 'number';
  if (isPool || typeof given['createQueryRunner'] === 'function') {
    throw new InvalidOptionError('executor', 'must be of one transaction, which a pool or DataSource is not');
  }
}

function isManager(given: Given): boolean {
  return typeof given['getRepository'] === 'function' && typeof given['transaction'] === 'function';
}
