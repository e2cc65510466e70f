import { uuidV7 } from '../../src/core/ids.js';
import type { DeliveryFilter, EventFilter, Page, PageRequest } from '../../src/core/ports.js';
import type { Database } from '../../src/store/database.js';
import { SqlJournalReader } from '../../src/store/journal-reader.js';
import { SqlJournalStore } from '../../src/store/journal-store.js';
import { eventsConcerning } from '../../src/store/node-events.js';
import { execute, rowsOf } from '../../src/store/sql.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';
import { outcomeOf, owedListener, recordedEvent } from '../support/journalling.js';

const T = 1_700_000_000_000;

async function allOf<Item>(list: (page: PageRequest) => Promise<Page<Item>>, limit: number): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<Item> = await list({ limit, cursor });
    expect(page.items.length).toBeLessThanOrEqual(limit);
    items.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return items;
}

describeEachDatabase('reading the journal', (create) => {
  let test: TestDatabase;
  let store: SqlJournalStore;
  let reader: SqlJournalReader;
  let database: Database;
  const a1 = owedListener('A', 2);
  const a2 = owedListener('A', 1);
  const b = owedListener('B', 1);
  const events = Array.from({ length: 12 }, (_, index) =>
    recordedEvent(
      {
        // Four at a time are accepted in the same millisecond.
        acceptedAt: T + Math.floor(index / 4) * 1_000,
        sourceId: index % 2 === 0 ? 'even' : 'odd',
        eventType: index % 3 === 0 ? 'third' : 'other',
        tenantCode: index % 4 === 0 ? 't' : null,
        appId: index < 6 ? 'X' : 'Y',
      },
      index === 11 ? [] : [a1, a2, b],
    ),
  );

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
    store = new SqlJournalStore({ database });
    reader = new SqlJournalReader({ database });
    const outcomes = events
      .slice(0, 11)
      .flatMap(({ event }, index) => [
        outcomeOf(event, a2, { state: index === 0 ? 'failed' : 'succeeded' }),
        outcomeOf(event, a1, { state: index < 3 ? 'retrying' : 'succeeded' }),
        ...(index < 9 ? [outcomeOf(event, b, { state: 'succeeded' })] : []),
      ]);
    await store.record({ events, outcomes });
  });

  afterAll(() => test.remove());

  const newestFirst = [...events]
    .sort((x, y) => y.event.acceptedAt - x.event.acceptedAt || (x.event.eventId < y.event.eventId ? 1 : -1))
    .map(({ event }) => event.eventId);

  it.each([1, 3, 4, 50])('pages through all events, newest first, %i at a time', async (limit) => {
    const items = await allOf((page) => reader.listEvents({}, page), limit);
    expect(items.map(({ eventId }) => eventId)).toEqual(newestFirst);
  });

  it.each<[EventFilter, (index: number) => boolean]>([
    [{ sourceId: 'even' }, (index) => index % 2 === 0],
    [{ sourceId: 'odd', eventType: 'third' }, (index) => index % 2 === 1 && index % 3 === 0],
    [{ tenantCode: 't' }, (index) => index % 4 === 0],
    [{ tenantCode: 'T' }, () => false],
    [{ appId: 'Y', from: T + 2_000 }, (index) => index >= 8],
    [{ to: T + 1_000 }, (index) => index < 4],
    [{ state: 'no-listener' }, (index) => index === 11],
    [{ state: 'retrying' }, (index) => index < 3],
    [{ state: 'pending' }, (index) => index === 9 || index === 10],
    [{ state: 'succeeded', sourceId: 'even' }, (index) => index >= 3 && index < 9 && index % 2 === 0],
  ])('finds the events of %j', async (filter, matches) => {
    const items = await allOf((page) => reader.listEvents(filter, page), 2);
    const wanted = events.filter((_event, index) => matches(index)).map(({ event }) => event.eventId);
    expect(items.map(({ eventId }) => eventId)).toEqual(newestFirst.filter((id) => wanted.includes(id)));
  });

  it.each<[DeliveryFilter, number]>([
    [{}, 33],
    [{ nodeCode: 'A' }, 22],
    [{ nodeCode: 'B', state: 'pending' }, 2],
    [{ state: 'retrying' }, 3],
    [{ listenerId: a2.listenerId }, 11],
    [{ listenerId: a2.listenerId, state: 'failed' }, 1],
    [{ from: T + 1_000, to: T + 2_000 }, 12],
    [{ eventId: (events[0] as (typeof events)[0]).event.eventId }, 3],
    [{ eventId: 'not an id' }, 0],
  ])('pages through the deliveries of %j, newest first', async (filter, count) => {
    const items = await allOf((page) => reader.listDeliveries(filter, page), 4);
    expect(items).toHaveLength(count);
    const keys = items.map((item) => `${item.createdAt} ${item.eventId} ${item.listenerId}`);
    expect(keys).toEqual([...new Set(keys)].sort().reverse());
  });

  it('gives the deliveries of an event by node and operIndex', async () => {
    const found = await reader.findEvent((events[1] as (typeof events)[0]).event.eventId);
    expect(found?.deliveries.map(({ nodeCode, operIndex }) => [nodeCode, operIndex])).toEqual([
      ['A', 1],
      ['A', 2],
      ['B', 1],
    ]);
  });

  it('gives all attempts of a delivery, the first success among them', async () => {
    const { event } = events[1] as (typeof events)[0];
    expect(await reader.findDelivery(event.eventId, b.listenerId)).toMatchObject({
      state: 'succeeded',
      attemptRecords: [{ attempt: 1, state: 'succeeded', status: 200, error: null, durationMs: 5, generation: 1 }],
    });
    await store.record({
      events: [],
      outcomes: [outcomeOf(event, a1, { state: 'succeeded', attempt: 2, sequence: 1, startedAt: T + 9_000 })],
    });
    expect(await reader.findDelivery(event.eventId, a1.listenerId)).toMatchObject({
      attemptRecords: [
        { attempt: 1, state: 'retrying', status: 500, response: 'oops' },
        { attempt: 2, state: 'succeeded' },
      ],
    });
    expect(await reader.findDelivery(event.eventId, uuidV7())).toBeNull();
    expect(await reader.findEvent(uuidV7())).toBeNull();
  });

  it.each([
    '',
    'x',
    'AAAA',
    Buffer.alloc(24).toString('base64url').slice(1),
    `${Buffer.alloc(24).toString('base64url')}=`,
  ])('refuses the cursor %j', async (cursor) => {
    for (const list of [reader.listEvents({}, { limit: 1, cursor }), reader.listFailures({}, { limit: 1, cursor })]) {
      await expect(list).rejects.toMatchObject({ code: 'INVALID_PARAM', fields: [{ path: 'cursor' }] });
    }
    await expect(reader.listDeliveries({}, { limit: 1, cursor })).rejects.toMatchObject({ code: 'INVALID_PARAM' });
  });

  it('counts by interval what was accepted and what became of it', async () => {
    const stats = await reader.stats({ from: T, to: T + 3_000, intervalMs: 1_000, nodeCode: null });
    expect(stats.map(({ accepted }) => accepted)).toEqual([4, 4, 4]);
    expect(stats.reduce((sum, one) => sum + one.delivered, 0)).toBe(28);
    expect(stats.map(({ failed }) => failed)).toEqual([1, 0, 0]);
    expect(stats.map(({ from, to }) => [from - T, to - T])).toEqual([
      [0, 1_000],
      [1_000, 2_000],
      [2_000, 3_000],
    ]);
    await expect(reader.stats({ from: T, to: T + 1_000_000, intervalMs: 1, nodeCode: null })).rejects.toMatchObject({
      code: 'INVALID_PARAM',
    });
  });

  it.each([1, 2, 5, 100])('lists what a node sent or was owed, each event once, %d at a time', async (limit) => {
    const concerning = async (filter: EventFilter) =>
      (await allOf((page) => reader.listEvents(filter, page), limit)).map((item) => item.eventId);
    const owed = newestFirst.filter((id) => id !== events[11]?.event.eventId);
    expect(await concerning({ concerning: 'A' })).toEqual(owed);
    expect(await concerning({ concerning: 'nobody' })).toEqual([]);
    const sentByX = new Set(events.filter(({ event }) => event.appId === 'X').map(({ event }) => event.eventId));
    expect(await concerning({ concerning: 'X' })).toEqual(newestFirst.filter((id) => sentByX.has(id)));
    expect(await concerning({ concerning: 'X', appId: 'Y' })).toEqual([]);
    expect(await concerning({ concerning: 'A', appId: 'X' })).toEqual(newestFirst.filter((id) => sentByX.has(id)));
    const even = new Set(events.filter(({ event }) => event.sourceId === 'even').map(({ event }) => event.eventId));
    expect(await concerning({ concerning: 'A', sourceId: 'even', from: T + 1_000, to: T + 2_000 })).toEqual(
      newestFirst.filter(
        (id) => even.has(id) && events.findIndex(({ event }) => event.eventId === id) in { 4: 0, 6: 0 },
      ),
    );
  });

  it('finds what concerns a node by indexes, without reading the rest', async () => {
    const explained = await database.run(async (manager) => {
      const { sql, parameters } = eventsConcerning(
        manager,
        {
          ...{ table: 'pub_event', columns: ['event_id'], time: 'accepted_at', ids: ['event_id'] },
          ...{ equal: {}, from: undefined, to: undefined, after: null, limit: 51 },
        },
        { nodeCode: 'A', states: ['pending', 'failed'] },
      );
      const explain = test.url.startsWith('sqlite:') ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN';
      return (await rowsOf(manager, `${explain} ${sql}`, parameters)).map((row) => JSON.stringify(row));
    });
    const ofDeliveries = explained.filter((row) => /"table":"d"|FOR (GROUP BY|DISTINCT)/.test(row));
    expect(ofDeliveries.filter((row) => /temporary|TEMP B-TREE/.test(row))).toEqual([]);
    expect(explained.join()).toContain('pub_event_app');
    expect(explained.join()).toContain('pub_event_delivery_node');
    expect(explained.join()).not.toMatch(/SCAN (d|e)\b/);
  });

  it('counts what a node sent and what became of its deliveries', async () => {
    const range = { from: T, to: T + 3_000, intervalMs: 3_000 };
    expect(await reader.stats({ ...range, nodeCode: 'X' })).toMatchObject([{ accepted: 6, delivered: 0 }]);
    expect(await reader.stats({ ...range, nodeCode: 'A' })).toMatchObject([
      { accepted: 0, delivered: 19, retrying: 2, failed: 1 },
    ]);
    expect(await reader.stats({ ...range, nodeCode: 'B' })).toMatchObject([{ accepted: 0, delivered: 9, failed: 0 }]);
    expect(await reader.oldestUnsettled('B')).toEqual([{ nodeCode: 'B', acceptedAt: T + 2_000, count: 2 }]);
  });

  it('names the oldest unsettled delivery of each node', async () => {
    expect(await reader.oldestUnsettled()).toEqual([
      { nodeCode: 'A', acceptedAt: T, count: 2 },
      { nodeCode: 'B', acceptedAt: T + 2_000, count: 2 },
    ]);
  });

  it('pages through failures, newest first', async () => {
    await database.run((manager) => execute(manager, 'DELETE FROM pub_event_failure'));
    const { event } = events[0] as (typeof events)[0];
    for (let generation = 1; generation <= 5; generation += 1) {
      const failed = outcomeOf(event, b, {
        state: 'failed',
        generation,
        attempt: generation,
        startedAt: T + generation,
      });
      await store.record({ events: [], outcomes: [failed] });
    }
    const items = await allOf((page) => reader.listFailures({ eventId: event.eventId, nodeCode: 'B' }, page), 2);
    expect(items.map(({ generation }) => generation)).toEqual([5, 4, 3, 2, 1]);
    expect(await allOf((page) => reader.listFailures({ listenerId: a1.listenerId }, page), 2)).toEqual([]);
    expect(await allOf((page) => reader.listFailures({ from: T + 7, to: T + 9 }, page), 2)).toHaveLength(2);
  });

  it('gives pages of rows whose times are no dates, to the last', async () => {
    const odd = await create();
    try {
      const own = await odd.openMigrated();
      const times = [2 ** 53 - 1, 2 ** 53 - 1, T, 1 - 2 ** 53, 1 - 2 ** 53];
      await new SqlJournalStore({ database: own }).record({
        events: times.map((acceptedAt) => recordedEvent({ eventId: uuidV7(), acceptedAt })),
        outcomes: [],
      });
      const listed = await allOf((page) => new SqlJournalReader({ database: own }).listEvents({}, page), 1);
      expect(listed.map(({ acceptedAt }) => acceptedAt)).toEqual(times);
    } finally {
      await odd.remove();
    }
  });
});
