import { mergeOwed } from '../../src/core/recording/delivery-state.js';
import { uuidV7 } from '../../src/core/ids.js';
import type { EventFilter, PageRequest } from '../../src/core/ports.js';
import type { Database } from '../../src/store/database.js';
import { SqlJournalReader } from '../../src/store/journal-reader.js';
import { DELIVERY_COLUMNS, deliveryValues, EVENT_COLUMNS, eventValues } from '../../src/store/journal-rows.js';
import { SqlReplayStore } from '../../src/store/replay-store.js';
import { insertRows, rowsOf } from '../../src/store/sql.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';
import { owedListener, recordedEvent } from '../support/journalling.js';

const T = 1_700_000_000_000;
const EVENTS = 6_000;
const LIMIT = 20;

/** A third of the events come from one source and never have the type that most others have. */
function rowOf(index: number) {
  const { event } = recordedEvent({
    eventId: uuidV7(T + index),
    acceptedAt: T + index,
    sourceId: index % 3 === 0 ? 'frequent' : 'other',
    eventType: index % 3 === 0 ? 'its own' : 'another',
    tenantCode: index % 2 === 0 ? 't' : 'u',
    appId: index % 3 === 1 ? 'X' : 'Y',
  });
  return eventValues(event, index % 3 === 2 ? 'failed' : 'succeeded');
}

describeEachDatabase('what a page reads', (create) => {
  let test: TestDatabase;
  let database: Database;
  const owed = owedListener('its own');

  beforeAll(async () => {
    test = await create();
    // One connection, whose counters tell what a list has read.
    database = await test.openMigrated({ poolSize: 1 });
    const rows = Array.from({ length: EVENTS }, (_, index) => rowOf(index));
    await database.transaction((manager) =>
      insertRows(manager, { table: 'pub_event', columns: EVENT_COLUMNS, rows, onDuplicate: 'error' }),
    );
    const deliveries = Array.from({ length: 1_000 }, (_, index) =>
      deliveryValues(mergeOwed(null, owed, recordedEvent({ eventId: uuidV7(T + index), acceptedAt: T + index }).event)),
    );
    await database.transaction((manager) =>
      insertRows(manager, {
        ...{ table: 'pub_event_delivery', columns: DELIVERY_COLUMNS },
        ...{ rows: deliveries, onDuplicate: 'error' },
      }),
    );
    if (!database.isSqlite) await database.run((manager) => rowsOf(manager, 'ANALYZE TABLE pub_event'));
  });

  afterAll(() => test.remove());

  /** Rows that the work has stepped over on MySQL; SQLite does not tell. */
  async function readsOf(work: () => Promise<unknown>): Promise<number> {
    if (database.isSqlite) return work().then(() => 0);
    await database.run((manager) => rowsOf(manager, 'FLUSH STATUS'));
    await work();
    const sql = "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_prev')";
    const counters = await database.run((manager) => rowsOf<{ Value: string }>(manager, sql));
    return counters.reduce((sum, { Value }) => sum + Number(Value), 0);
  }

  async function middlePage(filter: EventFilter): Promise<PageRequest> {
    const reader = new SqlJournalReader({ database });
    const { nextCursor } = await reader.listEvents({ ...filter, to: T + EVENTS / 2 }, { limit: LIMIT, cursor: null });
    return { limit: LIMIT, cursor: nextCursor };
  }

  it.each<EventFilter>([
    {},
    { sourceId: 'frequent' },
    { eventType: 'another' },
    { tenantCode: 't' },
    { appId: 'Y' },
    { state: 'failed' },
    { concerning: 'Y' },
    { sourceId: 'frequent', eventType: 'its own' },
    { sourceId: 'frequent', tenantCode: 't' },
  ])('is about the rows of the page, however deep it lies: %j', async (filter) => {
    const reader = new SqlJournalReader({ database });
    const page = await middlePage(filter);
    let listed = 0;
    const reads = await readsOf(async () => {
      listed = (await reader.listEvents(filter, page)).items.length;
    });
    expect(listed).toBe(LIMIT);
    expect(reads).toBeLessThan(8 * LIMIT);
  });

  it.each<EventFilter>([
    { sourceId: 'frequent', from: T + EVENTS / 2, to: T + EVENTS / 2 + 30 },
    { state: 'failed', from: T + EVENTS / 2, to: T + EVENTS / 2 + 30 },
    { sourceId: 'frequent', eventType: 'another' },
    { tenantCode: 't', eventType: 'nobody sends it' },
  ])('is no more when little or nothing matches: %j', async (filter) => {
    const reader = new SqlJournalReader({ database });
    const reads = await readsOf(() => reader.listEvents(filter, { limit: LIMIT, cursor: null }));
    expect(reads).toBeLessThan(8 * LIMIT);
  });

  it('is nothing of a listener under the node of another', async () => {
    const reader = new SqlJournalReader({ database });
    const page = { limit: LIMIT, cursor: null };
    const { listenerId } = owed;
    expect((await reader.listDeliveries({ listenerId, nodeCode: owed.nodeCode }, page)).items).toHaveLength(LIMIT);
    let listed = NaN;
    const reads = await readsOf(async () => {
      listed = (await reader.listDeliveries({ listenerId, nodeCode: 'another' }, page)).items.length;
    });
    expect(listed).toBe(0);
    expect(reads).toBeLessThan(8 * LIMIT);
  });

  it('is about the rows of the page for a replay too', async () => {
    const replays = new SqlReplayStore({ database });
    const filter = { sourceId: 'frequent' };
    const first = await replays.match({ ...filter, from: T + EVENTS / 2 }, { limit: LIMIT, cursor: null });
    const page = { limit: LIMIT, cursor: first.at(-1)?.cursor ?? null };
    let matched = 0;
    const reads = await readsOf(async () => {
      matched = (await replays.match(filter, page)).length;
    });
    expect(matched).toBe(LIMIT);
    expect(reads).toBeLessThan(8 * LIMIT);
  });
});
