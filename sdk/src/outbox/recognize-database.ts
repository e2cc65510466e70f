import { InvalidOptionError } from '../errors.js';
import type { SpokenDialect } from '../sql/dialect.js';
import { isSqlite } from './executor.js';
import type { RelayDatabase } from './relay-database.js';
import {
  dataSourceDatabase,
  mysqlDatabase,
  postgresDatabase,
  type DataSource,
  type MysqlPool,
  type PostgresPool,
} from './server-databases.js';
import { sqliteDatabase, type Sqlite } from './sqlite-database.js';

/**
 * A database as the relay may be given it: a pool of `mysql2` or `mysql2/promise`, a TypeORM `DataSource` (mysql,
 * mariadb, postgres, better-sqlite3), a pool of `pg`, or a database of better-sqlite3.
 */
export type OutboxDatabase = object;

const EXPECTED =
  'expected a pool of mysql2 or pg, a TypeORM DataSource, or a database of better-sqlite3, of the dialect of the outbox';

/** @throws InvalidOptionError when it is none of those, or of another dialect. */
export function recognizeDatabase(dialect: SpokenDialect, given: OutboxDatabase): RelayDatabase {
  const { dialect: found, make } = recognized(given);
  if (dialect !== found) throw new InvalidOptionError('database', `expected dialect ${dialect}, found ${found}`);
  return make();
}

/** What a database is known by. */
interface Structure {
  getConnection: unknown;
  promise: () => unknown;
  createQueryRunner: unknown;
  connect: unknown;
  totalCount: unknown;
}

interface Recognized {
  dialect: SpokenDialect;
  make: () => RelayDatabase;
}

function recognized(given: unknown): Recognized {
  const database = given as Partial<Structure> | null | undefined;
  if (isSqlite(database)) return { dialect: 'sqlite', make: () => sqliteDatabase(() => given as Sqlite) };
  if (typeof database?.createQueryRunner === 'function') return recognizedDataSource(given as DataSource);
  if (typeof database?.getConnection === 'function') {
    const pool = typeof database.promise === 'function' ? database.promise() : database;
    return { dialect: 'mysql', make: () => mysqlDatabase(pool as MysqlPool) };
  }
  if (typeof database?.totalCount === 'number' && typeof database.connect === 'function') {
    return { dialect: 'postgres', make: () => postgresDatabase(given as PostgresPool) };
  }
  throw new InvalidOptionError('database', EXPECTED);
}

function recognizedDataSource(dataSource: DataSource): Recognized {
  switch (dataSource.options.type) {
    case 'better-sqlite3':
      return { dialect: 'sqlite', make: () => sqliteDatabase(() => openConnection(dataSource)) };
    case 'mysql':
    case 'mariadb':
    case 'aurora-mysql':
      return { dialect: 'mysql', make: () => dataSourceDatabase('mysql', dataSource) };
    case 'postgres':
    case 'aurora-postgres':
      return { dialect: 'postgres', make: () => dataSourceDatabase('postgres', dataSource) };
    default:
      throw new InvalidOptionError('database', `${EXPECTED}; found a DataSource of ${dataSource.options.type}`);
  }
}

function openConnection({ driver, isInitialized }: DataSource): Sqlite {
  const connection = driver.databaseConnection;
  if (!isInitialized || connection === undefined) throw new Error('the DataSource is not initialized');
  return connection as Sqlite;
}
