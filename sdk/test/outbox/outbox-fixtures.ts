import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPool } from 'mysql2/promise';
import { DataSource } from 'typeorm';
import { createOnServer } from '../../../test/support/mysql-server.js';
import { Outbox, type OutboxDatabase, type RelayedEvent, type SqlExecutor } from '../../src/outbox/index.js';

/** A business database with an outbox, and the table `orders`. */
export interface OutboxFixture {
  outbox: Outbox;
  clock: TestClock;
  /** What a relay gets. */
  database: OutboxDatabase;
  /** The application's transaction: rolled back when `work` throws. */
  inTransaction<T>(work: (executor: SqlExecutor) => Promise<T>): Promise<T>;
  rows(sql: string): Promise<any[]>;
  close(): Promise<void>;
}

/** Goes with the system's clock, and can be set forward. */
export class TestClock {
  #ahead = 0;

  now(): number {
    return Date.now() + this.#ahead;
  }

  forward(ms: number): void {
    this.#ahead += ms;
  }
}

/** A clock that only moves when it is told to. */
export class StandingClock extends TestClock {
  #at = 1_700_000_000_000;

  override now(): number {
    return this.#at;
  }

  override forward(ms: number): void {
    this.#at += ms;
  }
}

const ORDERS = 'CREATE TABLE orders (id VARCHAR(40) NOT NULL PRIMARY KEY)';

export async function sqliteByTypeOrm(clock: TestClock = new TestClock()): Promise<OutboxFixture> {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-outbox-'));
  const dataSource = new DataSource({ type: 'better-sqlite3', database: join(folder, 'shop.sqlite'), enableWAL: true });
  return dataSourceFixture(dataSource, new Outbox({ dialect: 'sqlite', clock }), async () => {
    rmSync(folder, { recursive: true, force: true });
  });
}

async function mariaDbByTypeOrm(clock: TestClock = new TestClock()): Promise<OutboxFixture> {
  const { url, drop } = await createOnServer();
  return dataSourceFixture(
    new DataSource({ type: 'mariadb', url, extra: { connectionLimit: 8 } }),
    new Outbox({ dialect: 'mariadb', clock }),
    drop,
  );
}

export async function mariaDbByMysql2(clock: TestClock = new TestClock()): Promise<OutboxFixture & { url: string }> {
  const { url, drop } = await createOnServer();
  const pool = createPool({ uri: url, connectionLimit: 8 });
  const outbox = new Outbox({ dialect: 'mysql', clock });
  await pool.query(ORDERS);
  await outbox.createTable(pool);
  return {
    url,
    outbox,
    clock,
    database: pool,
    inTransaction: async (work) => {
      const connection = await pool.getConnection();
      try {
        await connection.beginTransaction();
        const result = await work(connection);
        await connection.commit();
        return result;
      } catch (error) {
        await connection.rollback();
        throw error;
      } finally {
        connection.release();
      }
    },
    rows: async (sql) => (await pool.query(sql))[0] as any[],
    close: async () => {
      await pool.end();
      await drop();
    },
  };
}

/** Runs a suite over each database and driver; only over SQLite with EVENT_CENTER_TEST_EMBEDDED_ONLY=1. */
export function describeEachOutbox(suite: (create: (clock?: TestClock) => Promise<OutboxFixture>) => void): void {
  const kinds: [string, (clock?: TestClock) => Promise<OutboxFixture>][] = [['SQLite by TypeORM', sqliteByTypeOrm]];
  if (process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] !== '1') {
    kinds.push(['MariaDB by mysql2', mariaDbByMysql2], ['MariaDB by TypeORM', mariaDbByTypeOrm]);
  }
  for (const [name, create] of kinds) {
    describe(name, () => {
      suite(create);
    });
  }
}

async function dataSourceFixture(
  dataSource: DataSource,
  outbox: Outbox,
  remove: () => Promise<void>,
): Promise<OutboxFixture> {
  await dataSource.initialize();
  await dataSource.query(ORDERS);
  await outbox.createTable(dataSource);
  return {
    outbox,
    clock: outbox.clock as TestClock,
    database: dataSource,
    inTransaction: (work) => dataSource.transaction((manager) => work(manager)),
    rows: (sql) => dataSource.query(sql),
    close: async () => {
      await dataSource.destroy();
      await remove();
    },
  };
}

/** A centre that remembers what it was sent, with keys, in the order of arrival. */
export class FakeCentre {
  /** Every send that began. */
  readonly sends: RelayedEvent[] = [];
  /** Accepted events, each once. */
  readonly accepted = new Map<string, RelayedEvent>();
  duplicates = 0;
  /** Decides before the event is taken; throwing refuses it. */
  before: (event: RelayedEvent) => Promise<void> | void = () => {};
  /** After it was taken; throwing loses the answer. */
  after: (event: RelayedEvent) => Promise<void> | void = () => {};

  async send(event: RelayedEvent): Promise<{ eventId: string; code: string }> {
    this.sends.push(event);
    await this.before(event);
    const known = this.accepted.has(event.uuid);
    if (known) this.duplicates += 1;
    else this.accepted.set(event.uuid, event);
    await this.after(event);
    return { eventId: `id-${event.uuid}`, code: known ? 'DUPLICATE' : 'OK' };
  }

  payloads(): unknown[] {
    return [...this.accepted.values()].map((event) => event.userObject);
  }
}

/** Adds an event of an order in a transaction of its own; returns its uuid. */
export function addOrder(
  fixture: OutboxFixture,
  of: { order: string; userObject?: unknown; aggregate?: string; uuid?: string },
): Promise<string> {
  const { order, userObject = order, ...rest } = of;
  return fixture.inTransaction(async (executor) => {
    await executor.query('INSERT INTO orders (id) VALUES (?)', [order]);
    return fixture.outbox.add(executor, { sourceId: 'shop', eventType: 'ORDER', userObject, ...rest });
  });
}
