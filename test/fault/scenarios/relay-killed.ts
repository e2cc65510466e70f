import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createPool, type Pool } from 'mysql2/promise';
import { createReceiver } from '../../../sdk/src/index.js';
import { SqlInbox } from '../../../sdk/src/inbox/index.js';
import { Outbox } from '../../../sdk/src/outbox/index.js';
import { until } from '../../support/until.js';
import type { Scenario, Stage } from '../scenario.js';
import { EVENT_TYPE, SOURCE_ID } from '../setting.js';

const TRANSACTIONS = 500;
const ROLLED_BACK = 50;
const KILLS = 2;
const AGGREGATES = 20;
const CLIENT_KEY = 'a2V5IG9mIHRoZSByZWNlaXZlcg==';

/**
 * An application writes events into its outbox beside its orders, some transactions are rolled back, and the relay is
 * killed with kill -9 twice in the middle. The events go through a centre on RabbitMQ and MariaDB to a receiver with an
 * inbox, in which they are counted.
 */
async function relayKilled({ setting, report }: Stage): Promise<void> {
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const pool = await applicationDatabase(setting.database.url);
  const receiver = await Receiver.start(pool);
  const relays: ChildProcess[] = [];
  try {
    const sender = await client.must('POST', '/nodes', { nodeCode: 'ORDERS' });
    await client.must('POST', '/nodes', { nodeCode: 'STOCK', clientKey: CLIENT_KEY });
    const type = await client.must('POST', '/event-types', { sourceId: SOURCE_ID, eventTypeCode: EVENT_TYPE });
    await client.must('POST', '/listeners', {
      name: 'stock',
      nodeCode: 'STOCK',
      eventTypeId: type.id,
      url: receiver.url,
    });
    const startRelay = (): ChildProcess => {
      const relay = spawn(process.execPath, ['test/fault/relay.mjs'], {
        stdio: ['ignore', 'ignore', 'inherit'],
        env: {
          PATH: process.env['PATH'],
          RELAY_DATABASE_URL: databaseUrl(setting.database.url),
          EVENT_CENTER_URL: centre.url,
          EVENT_CENTER_APP_ID: 'ORDERS',
          EVENT_CENTER_APP_KEY: sender.appKey,
        },
      });
      relays.push(relay);
      return relay;
    };

    const business = placeOrders(pool);
    for (let kill = 1; kill <= KILLS; kill += 1) {
      const relay = startRelay();
      const enough = kill * 100;
      await until(`${enough} orders arrived`, () => receiver.orders.size >= enough, 120_000);
      relay.kill('SIGKILL');
      await once(relay, 'exit');
      report.say(`relay killed for the ${kill}. time after ${receiver.orders.size} orders had arrived, ${await unpublished(pool)} waiting`); // prettier-ignore
    }
    const committed = await business;
    const last = startRelay();
    await until('the outbox is empty', async () => (await unpublished(pool)) === 0, 120_000);
    await until('every order arrived', () => committed.every((order) => receiver.orders.has(order)), 120_000);
    last.kill('SIGTERM');
    await once(last, 'exit');

    const recorded = await count(pool, 'SELECT COUNT(*) AS total FROM event_center_inbox WHERE done_at IS NOT NULL');
    const lost = committed.filter((order) => !receiver.orders.has(order));
    const strangers = [...receiver.orders.keys()].filter((order) => !committed.includes(order));
    const twice = [...receiver.orders].filter(([, times]) => times > 1);
    report.say(`${TRANSACTIONS} transactions, ${TRANSACTIONS - committed.length} rolled back; ${receiver.calls} calls`);
    const figures = { accepted: committed.length, owed: committed.length, delivered: recorded, lost: lost.length };
    Object.assign(report.figures, { ...figures, repeats: twice.length });
    report.figure('repeatedCallsCaughtByTheInbox', receiver.calls - committed.length);
    report.require('committed', committed.length === TRANSACTIONS - ROLLED_BACK, committed.length);
    report.require('in the inbox', recorded === committed.length, recorded);
    report.require('lost = 0', lost.length === 0, lost.length);
    report.require('of rolled back transactions = 0', strangers.length === 0, strangers.length);
    report.require('acted on twice = 0', twice.length === 0, twice.length);
    let known = 0;
    // The journal follows the callbacks.
    await until(
      'the API knows every event',
      async () => (known = (await client.all('/events?sourceId=' + SOURCE_ID)).length) >= committed.length,
      30_000,
    ).catch(() => undefined);
    report.require('the API knows as many events', known === committed.length, known);
  } finally {
    for (const relay of relays) relay.kill('SIGKILL');
    await receiver.stop();
    await pool.end();
  }
}

/** 500 orders in transactions of their own, each tenth rolled back; resolves with the numbers of those committed. */
async function placeOrders(pool: Pool): Promise<number[]> {
  const outbox = new Outbox({ dialect: 'mysql' });
  const committed: number[] = [];
  for (let order = 0; order < TRANSACTIONS; order += 1) {
    const connection = await pool.getConnection();
    try {
      await connection.beginTransaction();
      await connection.query('INSERT INTO orders (id) VALUES (?)', [order]);
      await outbox.add(connection, {
        sourceId: SOURCE_ID,
        eventType: EVENT_TYPE,
        userObject: { order },
        aggregate: `customer ${order % AGGREGATES}`,
      });
      if (order % (TRANSACTIONS / ROLLED_BACK) === 3) {
        await connection.rollback();
      } else {
        await connection.commit();
        committed.push(order);
      }
    } finally {
      connection.release();
    }
  }
  return committed;
}

/** The application that reacts to orders: what it does is counted by order, behind an inbox. */
class Receiver {
  readonly orders = new Map<number, number>();
  calls = 0;
  readonly #server: Server;

  private constructor(inbox: SqlInbox) {
    const receiver = createReceiver({ clientKey: CLIENT_KEY, inbox }, (event) => {
      const { order } = event.payload as { order: number };
      this.orders.set(order, (this.orders.get(order) ?? 0) + 1);
    });
    this.#server = createServer((req, res) => {
      this.calls += 1;
      void receiver.node(req, res);
    });
  }

  static async start(pool: Pool): Promise<Receiver> {
    const inbox = new SqlInbox({ dialect: 'mysql', executor: pool });
    await inbox.createTable();
    const receiver = new Receiver(inbox);
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/orders`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A database of the application's own on the same server, with its orders and its outbox. */
async function applicationDatabase(serverUrl: string): Promise<Pool> {
  const server = createPool(serverUrl);
  await server.query('CREATE DATABASE application CHARACTER SET utf8mb4');
  await server.end();
  const pool = createPool(databaseUrl(serverUrl));
  await pool.query('CREATE TABLE orders (id INT PRIMARY KEY)');
  for (const sql of new Outbox({ dialect: 'mysql' }).createTableSql()) await pool.query(sql);
  return pool;
}

function databaseUrl(serverUrl: string): string {
  const url = new URL(serverUrl);
  url.pathname = '/application';
  return url.href;
}

function unpublished(pool: Pool): Promise<number> {
  return count(pool, "SELECT COUNT(*) AS total FROM event_outbox WHERE state <> 'published'");
}

async function count(pool: Pool, sql: string): Promise<number> {
  const [rows] = await pool.query(sql);
  return Number((rows as { total: unknown }[])[0]?.total);
}

export const scenarios: Scenario[] = [
  {
    name: 'relay-killed',
    group: 'processes',
    promise:
      'Orders written beside an outbox, whose relay is killed twice, are acted on exactly once by a receiver with an inbox, and rolled back ones never.',
    run: relayKilled,
  },
];
