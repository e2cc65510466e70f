import type { DataSource, QueryRunner } from 'typeorm';
import { classifyFailure, unavailable } from './database-errors.js';
import type { Work } from './database.js';

/** The part of a mysql2 pool connection that is used here. */
interface PoolConnection {
  destroy(): void;
  stream: { destroy(): void };
}

/** Connections that already have our session settings. */
const prepared = new WeakSet<object>();

/**
 * One connection for one piece of work.
 * @throws UNAVAILABLE when the pool has none to give within `timeoutMs`.
 */
export async function openSession(dataSource: DataSource, timeoutMs: number): Promise<Session> {
  const runner = dataSource.createQueryRunner();
  if (dataSource.options.type === 'better-sqlite3') return new Session(runner, null);
  const connection = await acquire(runner, timeoutMs);
  const session = new Session(runner, connection);
  if (!prepared.has(connection)) {
    try {
      await prepare(runner, timeoutMs);
    } catch (error) {
      await session.close(error);
      throw error;
    }
    prepared.add(connection);
  }
  return session;
}

/** A connection with its transaction. `connection` is null on SQLite, which has only one. */
export class Session {
  readonly #runner: QueryRunner;
  readonly #connection: PoolConnection | null;
  #broken = false;

  constructor(runner: QueryRunner, connection: PoolConnection | null) {
    this.#runner = runner;
    this.#connection = connection;
  }

  run<T>(work: Work<T>): Promise<T> {
    return work(this.#runner.manager);
  }

  transaction<T>(work: Work<T>): Promise<T> {
    // Immediate, so that two processes on one file wait for each other instead of failing at their first write.
    return this.#within([this.#connection === null ? 'BEGIN IMMEDIATE' : 'START TRANSACTION'], work);
  }

  snapshot<T>(work: Work<T>): Promise<T> {
    const begin =
      this.#connection === null
        ? ['BEGIN']
        : ['SET TRANSACTION ISOLATION LEVEL REPEATABLE READ', 'START TRANSACTION READ ONLY'];
    return this.#within(begin, work);
  }

  /** Gives the connection back, or drops it when its state is not known. */
  async close(failure: unknown): Promise<void> {
    if (this.#connection !== null && (this.#broken || (failure !== null && classifyFailure(failure) === 'lost'))) {
      this.#connection.destroy();
      this.#connection.stream.destroy();
      return;
    }
    await this.#runner.release();
  }

  /**
   * TypeORM's own transaction methods cannot begin SQLite's immediately, and stay in a wrong state when a rollback
   * fails; so we send the statements, and only tell TypeORM that a transaction is open.
   */
  async #within<T>(begin: string[], work: Work<T>): Promise<T> {
    for (const statement of begin) await this.#runner.query(statement);
    this.#markTransaction(true);
    try {
      const value = await work(this.#runner.manager);
      await this.#runner.query('COMMIT');
      return value;
    } catch (error) {
      await this.#rollback();
      throw error;
    } finally {
      this.#markTransaction(false);
    }
  }

  async #rollback(): Promise<void> {
    try {
      await this.#runner.query('ROLLBACK');
    } catch {
      // The connection is gone, or SQLite has already rolled back by itself (disk full); both leave nothing open.
      this.#broken = true;
    }
  }

  #markTransaction(isTransactionActive: boolean): void {
    Object.assign(this.#runner, { isTransactionActive });
  }
}

async function acquire(runner: QueryRunner, timeoutMs: number): Promise<PoolConnection> {
  const connecting = runner.connect() as Promise<PoolConnection>;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      connecting.then(() => runner.release()).catch(() => undefined);
      reject(unavailable(`all database connections were busy for ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([connecting, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Does not depend on the server's defaults: rows are refused rather than cut, quoting is what mysql2 escapes for, and
 * a lock time-out comes before ours, so that it can be repeated and leaves no statement behind.
 */
async function prepare(runner: QueryRunner, timeoutMs: number): Promise<void> {
  const lockWaitSeconds = Math.max(1, Math.floor(timeoutMs / 2_000));
  await runner.query(
    `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = ${lockWaitSeconds}`,
  );
  await runner.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
}
