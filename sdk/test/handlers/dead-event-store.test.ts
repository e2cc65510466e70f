import { createPool } from 'mysql2/promise';
import { DataSource } from 'typeorm';
import { createOnServer } from '../../../test/support/mysql-server.js';
import {
  EventHandlers,
  MemoryDeadEventStore,
  SqlDeadEventStore,
  type DeadEvent,
  type DeadEventStore,
  type SqlDialect,
  type SqlExecutor,
} from '../../src/handlers/index.js';

interface Place {
  /** A list under `scope`, in the same place. */
  store(scope?: string): Promise<DeadEventStore>;
  remove(): Promise<void>;
}

const PLACES: [name: string, create: () => Promise<Place>][] = [
  ['memory', async () => ({ store: async () => new MemoryDeadEventStore(), remove: async () => undefined })],
  ['SQLite through TypeORM', onSqlite],
];
if (process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] !== '1') {
  PLACES.push(['MariaDB through TypeORM', onTypeormMysql], ['MariaDB through mysql2', onMysql2]);
}

async function onSqlite(): Promise<Place> {
  const source = await new DataSource({ type: 'better-sqlite3', database: ':memory:' }).initialize();
  return { store: storeOf(source, 'sqlite'), remove: () => source.destroy() };
}

async function onTypeormMysql(): Promise<Place> {
  const { url, drop } = await createOnServer();
  const source = await new DataSource({ type: 'mysql', url }).initialize();
  return { store: storeOf(source, 'mysql'), remove: () => source.destroy().then(drop) };
}

async function onMysql2(): Promise<Place> {
  const { url, drop } = await createOnServer();
  const pool = createPool(url);
  return { store: storeOf(pool, 'mariadb'), remove: () => pool.end().then(drop) };
}

function storeOf(executor: SqlExecutor, dialect: SqlDialect) {
  return async (scope = 'default'): Promise<DeadEventStore> => {
    const store = new SqlDeadEventStore({ executor, dialect, scope });
    await store.createTable();
    return store;
  };
}

function aDeadEvent(eventId: string, reason = 'no handler'): DeadEvent {
  const userObject = `{"name":"订单 '${eventId}' \\"?\\" 🚚"}`;
  return {
    event: {
      eventId,
      sourceId: 'ERP',
      eventType: 'ORDER',
      tenantCode: null,
      payload: JSON.parse(userObject) as unknown,
      userObject,
      listenerId: 'l-1',
      attempt: 2,
      acceptedAt: 1_800_000_000_000,
      senderUuid: null,
      traceparent: null,
    },
    reason,
    at: 1_800_000_000_123,
  };
}

describe.each(PLACES)('dead events in %s', (_, create) => {
  let place: Place;

  beforeEach(async () => {
    place = await create();
  });

  afterEach(() => place.remove());

  it('gives back what was kept, exactly', async () => {
    const store = await place.store();
    await store.add(aDeadEvent('e-1'));
    expect(await store.find('e-1')).toEqual(aDeadEvent('e-1'));
    expect(await store.find('E-1')).toBeNull();
  });

  it('replaces the reason of an event that dies again', async () => {
    const store = await place.store();
    await store.add(aDeadEvent('e-1'));
    await store.add(aDeadEvent('e-1', '另一个原因'));
    expect(await store.list()).toEqual([aDeadEvent('e-1', '另一个原因')]);
  });

  it('lists page by page, and removes', async () => {
    const store = await place.store();
    for (const id of ['e-3', 'e-1', 'e-4', 'e-2']) await store.add(aDeadEvent(id));
    const idsOf = (dead: DeadEvent[]) => dead.map(({ event }) => event.eventId);
    expect(idsOf(await store.list({ limit: 2 }))).toEqual(['e-1', 'e-2']);
    expect(idsOf(await store.list({ limit: 2, after: 'e-2' }))).toEqual(['e-3', 'e-4']);
    expect(await store.remove('e-2')).toBe(true);
    expect(await store.remove('e-2')).toBe(false);
    expect(idsOf(await store.list())).toEqual(['e-1', 'e-3', 'e-4']);
    await expect(store.list({ limit: 0 })).rejects.toThrow(/^limit: /);
  });

  it('keeps lists apart', async () => {
    const [one, other] = [await place.store('one'), await place.store('other')];
    await one.add(aDeadEvent('e-1'));
    expect(await other.list()).toEqual([]);
    expect(await other.remove('e-1')).toBe(false);
    expect(await one.list()).toHaveLength(1);
  });

  it('carries an event through death and a later handling', async () => {
    const deadEvents = await place.store();
    const { event } = aDeadEvent('e-9');
    const handlers = new EventHandlers({ deadEvents });
    await handlers.asReceiverHandler()(event);
    const handled: unknown[] = [];
    handlers.on(
      'ORDER',
      1,
      (payload) => payload,
      (payload, of) => void handled.push(payload, of),
    );
    await handlers.retryDead('e-9');
    expect(handled).toEqual([event.payload, event]);
    expect(await deadEvents.list()).toEqual([]);
  });
});

it('numbers the places of values for PostgreSQL', async () => {
  const run: [sql: string, values: unknown[] | undefined][] = [];
  const executor: SqlExecutor = {
    query: async (sql, values) => {
      run.push([sql, values]);
      return { rows: [{ event: '{"eventId":"e"}', reason: 'r', died_at: '5' }] };
    },
  };
  const store = new SqlDeadEventStore({ executor, dialect: 'postgres' });
  expect(await store.list({ after: 'd', limit: 3 })).toEqual([{ event: { eventId: 'e' }, reason: 'r', at: 5 }]);
  expect(run).toEqual([
    [expect.stringMatching(/scope = \$1 AND event_id > \$2 ORDER BY event_id LIMIT 3$/), ['default', 'd']],
  ]);
});

it.each([
  ['executor', { executor: {} as never }],
  ['dialect', { dialect: 'oracle' as never }],
  ['table', { table: 'a; DROP TABLE b' }],
  ['scope', { scope: '' }],
])('refuses a wrong %s', (field, wrong) => {
  const right = { executor: { query: async () => [] }, dialect: 'mysql' as const };
  expect(() => new SqlDeadEventStore({ ...right, ...wrong })).toThrow(new RegExp(`^${field}: `));
});
