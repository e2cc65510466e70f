import type { DataSource, DataSourceOptions } from 'typeorm';
import type { Log } from '../core/ports.js';
import { createDataSource } from './data-source.js';
import { toStoreError, unavailable } from './database-errors.js';
import { dropIdleConnections, openSession } from './session.js';
import { withinTime } from './time-limit.js';

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2_000;
const PROBE_TIMEOUT_MS = 3_000;
const CLOSE_TIMEOUT_MS = 2_000;

/**
 * Connects in the background, again and again with backoff, and watches over the connection afterwards. While the
 * database is away it says so at once, so that callers do not each wait for a time-out of their own.
 */
export class ConnectionKeeper {
  readonly #options: DataSourceOptions;
  readonly #log: Log;
  #dataSource: DataSource | null = null;
  #problem: string | null = 'not connected yet';
  #watching: Promise<void> | null = null;
  #firstTry: Promise<void>;
  #closed = false;
  #wake: (() => void) | null = null;

  constructor(options: DataSourceOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    this.#firstTry = this.#try();
    this.#watching = this.#firstTry.then(() => this.#watch());
  }

  /** One sentence on why the database cannot be used, or null. */
  get problem(): string | null {
    return this.#problem;
  }

  /** The connected data source. Waits for the first try only. @throws UNAVAILABLE while the database is away. */
  async dataSource(): Promise<DataSource> {
    if (this.#problem !== null) await this.#firstTry;
    if (this.#dataSource === null || this.#problem !== null) {
      throw unavailable(`the database is away: ${this.#problem ?? 'closed'}`);
    }
    return this.#dataSource;
  }

  /** A connection was lost or did not answer: finds out whether the database is away. */
  suspect(): void {
    if (this.#watching !== null || this.#closed) return;
    this.#watching = this.#try().then(() => this.#watch());
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#problem = 'closed';
    this.#wake?.();
    await this.#watching;
    const dataSource = this.#dataSource;
    this.#dataSource = null;
    // A connection that is lost or silent cannot be ended politely, and need not be.
    if (dataSource !== null) await withinTime(dataSource.destroy(), CLOSE_TIMEOUT_MS, 'no end').catch(() => undefined);
  }

  /** Repeats until the database answers. */
  async #watch(): Promise<void> {
    let delayMs = FIRST_DELAY_MS;
    while (this.#problem !== null && !this.#closed) {
      await this.#pause(delayMs * (0.5 + Math.random() / 2));
      delayMs = Math.min(delayMs * 2, LONGEST_DELAY_MS);
      if (!this.#isClosed()) await this.#try();
    }
    this.#watching = null;
  }

  /** Connects, or asks over the connection that is there; notes the result. */
  async #try(): Promise<void> {
    try {
      if (this.#dataSource === null) this.#dataSource = await connect(this.#options);
      else await probe(this.#dataSource);
      if (this.#isClosed()) return;
      if (this.#problem !== null) this.#log.info('database.connected', { type: this.#options.type });
      this.#problem = null;
    } catch (error) {
      if (this.#isClosed()) return;
      const failure = toStoreError(error);
      const problem = failure instanceof Error ? failure.message : String(failure);
      if (this.#problem !== problem) this.#log.warn('database.away', { problem });
      this.#problem = problem;
    }
  }

  /** Asked anew, because it may change during a wait. */
  #isClosed(): boolean {
    return this.#closed;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

async function connect(options: DataSourceOptions): Promise<DataSource> {
  const dataSource = createDataSource(options);
  try {
    return await dataSource.initialize();
  } catch (error) {
    // A pool that was made before the failure would be left behind.
    await dataSource.driver.disconnect().catch(() => undefined);
    throw error;
  }
}

async function probe(dataSource: DataSource): Promise<void> {
  const session = await openSession(dataSource, PROBE_TIMEOUT_MS);
  try {
    await session.probe();
  } catch (error) {
    dropIdleConnections(dataSource);
    throw error;
  } finally {
    await session.close(null);
  }
}
