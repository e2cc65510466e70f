import { connect, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';
import { createConnection } from 'mysql2/promise';
import { hasCode } from '../../src/core/errors.js';
import type { Database } from '../../src/store/database.js';
import { RefusedRowError } from '../../src/store/database-errors.js';
import { deleteOldest, execute, insertRows, rowsOf } from '../../src/store/sql.js';
import { createMysqlDatabase, describeEachDatabase, type TestDatabase } from '../support/databases.js';
import { until } from '../support/until.js';

const NUMBERS =
  'CREATE TABLE numbers (id INTEGER PRIMARY KEY NOT NULL, text VARCHAR(5) NOT NULL, newness INTEGER NOT NULL)';

interface NumberRow {
  id: number;
  text: string;
  newness: number;
}

function numbersOf(database: Database): Promise<NumberRow[]> {
  return database.run((manager) => rowsOf<NumberRow>(manager, 'SELECT * FROM numbers ORDER BY id'));
}

function insert(
  database: Database,
  onDuplicate: Parameters<typeof insertRows>[1]['onDuplicate'],
  rows: [number, string | null, number][],
) {
  return database.transaction((manager) =>
    insertRows(manager, { table: 'numbers', columns: ['id', 'text', 'newness'], rows, onDuplicate }),
  );
}

describeEachDatabase('the database', (create) => {
  let test: TestDatabase;
  let database: Database;

  beforeEach(async () => {
    test = await create();
    database = test.open();
    await database.run((manager) => execute(manager, NUMBERS));
  });
  afterEach(() => test.remove());

  it('commits what a transaction wrote, and rolls back when it throws', async () => {
    await insert(database, 'error', [[1, 'one', 0]]);
    const broken = database.transaction(async (manager) => {
      await execute(manager, "INSERT INTO numbers VALUES (2, 'two', 0)");
      throw new Error('changed my mind');
    });
    await expect(broken).rejects.toThrow('changed my mind');
    expect(await numbersOf(database)).toEqual([{ id: 1, text: 'one', newness: 0 }]);
  });

  it('keeps concurrent transactions apart', async () => {
    await insert(database, 'error', [[1, 'x', 0]]);
    const raise = () =>
      database.transaction(async (manager) => {
        await execute(manager, 'UPDATE numbers SET newness = newness + 1 WHERE id = 1');
        await new Promise((resolve) => setImmediate(resolve));
        const rows = await rowsOf<NumberRow>(manager, 'SELECT * FROM numbers');
        if (rows[0]?.newness === 3) throw new Error('three');
        return rows[0]?.newness;
      });
    const results = await Promise.allSettled(Array.from({ length: 6 }, raise));
    expect(results.filter((result) => result.status === 'rejected').length).toBe(4);
    expect(await numbersOf(database)).toEqual([{ id: 1, text: 'x', newness: 2 }]);
  });

  it('repeats a transaction that lost a deadlock', async () => {
    await insert(database, 'error', [
      [1, 'a', 0],
      [2, 'b', 0],
    ]);
    const raise = (first: number, second: number) =>
      database.transaction(async (manager) => {
        await execute(manager, 'UPDATE numbers SET newness = newness + 1 WHERE id = ?', [first]);
        await new Promise((resolve) => setImmediate(resolve));
        await execute(manager, 'UPDATE numbers SET newness = newness + 1 WHERE id = ?', [second]);
      });
    await Promise.all(Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? raise(1, 2) : raise(2, 1))));
    expect((await numbersOf(database)).map((row) => row.newness)).toEqual([10, 10]);
  });

  it('shows a snapshot of one moment', async () => {
    await insert(database, 'error', [[1, 'a', 0]]);
    const other = test.open();
    await other.waitUntilReady(5_000);
    const seen = await database.snapshot(async (manager) => {
      const before = await rowsOf(manager, 'SELECT * FROM numbers');
      await insert(other, 'error', [[2, 'b', 0]]);
      return [before.length, (await rowsOf(manager, 'SELECT * FROM numbers')).length];
    });
    expect(seen).toEqual([1, 1]);
    expect(await numbersOf(database)).toHaveLength(2);
  });

  it('tells a duplicate and a refused value from other failures', async () => {
    await insert(database, 'error', [[1, 'a', 0]]);
    const duplicate = await insert(database, 'error', [[1, 'b', 0]]).catch((error: unknown) => error);
    expect(duplicate).toBeInstanceOf(RefusedRowError);
    expect(duplicate).toMatchObject({ reason: 'duplicate', code: 'CONFLICT' });
    for (const onDuplicate of ['error', 'keep', { key: ['id'], replace: ['text'] }] as const) {
      const missing = await insert(database, onDuplicate as 'keep', [[2, null, 0]]).catch((error: unknown) => error);
      expect(missing).toMatchObject({ reason: 'value', code: 'INVALID_PARAM' });
    }
    const wrong = await database.run((manager) => execute(manager, 'SELEKT 1')).catch((error: unknown) => error);
    expect(hasCode(wrong, 'INTERNAL')).toBe(true);
  });

  it('keeps or replaces rows whose key is there, and replaces only by newer ones when asked to', async () => {
    await insert(database, 'error', [[1, 'a', 5]]);
    await insert(database, 'keep', [
      [1, 'b', 6],
      [2, 'c', 1],
    ]);
    expect(await numbersOf(database)).toEqual([
      { id: 1, text: 'a', newness: 5 },
      { id: 2, text: 'c', newness: 1 },
    ]);
    const newer = { key: ['id'], replace: ['text'], ifNewerBy: 'newness' };
    await insert(database, newer, [
      [1, 'old', 4],
      [2, 'new', 2],
    ]);
    expect(await numbersOf(database)).toEqual([
      { id: 1, text: 'a', newness: 5 },
      { id: 2, text: 'new', newness: 2 },
    ]);
    await insert(database, { key: ['id'], replace: ['text'] }, [[1, 'any', 0]]);
    expect((await numbersOf(database))[0]).toEqual({ id: 1, text: 'any', newness: 5 });
  });

  it('inserts more rows than fit into one statement, and deletes the oldest in batches', async () => {
    const rows = Array.from({ length: 25_000 }, (_, index): [number, string, number] => [index, 'x', index]);
    await insert(database, 'error', rows);
    expect(await numbersOf(database)).toHaveLength(25_000);
    const oldest = { table: 'numbers', column: 'newness', before: 15_000, limit: 10_000 };
    expect(await database.run((manager) => deleteOldest(manager, oldest))).toBe(10_000);
    expect(await database.run((manager) => deleteOldest(manager, oldest))).toBe(5_000);
    expect((await numbersOf(database))[0]?.id).toBe(15_000);
  });

  it('is UNAVAILABLE, and says so in its status, while a table is not made yet', async () => {
    expect(database.status()).toEqual({ ready: true, problem: null });
    await expect(database.run((manager) => execute(manager, 'DELETE FROM not_yet'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(database.status()).toEqual({ ready: false, problem: expect.stringContaining('not_yet') });
    expect(await numbersOf(database)).toEqual([]);
  });

  it('answers UNAVAILABLE, not silence, when work waits for itself', async () => {
    const small = test.open({ poolSize: 1, queryTimeoutMs: 500 });
    const inner = small.run(() => small.run((manager) => execute(manager, 'SELECT 1')));
    await expect(inner).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(small.run((manager) => rowsOf(manager, 'SELECT 1 AS one'))).resolves.toEqual([{ one: 1 }]);
  });
});

const describeMysql = process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? describe.skip : describe;

describeMysql('a MariaDB that goes away', () => {
  let test: TestDatabase;
  beforeEach(async () => {
    test = await createMysqlDatabase();
  });
  afterEach(() => test.remove());

  const one = (database: Database) => database.run((manager) => rowsOf(manager, 'SELECT 1 AS one'));

  it('is UNAVAILABLE within a bounded time when nobody listens', async () => {
    const database = test.open({ url: 'mysql://root@127.0.0.1:1/none' });
    const started = Date.now();
    await expect(one(database)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(database.migrate()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(Date.now() - started).toBeLessThan(3_000);
    expect(database.status()).toMatchObject({ ready: false });
  });

  it('is UNAVAILABLE after the time-out when a statement hangs, and works on', async () => {
    const database = test.open({ queryTimeoutMs: 1_000 });
    await one(database);
    await expect(database.run((manager) => execute(manager, 'SELECT SLEEP(5)'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    await expect(one(database)).resolves.toEqual([{ one: 1 }]);
  });

  it('opens before the server is there, and recovers after the connection was cut', async () => {
    const proxy = new CuttableProxy(new URL(test.url));
    const port = await proxy.open();
    await proxy.cut();
    const url = new URL(test.url);
    url.host = `127.0.0.1:${port}`;
    const database = test.open({ url: url.href, queryTimeoutMs: 1_000 });
    try {
      await expect(one(database)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await proxy.open();
      await database.waitUntilReady(10_000);
      await expect(one(database)).resolves.toEqual([{ one: 1 }]);

      const inTransaction = database.transaction(async (manager) => {
        await execute(manager, NUMBERS);
        await proxy.cut();
        await execute(manager, 'SELECT 1');
      });
      await expect(inTransaction).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await expect(one(database)).rejects.toMatchObject({ code: 'UNAVAILABLE' });

      await proxy.open();
      await database.waitUntilReady(10_000);
      await expect(one(database)).resolves.toEqual([{ one: 1 }]);
    } finally {
      await proxy.cut();
    }
  });

  it('is UNAVAILABLE within a bounded time when connections fall silent, and recovers over new ones', async () => {
    const proxy = new CuttableProxy(new URL(test.url));
    const url = new URL(test.url);
    url.host = `127.0.0.1:${await proxy.open()}`;
    const database = test.open({ url: url.href, queryTimeoutMs: 500 });
    const inTransaction = () => database.transaction((manager) => rowsOf(manager, 'SELECT 1 AS one'));
    try {
      await Promise.all(Array.from({ length: 5 }, inTransaction));
      const broken = database.transaction(async (manager) => {
        proxy.freeze();
        await execute(manager, 'SELECT 1');
      });
      await expect(broken).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      const started = Date.now();
      const results = await Promise.allSettled(Array.from({ length: 10 }, inTransaction));
      expect(results.every((result) => result.status === 'rejected' && hasCode(result.reason, 'UNAVAILABLE'))).toBe(
        true,
      );
      expect(Date.now() - started).toBeLessThan(3_000);
      proxy.thaw();
      await until('the database answers again', inTransaction);
    } finally {
      await proxy.cut();
    }
  });

  it('is back soon when all idle connections are silent and new ones are not', async () => {
    const proxy = new CuttableProxy(new URL(test.url));
    const url = new URL(test.url);
    url.host = `127.0.0.1:${await proxy.open()}`;
    const database = test.open({ url: url.href, poolSize: 10, queryTimeoutMs: 500 });
    try {
      await Promise.all(
        Array.from({ length: 10 }, () => database.run((manager) => rowsOf(manager, 'SELECT SLEEP(0.2)'))),
      );
      proxy.freeze();
      proxy.thaw();
      await expect(one(database)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await until('the database answers again', () => one(database), 8_000);
    } finally {
      await proxy.cut();
    }
  });

  it('lets nothing wait for the lock of another session longer than a query may take, and leaves nothing waiting', async () => {
    const database = test.open({ queryTimeoutMs: 2_000 });
    await database.run((manager) => execute(manager, NUMBERS));
    await insert(database, 'error', [[1, 'a', 0]]);
    const session = await createConnection(test.url);
    try {
      for (const lock of [
        ['LOCK TABLES numbers WRITE'],
        ['START TRANSACTION', 'SELECT * FROM numbers WHERE id = 1 FOR UPDATE'],
      ]) {
        for (const statement of lock) await session.query(statement);
        const started = Date.now();
        const writing = database.transaction((manager) => execute(manager, "UPDATE numbers SET text = 'b'"));
        await expect(writing).rejects.toThrow(/ER_LOCK_WAIT_TIMEOUT/);
        expect(Date.now() - started).toBeLessThan(4_500);
        expect(database.status()).toMatchObject({ ready: false });
        await session.query('UNLOCK TABLES');
        await session.query('ROLLBACK');
        expect(await numbersOf(database)).toEqual([{ id: 1, text: 'a', newness: 0 }]);
      }
    } finally {
      await session.end();
    }
  });

  it.each([
    [
      'a trigger',
      "CREATE TRIGGER one_refused BEFORE INSERT ON numbers FOR EACH ROW IF NEW.id = 13 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF",
    ],
    ['a CHECK constraint', 'ALTER TABLE numbers ADD CONSTRAINT one_refused CHECK (id <> 13)'],
  ])('tells a row that %s refuses from a statement that is wrong', async (_name, rule) => {
    const database = test.open();
    await database.run((manager) => execute(manager, NUMBERS));
    await database.run((manager) => execute(manager, rule));
    await expect(insert(database, 'error', [[13, 'a', 0]])).rejects.toMatchObject({
      code: 'INVALID_PARAM',
      reason: 'value',
    });
    await insert(database, 'error', [[14, 'a', 0]]);
    expect(await numbersOf(database)).toHaveLength(1);
  });

  it('refuses a row that fits into no packet, and keeps the connection', async () => {
    const database = test.open({ queryTimeoutMs: 30_000 });
    await database.run((manager) => execute(manager, 'CREATE TABLE texts (id INTEGER PRIMARY KEY, text LONGTEXT)'));
    const insertText = (id: number, text: string) =>
      database.run((manager) =>
        insertRows(manager, { table: 'texts', columns: ['id', 'text'], rows: [[id, text]], onDuplicate: 'error' }),
      );
    await expect(insertText(1, 'x'.repeat(70 * 1024 * 1024))).rejects.toMatchObject({ reason: 'value' });
    await insertText(2, 'x'.repeat(3 * 1024 * 1024));
    expect(await database.run((manager) => rowsOf(manager, 'SELECT id FROM texts'))).toEqual([{ id: 2 }]);
  });
});

/** A TCP proxy to the database that can be cut and opened again on the same port, or frozen: connected, but silent. */
class CuttableProxy {
  #server: Server | null = null;
  #port = 0;
  readonly #sockets = new Set<Socket>();
  readonly #target: URL;
  #frozen = false;

  constructor(target: URL) {
    this.#target = target;
  }

  open(): Promise<number> {
    const server = createServer((client) => {
      const upstream = connect(Number(this.#target.port), this.#target.hostname);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => this.#sockets.delete(socket));
      }
      if (!this.#frozen) client.pipe(upstream).pipe(client);
    });
    this.#server = server;
    return new Promise((resolve) => {
      server.listen(this.#port, '127.0.0.1', () => {
        this.#port = (server.address() as AddressInfo).port;
        resolve(this.#port);
      });
    });
  }

  /** Connections of before stay silent for ever, as behind a router that forgot them. */
  freeze(): void {
    this.#frozen = true;
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  thaw(): void {
    this.#frozen = false;
  }

  cut(): Promise<void> {
    const server = this.#server;
    if (server === null) return Promise.resolve();
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => {
      server.close(() => {
        resolve();
      });
    });
  }
}
