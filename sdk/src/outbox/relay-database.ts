import { setTimeout as wait } from 'node:timers/promises';
import { InvalidOptionError } from '../errors.js';
import { isSqlite } from './executor.js';
import { sqlFor, type OutboxDialect, type SqlRow, type SqlValue } from './statement.js';

/** Statements with `?` in the place of values, whatever the driver. */
export interface Statements {
  rows(sql: string, values: SqlValue[]): Promise<SqlRow[]>;
  /** Returns how many rows were changed. */
  run(sql: string, values: SqlValue[]): Promise<number>;
}

export interface RelayDatabase extends Statements {
  /**
   * Runs `work` in one READ COMMITTED transaction: under REPEATABLE READ the locks of a claim would make other
   * transactions wait that add events. Null where the relay does without (SQLite).
   */
  readonly transaction: (<T>(work: (statements: Statements) => Promise<T>) => Promise<T>) | null;
}

/**
 * A database as the relay may be given it: a pool of `mysql2` or `mysql2/promise`, a TypeORM `DataSource` (mysql,
 * mariadb, postgres, better-sqlite3), a pool of `pg`, or a database of better-sqlite3.
 */
export type OutboxDatabase = object;

const EXPECTED =
  'must be a pool of mysql2 or pg, a TypeORM DataSource, or a database of better-sqlite3, of the dialect of the outbox';
/** How long somebody else may have a transaction open on a SQLite connection that the relay shares. */
const SHARED_WAIT_MS = 5_000;
const SHARED_POLL_MS = 2;

/** @throws InvalidOptionError when it is none of those, or of another dialect. */
export function relayDatabase(dialect: OutboxDialect, given: OutboxDatabase): RelayDatabase {
  const database = given as Partial<Structure> | null | undefined;
  if (isSqlite(database)) return only(dialect, 'sqlite', () => sqliteDatabase(() => database as unknown as Sqlite));
  if (typeof database?.createQueryRunner === 'function') {
    const dataSource = database as unknown as DataSource;
    switch (dataSource.options.type) {
      case 'better-sqlite3':
        return only(dialect, 'sqlite', () => sqliteDatabase(() => openConnection(dataSource)));
      case 'mysql':
      case 'mariadb':
      case 'aurora-mysql':
        return only(dialect, 'mysql', () => dataSourceDatabase(dialect, dataSource));
      case 'postgres':
      case 'aurora-postgres':
        return only(dialect, 'postgres', () => dataSourceDatabase(dialect, dataSource));
      default:
        throw new InvalidOptionError('database', `${EXPECTED}; a DataSource of ${dataSource.options.type} is not`);
    }
  }
  if (typeof database?.getConnection === 'function') {
    const pool = typeof database.promise === 'function' ? database.promise() : database;
    return only(dialect, 'mysql', () => mysqlDatabase(pool as MysqlPool));
  }
  if (typeof database?.totalCount === 'number' && typeof database.connect === 'function') {
    return only(dialect, 'postgres', () => postgresDatabase(database as unknown as PostgresPool));
  }
  throw new InvalidOptionError('database', EXPECTED);
}

function only(dialect: OutboxDialect, of: OutboxDialect, make: () => RelayDatabase): RelayDatabase {
  if (dialect !== of) throw new InvalidOptionError('database', `is of dialect ${of}, the outbox of ${dialect}`);
  return make();
}

// ---------------------------------------------------------------- mysql2

interface Structure {
  getConnection: unknown;
  promise: () => unknown;
  createQueryRunner: unknown;
  connect: unknown;
  totalCount: unknown;
}

interface MysqlConnection {
  query(sql: string, values: SqlValue[]): Promise<[unknown, ...unknown[]]>;
}

interface MysqlPool extends MysqlConnection {
  getConnection(): Promise<MysqlConnection & { release(): void; destroy(): void }>;
}

function mysqlStatements(connection: MysqlConnection): Statements {
  return {
    rows: async (sql, values) => (await connection.query(sql, values))[0] as SqlRow[],
    run: async (sql, values) => changed((await connection.query(sql, values))[0]),
  };
}

function mysqlDatabase(pool: MysqlPool): RelayDatabase {
  return {
    ...mysqlStatements(pool),
    transaction: async (work) => {
      const connection = await pool.getConnection();
      try {
        await connection.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED', []);
        await connection.query('START TRANSACTION', []);
        const result = await work(mysqlStatements(connection));
        await connection.query('COMMIT', []);
        connection.release();
        return result;
      } catch (error) {
        await rolledBack(connection);
        throw error;
      }
    },
  };
}

async function rolledBack(connection: MysqlConnection & { release(): void; destroy(): void }): Promise<void> {
  try {
    await connection.query('ROLLBACK', []);
    connection.release();
  } catch {
    // What it has open is unknown: nobody may get it from the pool again.
    connection.destroy();
  }
}

function changed(result: unknown): number {
  return Number((result as { affectedRows?: unknown } | null)?.affectedRows ?? 0);
}

// ---------------------------------------------------------------- TypeORM

interface Querying {
  query(sql: string, parameters: SqlValue[]): Promise<unknown>;
}

interface DataSource extends Querying {
  options: { type: string };
  driver: { databaseConnection?: Sqlite };
  isInitialized: boolean;
  transaction<T>(isolation: 'READ COMMITTED', work: (manager: Querying) => Promise<T>): Promise<T>;
}

function dataSourceStatements(dialect: OutboxDialect, querying: Querying): Statements {
  return {
    rows: async (sql, values) => (await querying.query(sqlFor(dialect, sql), values)) as SqlRow[],
    run: async (sql, values) => {
      const result = await querying.query(sqlFor(dialect, sql), values);
      // For PostgreSQL it is [rows, how many].
      return Array.isArray(result) ? Number(result[1]) : changed(result);
    },
  };
}

function dataSourceDatabase(dialect: OutboxDialect, dataSource: DataSource): RelayDatabase {
  return {
    ...dataSourceStatements(dialect, dataSource),
    transaction: (work) =>
      dataSource.transaction('READ COMMITTED', (manager) => work(dataSourceStatements(dialect, manager))),
  };
}

// ---------------------------------------------------------------- pg

interface PostgresClient {
  query(sql: string, values?: SqlValue[]): Promise<{ rows: SqlRow[]; rowCount: number | null }>;
}

interface PostgresPool extends PostgresClient {
  connect(): Promise<PostgresClient & { release(error?: boolean): void }>;
}

function postgresStatements(client: PostgresClient): Statements {
  return {
    rows: async (sql, values) => (await client.query(sqlFor('postgres', sql), values)).rows,
    run: async (sql, values) => (await client.query(sqlFor('postgres', sql), values)).rowCount ?? 0,
  };
}

function postgresDatabase(pool: PostgresPool): RelayDatabase {
  return {
    ...postgresStatements(pool),
    transaction: async (work) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
        const result = await work(postgresStatements(client));
        await client.query('COMMIT');
        client.release();
        return result;
      } catch (error) {
        await client.query('ROLLBACK').then(
          () => client.release(),
          () => client.release(true),
        );
        throw error;
      }
    },
  };
}

// ---------------------------------------------------------------- better-sqlite3

interface Sqlite {
  readonly inTransaction: boolean;
  prepare(sql: string): { all(...values: SqlValue[]): unknown[]; run(...values: SqlValue[]): { changes: number } };
}

/**
 * The application may use the same connection, and then what the relay reads in the middle of the application's
 * transaction could be rolled back. So each statement waits until none is open; it then runs in the same tick.
 */
function sqliteDatabase(connection: () => Sqlite): RelayDatabase {
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

function openConnection(dataSource: DataSource): Sqlite {
  const connection = dataSource.driver.databaseConnection;
  if (!dataSource.isInitialized || connection === undefined) throw new Error('the DataSource is not initialized');
  return connection;
}
