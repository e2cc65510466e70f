import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { classifyFailure } from './database-errors.js';
import { withinTime } from './time-limit.js';

/** Work on one connection. It may run several times, so it has no effect outside the database that may not repeat. */
export type Work<T> = (manager: EntityManager) => Promise<T>;

/** The part of a mysql2 pool connection that is used here. */
interface PoolConnection {
  on(event: 'error' | 'end', listener: () => void): unknown;
  destroy(): void;
  stream: { destroy(): void };
}

/** Connections that already have our session settings. */
const prepared = new WeakSet<object>();

/** Connections of each pool that no session has at the moment. */
const idle = new WeakMap<DataSource, Set<PoolConnection>>();

/** The longest statement that each server takes, in bytes. */
const packetLimits = new WeakMap<DataSource, number>();

/** The longest statement that the server takes, in bytes; it drops the connection over a longer one. */
export function packetLimitOf(dataSource: DataSource): number {
  return packetLimits.get(dataSource) ?? Infinity;
}

/**
 * Drops the connections that nobody uses: after one of them was found silent the others are likely to be so too, and
 * would cost a time-out each. What comes next connects anew.
 */
export function dropIdleConnections(dataSource: DataSource): void {
  const connections = idle.get(dataSource) ?? [];
  idle.delete(dataSource);
  for (const connection of connections) drop(connection);
}

/**
 * One connection for one piece of work.
 * @throws UNAVAILABLE when the pool has none to give within `timeoutMs`.
 */
export async function openSession(dataSource: DataSource, timeoutMs: number): Promise<Session> {
  const runner = dataSource.createQueryRunner();
  if (dataSource.options.type === 'better-sqlite3') return new Session({ runner, connection: null, timeoutMs });
  const connection = await acquire(runner, timeoutMs);
  idleOf(dataSource).delete(connection);
  const session = new Session({ runner, connection, timeoutMs });
  if (!prepared.has(connection)) {
    // The pool listens for the first error only; another one would end the process.
    connection.on('error', () => idleOf(dataSource).delete(connection));
    connection.on('end', () => idleOf(dataSource).delete(connection));
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
  readonly #timeoutMs: number;
  #broken = false;

  constructor(of: { runner: QueryRunner; connection: PoolConnection | null; timeoutMs: number }) {
    this.#runner = of.runner;
    this.#connection = of.connection;
    this.#timeoutMs = of.timeoutMs;
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

  /** Fails unless the database answers in time. */
  async probe(): Promise<void> {
    this.#broken = true;
    await withinTime(this.#runner.query('SELECT 1'), this.#timeoutMs, 'no answer');
    this.#broken = false;
  }

  /** Gives the connection back, or drops it when its state is not known: what comes next would wait behind it. */
  async close(failure: unknown): Promise<void> {
    if (this.#connection !== null && (this.#broken || (failure !== null && classifyFailure(failure) === 'lost'))) {
      drop(this.#connection);
      return;
    }
    if (this.#connection !== null) idleOf(this.#runner.dataSource).add(this.#connection);
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
      if (classifyFailure(error) === 'lost') this.#broken = true;
      else await this.#rollback();
      throw error;
    } finally {
      this.#markTransaction(false);
    }
  }

  async #rollback(): Promise<void> {
    try {
      // A statement behind one that hangs is not sent, so its own time-out does not begin.
      await withinTime(this.#runner.query('ROLLBACK'), this.#timeoutMs, 'no answer to the rollback');
    } catch {
      // The connection is gone, or SQLite has already rolled back by itself (disk full); both leave nothing open.
      this.#broken = true;
    }
  }

  #markTransaction(isTransactionActive: boolean): void {
    Object.assign(this.#runner, { isTransactionActive });
  }
}

function idleOf(dataSource: DataSource): Set<PoolConnection> {
  let connections = idle.get(dataSource);
  if (connections === undefined) idle.set(dataSource, (connections = new Set()));
  return connections;
}

/** Without waiting for the server, which may be silent. */
function drop(connection: PoolConnection): void {
  connection.destroy();
  connection.stream.destroy();
}

async function acquire(runner: QueryRunner, timeoutMs: number): Promise<PoolConnection> {
  const connecting = runner.connect() as Promise<PoolConnection>;
  try {
    return await withinTime(connecting, timeoutMs, 'no database connection was free');
  } catch (error) {
    // One that comes too late goes back at once.
    connecting.then(() => runner.release()).catch(() => undefined);
    throw error;
  }
}

/**
 * Does not depend on the server's defaults: rows are refused rather than cut, quoting is what mysql2 escapes for, and
 * a lock time-out, of a row or of a whole table (a day by default), comes before ours, so that it can be repeated and
 * leaves no statement behind.
 */
async function prepare(runner: QueryRunner, timeoutMs: number): Promise<void> {
  const lockWaitSeconds = Math.max(1, Math.floor(timeoutMs / 2_000));
  await runner.query(
    `SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = ${lockWaitSeconds}, lock_wait_timeout = ${lockWaitSeconds}`,
  );
  await runner.query('SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED');
  const [limit] = (await runner.query('SELECT @@max_allowed_packet AS bytes')) as { bytes: number }[];
  if (limit !== undefined) packetLimits.set(runner.dataSource, limit.bytes);
}
