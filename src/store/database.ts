import { EventCenterError, hasCode } from '../core/errors.js';
import type { Log } from '../core/ports.js';
import { ConnectionKeeper } from './connection-keeper.js';
import { dataSourceOptions, dialectOf, type DataSourceSettings } from './data-source.js';
import { classifyFailure, toStoreError, unavailable } from './database-errors.js';
import { Gate } from './gate.js';
import { openSession, type Session, type Work } from './session.js';
import { migrate, pendingMigrations } from './migrate.js';
import type { Dialect } from './columns.js';

export interface DatabaseOptions extends DataSourceSettings {
  log: Log;
}

const MOST_TRIES = 12;
const LONGEST_PAUSE_MS = 500;
/** How long a failure of a database that is there, such as a full disk, shows in the status. */
const TROUBLE_MS = 30_000;

/**
 * Opens a database, MySQL/MariaDB or SQLite, without waiting for it: it connects in the background, and all work
 * throws UNAVAILABLE until it does. Close it in the end.
 */
export function openDatabase(options: DatabaseOptions): Database {
  return new Database(options);
}

/**
 * The one way to the database. Errors of all methods: UNAVAILABLE when the database is away, does not answer in time
 * or cannot do it now; RefusedRowError for a row that it refuses; INTERNAL for a statement that is wrong; what `work`
 * throws itself passes as it is. After UNAVAILABLE a write may have happened (the answer to the commit was lost).
 * Never call one inside the work of another: on SQLite it would wait for itself, until UNAVAILABLE.
 */
export class Database {
  readonly dialect: Dialect;
  readonly #options: DatabaseOptions;
  readonly #keeper: ConnectionKeeper;
  readonly #gate: Gate | null;
  #trouble: { problem: string; at: number } | null = null;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    this.dialect = dialectOf(options.url);
    this.#keeper = new ConnectionKeeper(dataSourceOptions(options), options.log);
    this.#gate = this.dialect === 'sqlite' ? new Gate(options.queryTimeoutMs) : null;
  }

  get isSqlite(): boolean {
    return this.dialect === 'sqlite';
  }

  /** Whether the database can be used now, else one sentence on why not: it is away, or could not do something lately. */
  status(): { ready: boolean; problem: string | null } {
    const trouble = this.#trouble !== null && Date.now() - this.#trouble.at < TROUBLE_MS ? this.#trouble.problem : null;
    const problem = this.#keeper.problem ?? trouble;
    return { ready: problem === null, problem };
  }

  /**
   * Runs `work` in a transaction (READ COMMITTED on MySQL, one writer at a time on SQLite), commits, and gives its
   * result; a throw rolls back. Repeated from the start on deadlock, lock time-out and a busy SQLite file, as long as
   * `queryTimeoutMs` is not over.
   */
  transaction<T>(work: Work<T>): Promise<T> {
    return this.#perform((session) => session.transaction(work));
  }

  /** Runs reads that all see the database at one moment, without locks. */
  snapshot<T>(work: Work<T>): Promise<T> {
    return this.#perform((session) => session.snapshot(work));
  }

  /** Runs statements outside a transaction, each committed by itself: reads, and writes of a single statement. */
  run<T>(work: Work<T>): Promise<T> {
    return this.#perform((session) => session.run(work));
  }

  /** Runs the migrations that have not run yet, one process at a time; gives their names. May take long. */
  async migrate(): Promise<string[]> {
    const names = await migrate(this.#options);
    for (const name of names) this.#options.log.info('database.migrated', { migration: name });
    return names;
  }

  /** Whether a migration has not run yet. Changes nothing. */
  async hasPendingMigrations(): Promise<boolean> {
    const names = await this.run((manager) => pendingMigrations(manager, this.#options.migrations));
    return names.length > 0;
  }

  /** Resolves when the database can be used. @throws UNAVAILABLE after `timeoutMs`. */
  async waitUntilReady(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (this.#keeper.problem !== null) {
      if (Date.now() >= deadline) throw unavailable(`the database is away: ${this.#keeper.problem}`);
      await pause(20);
    }
  }

  /** Ends the background work and the connections. Work that still runs fails. */
  close(): Promise<void> {
    return this.#keeper.close();
  }

  #perform<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const perform = () => this.#repeat(work);
    return this.#gate === null ? perform() : this.#gate.run(perform);
  }

  async #repeat<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const repeatUntil = Date.now() + this.#options.queryTimeoutMs;
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#once(work);
      } catch (error) {
        if (error instanceof EventCenterError) throw error;
        const failure = classifyFailure(error);
        if (failure === 'lost') {
          this.#keeper.suspect();
          throw toStoreError(error);
        }
        if (failure !== 'repeat' || tries >= MOST_TRIES || Date.now() >= repeatUntil)
          throw this.#failed(toStoreError(error));
        await pause(Math.random() * Math.min(5 * 2 ** tries, LONGEST_PAUSE_MS));
      }
    }
  }

  #failed(error: unknown): unknown {
    if (hasCode(error, 'UNAVAILABLE')) this.#trouble = { problem: error.message, at: Date.now() };
    return error;
  }

  async #once<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await openSession(await this.#keeper.dataSource(), this.#options.queryTimeoutMs);
    let failure: unknown = null;
    try {
      return await work(session);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      await session.close(failure);
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
