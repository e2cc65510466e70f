import SqliteDatabase from 'better-sqlite3';
import { createPool as createCallbackPool } from 'mysql2';
import { createConnection } from 'mysql2/promise';
import { DataSource } from 'typeorm';
import { createOnServer } from '../../../test/support/mysql-server.js';
import { until } from '../../../test/support/until.js';
import { InvalidOptionError } from '../../src/errors.js';
import { Outbox, OutboxRelay } from '../../src/outbox/index.js';
import { addOrder, describeEachOutbox, FakeCentre, sqliteByTypeOrm, type OutboxFixture } from './outbox-fixtures.js';

describeEachOutbox((create) => {
  let fixture: OutboxFixture;
  let centre: FakeCentre;
  let relay: OutboxRelay;

  beforeEach(async () => {
    fixture = await create();
    centre = new FakeCentre();
    relay = new OutboxRelay({ outbox: fixture.outbox, database: fixture.database, client: centre });
  });

  afterEach(async () => {
    await relay.stop();
    await fixture.close();
  });

  it('sends what a committed transaction wrote, once', async () => {
    const uuid = await addOrder(fixture, { order: 'A1', userObject: { order: 'A1', 备注: '加急 🚚' } });
    expect(await relay.runOnce()).toEqual({ claimed: 1, published: 1, retried: 0, dead: 0, released: 0 });
    expect(await relay.runOnce()).toMatchObject({ claimed: 0 });
    expect(centre.sends).toEqual([
      { sourceId: 'shop', eventType: 'ORDER', uuid, userObject: '{"order":"A1","备注":"加急 🚚"}' },
    ]);
    expect(await fixture.rows('SELECT state, event_id, claimed_by FROM event_outbox')).toEqual([
      { state: 'published', event_id: `id-${uuid}`, claimed_by: null },
    ]);
  });

  it('is sent at once though the clock of who wrote it is ahead', async () => {
    const ahead = new Outbox({ dialect: fixture.outbox.dialect, clock: { now: () => fixture.clock.now() + 600_000 } });
    await fixture.inTransaction((executor) => ahead.add(executor, { sourceId: 'shop', eventType: 'ORDER' }));
    expect(await relay.runOnce()).toMatchObject({ claimed: 1 });
    expect(centre.sends).toHaveLength(1);
  });

  it('sends nothing of a transaction that was rolled back', async () => {
    const order = fixture.inTransaction(async (executor) => {
      await executor.query('INSERT INTO orders (id) VALUES (?)', ['A2']);
      await fixture.outbox.add(executor, { sourceId: 'shop', eventType: 'ORDER' });
      throw new Error('out of stock');
    });
    await expect(order).rejects.toThrow('out of stock');
    expect(await relay.runOnce()).toMatchObject({ claimed: 0 });
    expect(await fixture.rows('SELECT * FROM event_outbox')).toEqual([]);
    expect(centre.sends).toEqual([]);
  });

  it('sends nothing of a transaction that is still open, and rolled back then', async () => {
    let round: Promise<unknown> | undefined;
    const order = fixture.inTransaction(async (executor) => {
      await fixture.outbox.add(executor, { sourceId: 'shop', eventType: 'ORDER' });
      round = relay.runOnce();
      await new Promise((resolve) => setTimeout(resolve, 100));
      throw new Error('changed my mind');
    });
    await expect(order).rejects.toThrow('changed my mind');
    expect(await round).toMatchObject({ claimed: 0 });
    expect(centre.sends).toEqual([]);
  });

  it('sends every field, and leaves out what was not given', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const deliverAt = new Date('2030-01-02T03:04:05.678Z');
    const uuids = await fixture.inTransaction((executor) =>
      fixture.outbox.add(executor, [
        {
          sourceId: 'shop',
          eventType: 'FULL',
          tenantCode: 't1',
          userObject: 'a text',
          uuid: 'k-1',
          deliverAt,
          traceparent,
        },
        { sourceId: 'shop', eventType: 'BARE' },
      ]),
    );
    expect(uuids[0]).toBe('k-1');
    await relay.runOnce();
    expect(centre.sends.sort((a, b) => b.eventType.localeCompare(a.eventType))).toEqual([
      {
        sourceId: 'shop',
        eventType: 'FULL',
        tenantCode: 't1',
        userObject: 'a text',
        uuid: 'k-1',
        deliverAt: deliverAt.getTime(),
        traceparent,
      },
      { sourceId: 'shop', eventType: 'BARE', uuid: uuids[1] },
    ]);
  });

  it('writes nothing when one of several events is wrong, and names it', async () => {
    const events = [
      { sourceId: 'shop', eventType: 'ORDER' },
      { sourceId: 'shop', eventType: 'x'.repeat(41) },
    ];
    const added = fixture.inTransaction((executor) => fixture.outbox.add(executor, events));
    await expect(added).rejects.toMatchObject({ name: 'InvalidOptionError', field: 'events[1].eventType' });
    expect(await fixture.rows('SELECT * FROM event_outbox')).toEqual([]);
  });

  it('lets the database refuse a uuid that is taken, and the transaction with it', async () => {
    await addOrder(fixture, { order: 'A3', uuid: 'order-A3' });
    await expect(addOrder(fixture, { order: 'A4', uuid: 'order-A3' })).rejects.toThrow();
    expect(await fixture.rows('SELECT id FROM orders')).toEqual([{ id: 'A3' }]);
  });

  it('adds thousands of events and large ones in one call', async () => {
    const events = Array.from({ length: 1_050 }, (_, place) => ({
      sourceId: 'shop',
      eventType: 'ORDER',
      userObject: place % 350 === 0 ? `${place} ${'x'.repeat(700_000)}` : String(place),
    }));
    const uuids = await fixture.inTransaction((executor) => fixture.outbox.add(executor, events));
    expect(new Set(uuids).size).toBe(1_050);
    const rows = await fixture.rows('SELECT uuid, LENGTH(user_object) AS length FROM event_outbox ORDER BY id');
    expect(rows.map((row) => row.uuid)).toEqual(uuids);
    expect(rows[350].length).toBe(700_004);
  });

  it('notes an event that came back, and ends its sending', async () => {
    const uuid = await addOrder(fixture, { order: 'A5' });
    await fixture.inTransaction((executor) => fixture.outbox.markConsumed(executor, uuid));
    expect(await relay.runOnce()).toMatchObject({ claimed: 0 });
    expect(await relay.stats()).toMatchObject({ pending: 0, published: 1, consumed: 1 });
  });

  it('makes its table again without harm', async () => {
    await addOrder(fixture, { order: 'A6' });
    await fixture.inTransaction((executor) => fixture.outbox.createTable(executor));
    expect(await relay.stats()).toMatchObject({ pending: 1 });
  });

  it('removes what was published longer ago than it is kept', async () => {
    await addOrder(fixture, { order: 'old' });
    await relay.runOnce();
    fixture.clock.forward(7 * 86_400_000);
    await addOrder(fixture, { order: 'new' });
    await relay.runOnce();
    fixture.clock.forward(1_000);
    relay.start();
    await until('the old one is removed', async () => (await fixture.rows('SELECT id FROM event_outbox')).length === 1);
    expect((await fixture.rows('SELECT user_object FROM event_outbox'))[0].user_object).toBe('new');
  });
});

describe('an executor', () => {
  const outbox = new Outbox({ dialect: 'sqlite' });
  const event = { sourceId: 'shop', eventType: 'ORDER' };

  it('is refused when it is in no transaction', async () => {
    const fixture = await sqliteByTypeOrm();
    const dataSource = fixture.database as DataSource;
    await expect(outbox.add(dataSource, event)).rejects.toMatchObject({ field: 'executor' });
    await expect(outbox.add(dataSource.manager, event)).rejects.toMatchObject({ field: 'executor' });
    await expect(outbox.add(dataSource.createQueryRunner(), event)).rejects.toMatchObject({ field: 'executor' });
    const pool = createCallbackPool({ host: '127.0.0.1' });
    await expect(outbox.add(pool as any, event)).rejects.toMatchObject({ field: 'executor' });
    await expect(outbox.add(pool.promise(), event)).rejects.toMatchObject({ field: 'executor' });
    pool.end();
    await expect(outbox.add({} as any, event)).rejects.toMatchObject({ field: 'executor' });
    expect(await fixture.rows('SELECT * FROM event_outbox')).toEqual([]);
    await fixture.close();
  });

  it('may be a query runner', async () => {
    const fixture = await sqliteByTypeOrm();
    const runner = (fixture.database as DataSource).createQueryRunner();
    await runner.startTransaction();
    await fixture.outbox.add(runner, event);
    await runner.commitTransaction();
    expect(await fixture.rows('SELECT source_id FROM event_outbox')).toEqual([{ source_id: 'shop' }]);
    await fixture.close();
  });

  it('may be a database of better-sqlite3, at once', async () => {
    const database = new SqliteDatabase(':memory:');
    await outbox.createTable(database);
    expect(() => outbox.addSync(database, event)).toThrow(InvalidOptionError);
    const placed = database.transaction((order: string) => {
      const uuids = outbox.addSync(database, [{ ...event, userObject: order }, event]);
      if (order === 'bad') throw new Error('out of stock');
      return uuids;
    });
    expect(() => placed('bad')).toThrow('out of stock');
    expect(placed('good')).toHaveLength(2);
    const centre = new FakeCentre();
    await new OutboxRelay({ outbox, database, client: centre }).runOnce();
    expect(centre.payloads().sort()).toEqual(['good', undefined]);
    database.close();
  });

  const onServer = process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? it.skip : it;

  onServer('may be a connection of mysql2 itself, whose calls take callbacks', async () => {
    const { url, drop } = await createOnServer();
    const mysqlOutbox = new Outbox({ dialect: 'mysql', table: 'my_outbox' });
    const connection = await createConnection(url);
    await mysqlOutbox.createTable(connection);
    await connection.end();
    const pool = createCallbackPool({ uri: url });
    const callback = await new Promise<any>((resolve, reject) =>
      pool.getConnection((error, one) => (error === null ? resolve(one) : reject(error))),
    );
    await callback.promise().beginTransaction();
    await mysqlOutbox.add(callback, event);
    await callback.promise().commit();
    callback.release();
    const centre = new FakeCentre();
    await new OutboxRelay({ outbox: mysqlOutbox, database: pool, client: centre }).runOnce();
    expect(centre.sends).toHaveLength(1);
    await pool.promise().end();
    await drop();
  });
});

describe('what is wrong from the beginning', () => {
  const outbox = new Outbox({ dialect: 'sqlite' });
  const client = new FakeCentre();

  it.each([
    ['dialect', () => new Outbox({ dialect: 'oracle' as any })],
    ['table', () => new Outbox({ dialect: 'mysql', table: 'a; DROP TABLE b' })],
    ['database', () => new OutboxRelay({ outbox, database: {}, client })],
    ['database', () => new OutboxRelay({ outbox, database: createCallbackPool({ host: '127.0.0.1' }), client })],
    ['client', () => new OutboxRelay({ outbox, database: new SqliteDatabase(':memory:'), client: {} as any })],
    ['batchSize', () => new OutboxRelay({ outbox, database: new SqliteDatabase(':memory:'), client, batchSize: 0 })],
    [
      'afterDead',
      () => new OutboxRelay({ outbox, database: new SqliteDatabase(':memory:'), client, afterDead: 'skip' as any }),
    ],
  ])('%s is named', (field, make) => {
    expect(make).toThrow(expect.objectContaining({ name: 'InvalidOptionError', field }));
  });

  it.each([
    ['sourceId', { sourceId: '', eventType: 'ORDER' }],
    ['eventType', { sourceId: 'shop' }],
    ['aggregate', { sourceId: 'shop', eventType: 'ORDER', aggregate: 'x'.repeat(191) }],
    ['uuid', { sourceId: 'shop', eventType: 'ORDER', uuid: 'a\nb' }],
    ['userObject', { sourceId: 'shop', eventType: 'ORDER', userObject: () => 1 }],
    ['deliverAt', { sourceId: 'shop', eventType: 'ORDER', deliverAt: new Date(NaN) }],
    ['event', null],
  ])('%s of an event is named', async (field, event) => {
    const database = new SqliteDatabase(':memory:');
    await expect(outbox.add(database, event as any)).rejects.toMatchObject({ name: 'InvalidOptionError', field });
  });

  it('a filter that nobody knows revives nothing', async () => {
    const fixture = await sqliteByTypeOrm();
    const relay = new OutboxRelay({ outbox: fixture.outbox, database: fixture.database, client });
    await expect(relay.revive({ evenType: 'ORDER' } as any)).rejects.toMatchObject({ field: 'evenType' });
    await expect(relay.revive({ code: 7 } as any)).rejects.toMatchObject({ field: 'code' });
    await fixture.close();
  });
});
