import fc from 'fast-check';
import { EventCenterError } from '../../src/core/errors.js';
import { uuidV7 } from '../../src/core/ids.js';
import type { Outcome, OwedListener } from '../../src/core/model.js';
import type { JournalBatch } from '../../src/core/ports.js';
import type { Database } from '../../src/store/database.js';
import { SqlJournalReader } from '../../src/store/journal-reader.js';
import { SqlJournalStore } from '../../src/store/journal-store.js';
import { readDeliveries, writeEvents } from '../../src/store/journal-write.js';
import { execute, rowsOf } from '../../src/store/sql.js';
import { createMysqlDatabase, describeEachDatabase, type TestDatabase } from '../support/databases.js';
import { until } from '../support/until.js';
import { outcomeOf, owedListener, recordedEvent, rowsIn } from '../support/journalling.js';

const UNREADABLE_ID = uuidV7();
const PAGE = { limit: 50, cursor: null };

describeEachDatabase('recording', (create) => {
  let test: TestDatabase;
  let database: Database;
  let store: SqlJournalStore;
  let reader: SqlJournalReader;

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
    store = new SqlJournalStore({ database });
    reader = new SqlJournalReader({ database });
  });

  beforeEach(async () => {
    for (const table of [
      'pub_event',
      'pub_event_delivery',
      'pub_event_attempt',
      'pub_event_failure',
      'pub_event_chain',
    ]) {
      await database.run((manager) => execute(manager, `DELETE FROM ${table}`));
    }
  });

  afterAll(() => test.remove());

  it('records an event and its first success with one row each', async () => {
    const owed = owedListener();
    const recorded = recordedEvent({ tenantCode: 't', senderUuid: 'key', traceparent: '00-x' }, [owed]);
    const outcome = outcomeOf(recorded.event, owed, { state: 'succeeded' });
    expect(await store.record({ events: [recorded], outcomes: [outcome] })).toEqual([]);
    expect(await rowsIn(database, 'pub_event_attempt')).toEqual([]);
    const { userObject, ...rest } = recorded.event;
    expect(await reader.findEvent(recorded.event.eventId)).toEqual({
      ...rest,
      userObject: userObject?.toString(),
      state: 'succeeded',
      deliveries: [
        {
          eventId: recorded.event.eventId,
          ...owed,
          state: 'succeeded',
          reason: null,
          generation: 1,
          attempts: 1,
          lastStatus: 200,
          lastError: null,
          lastResponse: null,
          lastOutcomeId: outcome.outcomeId,
          lastStartedAt: outcome.startedAt,
          lastDurationMs: 5,
          nextAttemptAt: null,
          createdAt: recorded.event.acceptedAt,
          updatedAt: outcome.startedAt + 5,
        },
      ],
    });
  });

  it.each([
    ['is absent', null],
    ['is empty', ''],
    ['has 4-byte characters, quotes, backslashes and control characters', '😀"\'\\\0\n\r\x1a\t%_汉字'],
    ['is 5 MiB of quotes', '"'.repeat(5 * 1024 * 1024)],
  ])('keeps a userObject that %s', async (_name, text) => {
    const recorded = recordedEvent({ userObject: text === null ? null : Buffer.from(text) });
    expect(await store.record({ events: [recorded], outcomes: [] })).toEqual([]);
    const found = await reader.findEvent(recorded.event.eventId);
    expect(found?.userObject === text).toBe(true);
  });

  it('comes to the same rows whatever the order and the batches in which entries come', async () => {
    const [first, second, third] = [owedListener('A', 1), owedListener('A', 2), owedListener('B', 1)];
    const recorded = recordedEvent({}, [first, second, third]);
    const { event } = recorded;
    const outcomes: Outcome[] = [
      outcomeOf(event, first, { state: 'retrying' }),
      outcomeOf(event, first, { state: 'succeeded', sequence: 1, attempt: 2 }),
      outcomeOf(event, second, { state: 'succeeded', sequence: 1 }),
      outcomeOf(event, third, { state: 'retrying' }),
      outcomeOf(event, third, { state: 'failed', sequence: 1, attempt: 2 }),
    ];
    type Entry = { recorded: true } | { outcome: Outcome };
    const entries: Entry[] = [{ recorded: true }, ...outcomes.map((outcome) => ({ outcome }))];
    const tables = ['pub_event', 'pub_event_delivery', 'pub_event_attempt', 'pub_event_failure', 'pub_event_chain'];
    const written = async (): Promise<string> => {
      const rows = await Promise.all(tables.map((table) => rowsIn(database, table)));
      // `updated_at` of a chain is the time of writing.
      return JSON.stringify(
        rows.map((of) => of.map((row) => JSON.stringify('message_id' in row ? { ...row, updated_at: 0 } : row)).sort()),
      );
    };
    await store.record({ events: [recorded], outcomes });
    const expected = await written();
    expect(JSON.parse(expected).map((rows: unknown[]) => rows.length)).toEqual([1, 3, 4, 1, 2]);

    const anyOrder = fc
      .shuffledSubarray([...entries, ...entries.slice(0, 3)], { minLength: entries.length + 3 })
      .chain((all) =>
        fc.tuple(fc.constant(all), fc.array(fc.boolean(), { minLength: all.length, maxLength: all.length })),
      );
    await fc.assert(
      fc.asyncProperty(anyOrder, async ([all, cuts]) => {
        for (const table of tables) await database.run((manager) => execute(manager, `DELETE FROM ${table}`));
        let batch: JournalBatch = { events: [], outcomes: [] };
        for (const [index, entry] of all.entries()) {
          if ('outcome' in entry) batch.outcomes.push(entry.outcome);
          else batch.events.push(recorded);
          if (!cuts[index] && index < all.length - 1) continue;
          expect(await store.record(batch)).toEqual([]);
          batch = { events: [], outcomes: [] };
        }
        expect(await written()).toBe(expected);
      }),
      { numRuns: 40 },
    );
  });

  it('raises the chain past a message whose successor exists', async () => {
    const owed = owedListener();
    const recorded = recordedEvent({}, [owed]);
    const outcomes = [3, 1].map((sequence) =>
      outcomeOf(recorded.event, owed, { state: 'retrying', sequence, attempt: sequence + 1 }),
    );
    await store.record({ events: [recorded], outcomes });
    expect(await rowsIn(database, 'pub_event_chain')).toMatchObject([
      { node_code: 'N', generation: 1, sequence: 4, message_id: null },
    ]);
    await store.record({
      events: [],
      outcomes: [outcomeOf(recorded.event, owed, { state: 'retrying', generation: 2, attempt: 5 })],
    });
    expect(await rowsIn(database, 'pub_event_chain')).toMatchObject([{ generation: 2, sequence: 1 }]);
  });

  it('keeps a scheduled event without deliveries until it is released, and never back', async () => {
    const owed = owedListener();
    const waiting = recordedEvent({ deliverAt: 1_700_000_060_000 }, [owed], true);
    const { event } = waiting;
    await store.record({ events: [waiting], outcomes: [] });
    expect(await reader.findEvent(event.eventId)).toMatchObject({ state: 'scheduled', deliveries: [] });
    expect(await rowsIn(database, 'pub_event')).toMatchObject([{ release_at: event.deliverAt }]);

    const released = { event: { ...event, registryVersion: 7 }, owed: [owed], scheduled: false };
    await store.record({ events: [released], outcomes: [] });
    expect(await reader.findEvent(event.eventId)).toMatchObject({
      state: 'pending',
      registryVersion: 7,
      deliveries: [{ listenerId: owed.listenerId, state: 'pending' }],
    });
    expect(await rowsIn(database, 'pub_event')).toMatchObject([{ release_at: null }]);

    await store.record({ events: [waiting], outcomes: [] });
    expect(await reader.findEvent(event.eventId)).toMatchObject({ state: 'pending', deliveries: [{}] });
  });

  it('gives an event that nobody was owed its deliveries when it comes again for a newer registry', async () => {
    const nobody = recordedEvent();
    await store.record({ events: [nobody], outcomes: [] });
    expect(await reader.findEvent(nobody.event.eventId)).toMatchObject({ state: 'no-listener' });
    const owed = owedListener();
    await store.record({ events: [{ ...nobody, owed: [owed] }], outcomes: [] });
    expect(await reader.findEvent(nobody.event.eventId)).toMatchObject({
      state: 'pending',
      deliveries: [{ operIndex: 1 }],
    });
  });

  it('rejects the one entry that the database refuses, and commits the rest', async () => {
    const owed = owedListener();
    const good = Array.from({ length: 20 }, () => recordedEvent({}, [owed]));
    const bad = recordedEvent({ tenantCode: null, eventType: null as never }, [owed]);
    const badOutcome = outcomeOf(
      (good[3] ?? bad).event,
      { ...owed, listenerId: uuidV7(), nodeCode: null as never },
      { state: 'succeeded' },
    );
    const outcomes = [
      ...good.map(({ event }) => outcomeOf(event, owed, { state: 'succeeded' })),
      badOutcome,
      outcomeOf(bad.event, owed, { state: 'succeeded' }),
    ];
    const rejected = await store.record({ events: [...good.slice(0, 10), bad, ...good.slice(10)], outcomes });
    expect(rejected.map(({ entry }) => entry)).toEqual(
      expect.arrayContaining([
        { kind: 'event', eventId: bad.event.eventId },
        { kind: 'outcome', outcomeId: badOutcome.outcomeId },
      ]),
    );
    expect(rejected).toHaveLength(2);
    expect(rejected[0]?.reason).toMatch(/refused/);
    const { items } = await reader.listEvents({ state: 'succeeded' }, PAGE);
    expect(items).toHaveLength(20);
    expect(await rowsIn(database, 'pub_event_delivery')).toHaveLength(21);
  });

  it('keeps everything when a table is missing instead of rejecting it', async () => {
    await database.run((manager) => execute(manager, 'ALTER TABLE pub_event RENAME TO pub_event_away'));
    try {
      const batch = { events: [recordedEvent(), recordedEvent()], outcomes: [] };
      await expect(store.record(batch)).rejects.toBeInstanceOf(EventCenterError);
    } finally {
      await database.run((manager) => execute(manager, 'ALTER TABLE pub_event_away RENAME TO pub_event'));
    }
  });

  it('lists exhausted deliveries and unreadable messages once under failures', async () => {
    const owed = owedListener('F');
    const recorded = recordedEvent({}, [owed]);
    const failed = outcomeOf(recorded.event, owed, { state: 'failed', attempt: 6, sequence: 5 });
    for (let i = 0; i < 2; i += 1) {
      await store.record({ events: [recorded], outcomes: [failed] });
      await store.recordUnreadable({
        id: UNREADABLE_ID,
        reason: 'not JSON',
        raw: Buffer.from('\xff{', 'latin1'),
        rawHeaders: '{"a":1}',
        at: 5,
      });
    }
    const { items } = await reader.listFailures({ kind: 'delivery' }, PAGE);
    expect(items).toMatchObject([
      {
        eventId: recorded.event.eventId,
        nodeCode: 'F',
        attempts: 6,
        reason: 'exhausted',
        lastStatus: 500,
        lastError: 'status 500',
        lastResponse: 'oops',
        generation: 1,
      },
    ]);
    const unreadable = await reader.listFailures({ kind: 'unreadable' }, PAGE);
    expect(unreadable.items).toHaveLength(1);
    expect(unreadable.items[0]).toMatchObject({
      reason: 'not JSON',
      raw: Buffer.from('\xff{', 'latin1').toString('base64'),
      rawHeaders: '{"a":1}',
      failedAt: 5,
      eventId: null,
    });
  });

  it('tells where recorded events come from, without a word about others', async () => {
    const plain = recordedEvent();
    const full = recordedEvent({ sourceId: 'USER', tenantCode: 'T1', traceparent: '00-1-2-01' });
    await store.record({ events: [plain, full], outcomes: [] });
    const origins = await store.originsOf([full.event.eventId, uuidV7(), plain.event.eventId]);
    expect(new Map(origins.map(({ eventId, ...origin }) => [eventId, origin]))).toEqual(
      new Map([
        [plain.event.eventId, { sourceId: 'order', tenantCode: null, traceparent: null }],
        [full.event.eventId, { sourceId: 'USER', tenantCode: 'T1', traceparent: '00-1-2-01' }],
      ]),
    );
    expect(await store.originsOf([])).toEqual([]);
  });

  it('fails what is unsettled at a node whose message is dead, and nothing of a newer generation', async () => {
    const [a, b, other] = [owedListener('N', 1), owedListener('N', 2), owedListener('M', 1)];
    const recorded = recordedEvent({}, [a, b, other]);
    const { event } = recorded;
    await store.record({ events: [recorded], outcomes: [outcomeOf(event, a, { state: 'succeeded' })] });
    const message = { event, chain: null, claimSteps: false };
    const failing = { message, nodeCode: 'N', reason: 'no such queue', at: 9_999_999_999_999 };
    const failed = await store.failDeadLettered(failing);
    expect(failed).toMatchObject([
      { listenerId: b.listenerId, state: 'failed', reason: 'dead-lettered', attempt: 0, error: 'no such queue' },
    ]);
    const again = await store.failDeadLettered({ ...failing, reason: 'again' });
    expect(again.map(({ sequence: _, ...outcome }) => outcome)).toEqual(
      failed.map(({ sequence: _, ...outcome }) => outcome),
    );
    const found = await reader.findEvent(event.eventId);
    expect(found).toMatchObject({ state: 'pending' });
    expect(
      found?.deliveries.map(({ nodeCode, state, reason, lastError }) => [nodeCode, state, reason, lastError]),
    ).toEqual([
      ['M', 'pending', null, null],
      ['N', 'succeeded', null, null],
      ['N', 'failed', 'dead-lettered', 'no such queue'],
    ]);
    expect((await reader.listFailures({ nodeCode: 'N' }, PAGE)).items).toMatchObject([
      { reason: 'dead-lettered', listenerId: b.listenerId },
    ]);

    await store.record({
      events: [],
      outcomes: [outcomeOf(event, other, { state: 'retrying', generation: 2, attempt: 2 })],
    });
    expect(await store.failDeadLettered({ ...failing, nodeCode: 'M' })).toEqual([]);
    expect(await reader.findDelivery(event.eventId, other.listenerId)).toMatchObject({ state: 'retrying' });
  });
});

const concurrently = process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? describe.skip : describe;

concurrently('several recorders on MariaDB', () => {
  let test: TestDatabase;
  let database: Database;
  let reader: SqlJournalReader;

  beforeAll(async () => {
    test = await createMysqlDatabase();
    database = await test.openMigrated();
    reader = new SqlJournalReader({ database });
  });

  afterAll(() => test.remove());

  it('lose nothing when they record the same events and their outcomes at the same time', async () => {
    const stores = [
      new SqlJournalStore({ database: test.open() }),
      new SqlJournalStore({ database: test.open() }),
      new SqlJournalStore({ database }),
    ];
    const owed = [owedListener('A', 1), owedListener('B', 1)];
    for (let round = 0; round < 20; round += 1) {
      const events = Array.from({ length: 5 }, () => recordedEvent({}, owed));
      const outcomes = (one: OwedListener, more: Parameters<typeof outcomeOf>[2]): JournalBatch => ({
        events: [],
        outcomes: events.map(({ event }) => outcomeOf(event, one, more)),
      });
      const batches: JournalBatch[] = [
        { events, outcomes: [] },
        ...owed.map((one) => outcomes(one, { state: 'retrying' })),
        ...owed.map((one) => outcomes(one, { state: 'retrying', sequence: 1, attempt: 2 })),
        ...owed.map((one) => outcomes(one, { state: 'succeeded', sequence: 2, attempt: 3 })),
        { events: events.slice(round % 3), outcomes: [] },
      ];
      const order = batches.map((batch) => ({ batch, at: Math.random() })).sort((a, b) => a.at - b.at);
      const results = await Promise.all(
        order.map(({ batch }, index) => (stores[index % stores.length] as SqlJournalStore).record(batch)),
      );
      expect(results.flat()).toEqual([]);
      for (const { event } of events) {
        const found = await reader.findEvent(event.eventId);
        expect(found?.deliveries.map(({ state }) => state)).toEqual(['succeeded', 'succeeded']);
        expect(found?.state).toBe('succeeded');
        expect(found?.deliveries.every(({ createdAt }) => createdAt === event.acceptedAt)).toBe(true);
      }
    }
  });

  it('put the state of an event right that came to be while its outcome waited for a lock', async () => {
    const owed = owedListener();
    const recorded = recordedEvent({}, [owed]);
    const { event } = recorded;
    const store = new SqlJournalStore({ database });
    await store.record({ events: [], outcomes: [outcomeOf(event, owed, { state: 'retrying' })] });
    const late = outcomeOf(event, owed, { state: 'succeeded', sequence: 1, attempt: 2 });
    let recording: Promise<unknown> = Promise.resolve();
    await database.transaction(async (manager) => {
      await readDeliveries(manager, [event.eventId]);
      recording = store.record({ events: [], outcomes: [late] });
      await until('the outcome waits for the delivery', async () => (await lockWaits(database)) > 0);
      await writeEvents(manager, [{ eventId: event.eventId, recorded, outcomes: [] }], 0);
    });
    await recording;
    expect(await reader.findEvent(event.eventId)).toMatchObject({
      state: 'succeeded',
      deliveries: [{ state: 'succeeded' }],
    });
  });

  it('reject an event that is longer than a packet of the server instead of losing the connection', async () => {
    const store = new SqlJournalStore({ database });
    const [packet] = await database.run((manager) =>
      rowsOf<{ bytes: number }>(manager, 'SELECT @@max_allowed_packet AS bytes'),
    );
    const long = recordedEvent({ userObject: Buffer.alloc(Number(packet?.bytes), 'x') });
    const short = recordedEvent();
    const rejected = await store.record({ events: [long, short], outcomes: [] });
    expect(rejected).toMatchObject([
      {
        entry: { kind: 'event', eventId: long.event.eventId },
        reason: expect.stringContaining('max_allowed_packet') as string,
      },
    ]);
    expect(await reader.findEvent(short.event.eventId)).not.toBeNull();
  });
});

async function lockWaits(database: Database): Promise<number> {
  const sql = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'";
  const [row] = await database.run((manager) => rowsOf<{ Value: string }>(manager, sql));
  return Number(row?.Value);
}
