/** The order service: an order and its events are written in one transaction, or neither is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Outbox } from '@event-center/sdk/outbox';

export const SOURCE_ID = 'EXAMPLE-ORDERS';
const ORDERS =
  'CREATE TABLE IF NOT EXISTS example_orders (id VARCHAR(40) NOT NULL PRIMARY KEY, customer VARCHAR(40) NOT NULL)';
const INSERT = 'INSERT INTO example_orders (id, customer) VALUES (?, ?)';
const LIST = 'SELECT id FROM example_orders ORDER BY id';

/**
 * @param url of MySQL or MariaDB; undefined for SQLite.
 * @returns the service: `place(order)` throws for an order that cannot be paid, `orders()` are the ids of those that were
 *   placed, `outbox` and `database` are for a relay.
 */
export function openOrderService(url) {
  return url === undefined ? openOnSqlite() : openOnMysql(url);
}

/** An order is placed and then paid: two events that must not overtake each other, so they have one aggregate. */
function eventsOf(order) {
  return ['ORDER_PLACED', 'ORDER_PAID'].map((eventType) => ({
    sourceId: SOURCE_ID,
    eventType,
    aggregate: `order:${order.id}`,
    userObject: { order: order.id, customer: order.customer },
  }));
}

function charge(order) {
  if (order.customer === 'nobody') throw new Error('the card was refused');
}

async function openOnSqlite() {
  const { default: Database } = await import('better-sqlite3');
  const folder = mkdtempSync(join(tmpdir(), 'event-center-outbox-'));
  const database = new Database(join(folder, 'orders.sqlite'));
  const outbox = new Outbox({ dialect: 'sqlite', table: 'example_outbox' });
  database.exec(ORDERS);
  await outbox.createTable(database);
  const place = database.transaction((order) => {
    database.prepare(INSERT).run(order.id, order.customer);
    outbox.addSync(database, eventsOf(order));
    charge(order);
  });
  return {
    name: 'SQLite',
    outbox,
    database,
    place: async (order) => place(order),
    orders: async () =>
      database
        .prepare(LIST)
        .all()
        .map((row) => row.id),
    cameBack: async (uuid) => outbox.markConsumed(database, uuid),
    close: async () => {
      database.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function openOnMysql(url) {
  const { createPool } = await import('mysql2/promise');
  const pool = createPool(url);
  const outbox = new Outbox({ dialect: 'mysql', table: 'example_outbox' });
  await pool.query(ORDERS);
  await outbox.createTable(pool);
  return {
    name: 'MySQL or MariaDB',
    outbox,
    database: pool,
    place: async (order) => {
      const connection = await pool.getConnection();
      try {
        await connection.beginTransaction();
        await connection.query(INSERT, [order.id, order.customer]);
        await outbox.add(connection, eventsOf(order));
        charge(order);
        await connection.commit();
      } catch (error) {
        await connection.rollback();
        throw error;
      } finally {
        connection.release();
      }
    },
    orders: async () => (await pool.query(LIST))[0].map((row) => row.id),
    cameBack: async (uuid) => outbox.markConsumed(pool, uuid),
    close: async () => {
      await pool.query('DROP TABLE IF EXISTS example_orders, example_outbox');
      await pool.end();
    },
  };
}
