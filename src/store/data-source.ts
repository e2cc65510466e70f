import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DataSource, type DataSourceOptions, type EntitySchema, type Logger, type MigrationInterface } from 'typeorm';
import { columnsFor, type Columns, type Dialect } from './columns.js';

/** A database by its url, with the time-outs and the tables that go with it. */
export interface DataSourceSettings {
  /** `mysql://user:password@host:port/database` or `sqlite:<file>`. */
  url: string;
  poolSize: number;
  /** The longest a statement may take; a connection that does not answer in this time is dropped. */
  queryTimeoutMs: number;
  entities: (columns: Columns) => EntitySchema[];
  migrations: readonly (new () => MigrationInterface)[];
}

/** Where TypeORM notes which migrations have run. */
export const MIGRATIONS_TABLE = 'pub_migration';

const CONNECT_TIMEOUT_MS = 5_000;

/** SQLite waits inside the statement and blocks the process meanwhile, so it waits shortly and we repeat. */
const SQLITE_BUSY_MS = 50;

/** TypeORM would write slow and failed statements, with the secrets and payloads in them, to the console. */
const noLogger: Logger = {
  logQuery: () => undefined,
  logQueryError: () => undefined,
  logQuerySlow: () => undefined,
  logSchemaBuild: () => undefined,
  logMigration: () => undefined,
  log: () => undefined,
};

/** The kind of database a url names. */
export function dialectOf(url: string): Dialect {
  return url.startsWith('sqlite:') ? 'sqlite' : 'mysql';
}

/** TypeORM's options for a database; also for its command line (`ormconfig.ts`). */
export function dataSourceOptions(settings: DataSourceSettings): DataSourceOptions {
  const dialect = dialectOf(settings.url);
  const shared = {
    entities: settings.entities(columnsFor(dialect)),
    migrations: [...settings.migrations],
    migrationsTableName: MIGRATIONS_TABLE,
    synchronize: false,
    logger: noLogger,
  };
  if (dialect === 'sqlite') {
    return {
      ...shared,
      type: 'better-sqlite3',
      database: settings.url.slice('sqlite:'.length),
      enableWAL: true,
      timeout: SQLITE_BUSY_MS,
      // What we acknowledge after a commit has to survive a power loss too; NORMAL would only survive our own crash.
      prepareDatabase: (database: { pragma(text: string): unknown }) => {
        database.pragma('synchronous = FULL');
      },
    };
  }
  return {
    ...shared,
    type: 'mysql',
    url: settings.url,
    charset: 'utf8mb4',
    timezone: 'Z',
    supportBigNumbers: true,
    bigNumberStrings: false,
    poolSize: settings.poolSize,
    connectTimeout: Math.min(CONNECT_TIMEOUT_MS, settings.queryTimeoutMs),
    // mysql2 waits for ever unless each statement has a time-out.
    enableQueryTimeout: true,
    maxQueryExecutionTime: settings.queryTimeoutMs,
    extra: { enableKeepAlive: true, keepAliveInitialDelay: 10_000 },
  };
}

/** A data source that is not connected yet. A SQLite file is made for this user only: payloads and secrets are in it. */
export function createDataSource(options: DataSourceOptions): DataSource {
  if (options.type === 'better-sqlite3' && options.database !== ':memory:') makePrivateFile(options.database);
  return new DataSource(options);
}

/** SQLite gives the files beside it (`-wal`, `-shm`) the same mode. */
function makePrivateFile(path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, 'a', 0o600));
  } catch {
    // Opening the database says it better.
  }
}
