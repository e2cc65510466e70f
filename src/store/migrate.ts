import { MigrationExecutor, type DataSource, type EntityManager, type QueryRunner } from 'typeorm';
import {
  createDataSource,
  dataSourceOptions,
  dialectOf,
  MIGRATIONS_TABLE,
  type DataSourceSettings,
} from './data-source.js';
import { classifyFailure, toStoreError, unavailable } from './database-errors.js';
import { rowsOf } from './sql.js';

/** Changing a large table takes its time; no statement of a migration may take longer. */
const STATEMENT_TIMEOUT_MS = 3_600_000;
/** How long to wait for another process that is migrating. */
const LOCK_TIMEOUT_SECONDS = 600;

/**
 * Runs the migrations that have not run yet, on a connection of their own, and gives their names. Several processes
 * may call it at once: one works, the others wait and find nothing to do.
 * @throws UNAVAILABLE when the database is away or another process does not come to an end in ten minutes.
 */
export async function migrate(settings: DataSourceSettings): Promise<string[]> {
  const dataSource = createDataSource(
    dataSourceOptions({ ...settings, poolSize: 1, queryTimeoutMs: STATEMENT_TIMEOUT_MS }),
  );
  try {
    await whileBusy(() => dataSource.initialize());
    const runner = dataSource.createQueryRunner();
    try {
      const exclusively = dialectOf(settings.url) === 'sqlite' ? exclusivelyOnSqlite : exclusivelyOnMysql;
      return await exclusively(runner, () => executePending(dataSource, runner));
    } finally {
      await runner.release();
    }
  } catch (error) {
    throw toStoreError(error);
  } finally {
    await dataSource.driver.disconnect().catch(() => undefined);
  }
}

/** Names of the migrations that have not run yet. */
export async function pendingMigrations(
  manager: EntityManager,
  migrations: DataSourceSettings['migrations'],
): Promise<string[]> {
  const hasTable = await manager.queryRunner?.hasTable(MIGRATIONS_TABLE);
  const executed =
    hasTable === true ? await rowsOf<{ name: string }>(manager, `SELECT name FROM ${MIGRATIONS_TABLE}`) : [];
  const done = new Set(executed.map((row) => row.name));
  return migrations.map((migration) => new migration().name ?? migration.name).filter((name) => !done.has(name));
}

async function executePending(dataSource: DataSource, runner: QueryRunner): Promise<string[]> {
  const executor = new MigrationExecutor(dataSource, runner);
  // SQLite is in our transaction already, and MySQL commits at each change of a table anyway.
  executor.transaction = 'none';
  const executed = await executor.executePendingMigrations();
  return executed.map((migration) => migration.name);
}

async function exclusivelyOnMysql<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
  // The lock is the server's, so its name carries the database; names are at most 64 characters long.
  const name = `CONCAT('event-center:', LEFT(SHA1(DATABASE()), 40))`;
  const answer = (await runner.query(`SELECT GET_LOCK(${name}, ${LOCK_TIMEOUT_SECONDS}) AS taken`)) as {
    taken: unknown;
  }[];
  if (Number(answer[0]?.taken) !== 1) throw unavailable('another process has been migrating the database for too long');
  try {
    return await work();
  } finally {
    await runner.query(`SELECT RELEASE_LOCK(${name})`);
  }
}

async function exclusivelyOnSqlite<T>(runner: QueryRunner, work: () => Promise<T>): Promise<T> {
  await whileBusy(() => runner.query('BEGIN IMMEDIATE'));
  try {
    const value = await work();
    await runner.query('COMMIT');
    return value;
  } catch (error) {
    await runner.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/** Repeats while another process holds the SQLite file. */
async function whileBusy(work: () => Promise<unknown>): Promise<void> {
  const deadline = Date.now() + LOCK_TIMEOUT_SECONDS * 1_000;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (classifyFailure(error) !== 'repeat') throw error;
      if (Date.now() > deadline) throw unavailable('another process has been holding the database file for too long');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
