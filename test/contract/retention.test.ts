import { uuidV7 } from '../../src/core/ids.js';
import type { Event, Listener, Outcome } from '../../src/core/model.js';
import { Retention } from '../../src/core/recording/retention.js';
import { SqlAuditStore } from '../../src/store/audit-store.js';
import { SqlClaimStore } from '../../src/store/claim-store.js';
import { uuidFromBytes, uuidToBytes } from '../../src/store/columns.js';
import type { Database } from '../../src/store/database.js';
import { SqlIdempotencyStore } from '../../src/store/idempotency-store.js';
import { SqlJournalStore } from '../../src/store/journal-store.js';
import { SqlReplayStore } from '../../src/store/replay-store.js';
import { SqlRetentionStore } from '../../src/store/retention-store.js';
import { execute, rowsOf } from '../../src/store/sql.js';
import { recordingLog } from '../support/accepting.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';
import { countRows, eventStateIn } from '../support/journal-seed.js';
import { aListener, anEvent, anOutcome, ManualClock } from '../support/redelivering.js';
import { until } from '../support/until.js';

const EVENTS_MS = 1_000_000;
const FAILURES_MS = 3_000_000;
const AUDIT_MS = 5_000_000;

describeEachDatabase('retention', (create) => {
  const typeId = uuidV7();
  let test: TestDatabase;
  let database: Database;
  let clock: ManualClock;
  let store: SqlRetentionStore;
  let idempotency: SqlIdempotencyStore;
  let journal: SqlJournalStore;
  let listener: Listener;
  let loops: Retention[];

  beforeEach(async () => {
    test = await create();
    database = await test.openMigrated();
    clock = new ManualClock();
    store = new SqlRetentionStore({ database });
    idempotency = new SqlIdempotencyStore({ database });
    journal = new SqlJournalStore({ database });
    listener = aListener('A', typeId);
    loops = [];
  });
  afterEach(async () => {
    for (const loop of loops) await loop.stop();
    await test.remove();
  });

  const newRetention = (batchRows = 10): Retention => {
    const retention = new Retention({
      store,
      idempotency,
      log: recordingLog(),
      clock,
      intervalMs: 10,
      batchRows,
      eventsMs: EVENTS_MS,
      failuresMs: FAILURES_MS,
      auditMs: AUDIT_MS,
    });
    loops.push(retention);
    return retention;
  };
  const clear = (batchRows?: number) => newRetention(batchRows).clear(new AbortController().signal);

  /** Records an event of this age with what came of its one delivery. */
  const record = async (ageMs: number, outcomes: (Partial<Outcome> & Pick<Outcome, 'state'>)[]): Promise<Event> => {
    const event = anEvent({ eventTypeId: typeId, acceptedAt: clock.time - ageMs });
    await journal.record({
      events: [{ event, owed: [{ listenerId: listener.id, nodeCode: 'A', operIndex: 1 }], scheduled: false }],
      outcomes: outcomes.map((outcome) => anOutcome(event, listener, outcome)),
    });
    return event;
  };

  it('deletes settled events that are old enough, with all that is recorded of them', async () => {
    const nextAttemptAt = clock.time;
    const old = await record(EVENTS_MS + 1, [
      { state: 'retrying', nextAttemptAt },
      { state: 'succeeded', attempt: 2, sequence: 1 },
    ]);
    const young = await record(EVENTS_MS - 1, [{ state: 'succeeded' }]);
    await clear();
    expect(await eventStateIn(database, old.eventId)).toBeNull();
    expect(await eventStateIn(database, young.eventId)).toBe('succeeded');
    expect(await countRows(database, 'pub_event_delivery')).toBe(1);
    expect(await countRows(database, 'pub_event_attempt')).toBe(0);
    expect(await countRows(database, 'pub_event_chain')).toBe(0);
  });

  it('never deletes an event that something is still going to happen to', async () => {
    const pending = await record(10 * EVENTS_MS, []);
    const retrying = await record(10 * EVENTS_MS, [{ state: 'retrying', nextAttemptAt: clock.time }]);
    const scheduled = anEvent({ acceptedAt: clock.time - 10 * EVENTS_MS, deliverAt: clock.time + 1 });
    await journal.record({ events: [{ event: scheduled, owed: [], scheduled: true }], outcomes: [] });
    await clear();
    for (const [event, state] of [
      [pending, 'pending'],
      [retrying, 'retrying'],
      [scheduled, 'scheduled'],
    ] as const) {
      expect(await eventStateIn(database, event.eventId)).toBe(state);
    }
  });

  it('deletes more than a batch, in batches', async () => {
    for (let i = 0; i < 25; i += 1) await record(EVENTS_MS + 1 + i, [{ state: 'succeeded' }]);
    await clear(10);
    expect(await countRows(database, 'pub_event')).toBe(0);
  });

  it('deletes claims of which no event is recorded when they are old enough, in batches', async () => {
    const claims = new SqlClaimStore({ database });
    /** A claim of this age, which is made by the clock of the machine. */
    const claim = async (eventId: string, ageMs: number): Promise<string> => {
      await claims.claim({ eventId, nodeCode: 'A', generation: 1, sequence: 0, messageId: 'm' });
      const sql = 'UPDATE pub_event_chain SET updated_at = ? WHERE event_id = ?';
      await database.run((manager) => execute(manager, sql, [clock.time - ageMs, uuidToBytes(eventId)]));
      return eventId;
    };
    for (let i = 0; i < 25; i += 1) await claim(uuidV7(), EVENTS_MS + 1 + i);
    const kept = [
      await claim(uuidV7(), EVENTS_MS - 1),
      await claim((await record(10 * EVENTS_MS, [])).eventId, EVENTS_MS + 1),
      await claim((await record(0, [])).eventId, 0),
    ];
    await clear(10);
    const left = await database.run((manager) =>
      rowsOf<{ event_id: Buffer }>(manager, 'SELECT event_id FROM pub_event_chain'),
    );
    expect(left.map((row) => uuidFromBytes(row.event_id)).sort()).toEqual(kept.sort());
  });

  it('finds such claims by their age', async () => {
    const explain = database.isSqlite ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN';
    const plan = await database.run((manager) =>
      rowsOf(
        manager,
        `${explain} SELECT event_id FROM pub_event_chain WHERE updated_at < ? AND NOT EXISTS
          (SELECT 1 FROM pub_event e WHERE e.event_id = pub_event_chain.event_id) ORDER BY updated_at LIMIT ?`,
        [clock.time, 10],
      ),
    );
    expect(JSON.stringify(plan)).toContain('pub_event_chain_updated');
  });

  it('keeps failures, audit log, keys and replays for their own times', async () => {
    const audit = new SqlAuditStore({ database });
    const replays = new SqlReplayStore({ database });
    await record(FAILURES_MS + 1_000, [{ state: 'failed' }]);
    await record(EVENTS_MS + 1_000, [{ state: 'failed' }]);
    const entry = { action: 'a', subjectKind: 'k', subjectId: 'i', detail: {} };
    const actor = { name: 'system', requestId: null };
    await audit.append(actor, entry, clock.time - AUDIT_MS - 1);
    await audit.append(actor, entry, clock.time - AUDIT_MS + 1);
    for (const ttlMs of [1_000, 3_000]) {
      const begun = { eventId: uuidV7(), bodyHash: Buffer.alloc(32), now: clock.time - 2_000, ttlMs, staleAfterMs: 1 };
      await idempotency.begin({ appId: 'A', key: `k${ttlMs}` }, begun);
    }
    for (const finishedAt of [clock.time - FAILURES_MS - 1, clock.time - FAILURES_MS + 1, null]) {
      await replays.create({
        id: uuidV7(),
        filter: {},
        dryRun: false,
        ratePerSecond: null,
        state: finishedAt === null ? 'pending' : 'done',
        matched: 0,
        done: 0,
        failed: 0,
        error: null,
        createdAt: 0,
        createdBy: 'token:x',
        finishedAt,
      });
    }
    await clear();
    expect(await countRows(database, 'pub_event')).toBe(0);
    expect(await countRows(database, 'pub_event_failure')).toBe(1);
    expect(await countRows(database, 'pub_audit_log')).toBe(1);
    expect(await countRows(database, 'pub_event_idempotency')).toBe(1);
    expect(await countRows(database, 'pub_replay')).toBe(2);
  });

  it('is done by one worker at a time', async () => {
    if (database.isSqlite) return;
    let release = (): void => undefined;
    const held = store.exclusively('retention', () => new Promise((resolve) => (release = resolve)));
    const untouched = release;
    await until('the lock is held', () => release !== untouched);
    await record(EVENTS_MS + 1, [{ state: 'succeeded' }]);
    await clear();
    expect(await countRows(database, 'pub_event')).toBe(1);
    release();
    expect(await held).toBe(true);
    await clear();
    expect(await countRows(database, 'pub_event')).toBe(0);
  });

  it('runs by itself until it is stopped', async () => {
    await record(EVENTS_MS + 1, [{ state: 'succeeded' }]);
    const retention = newRetention();
    retention.start();
    await until('the event is gone', async () => (await countRows(database, 'pub_event')) === 0);
    await retention.stop();
    await record(EVENTS_MS + 1, [{ state: 'succeeded' }]);
    expect(await countRows(database, 'pub_event')).toBe(1);
  });
});
