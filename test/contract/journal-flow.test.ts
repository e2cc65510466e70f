import { FailureAnnouncer } from '../../src/core/recording/announce-failures.js';
import { DeadQueue } from '../../src/core/recording/dead.js';
import type { Event, OwedListener } from '../../src/core/model.js';
import type { Broker, JournalStore } from '../../src/core/ports.js';
import { Recorder } from '../../src/core/recording/record.js';
import type { Database } from '../../src/store/database.js';
import { SqlJournalReader } from '../../src/store/journal-reader.js';
import { SqlJournalStore } from '../../src/store/journal-store.js';
import { SqlParkedStore } from '../../src/store/parked-store.js';
import { brokerFixture, brokerKinds, type BrokerFixture } from '../support/brokers.js';
import { createMysqlDatabase, createSqliteDatabase, silentLog, type TestDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/journalling.js';
import { aListener, anEvent, countingIncidents, EditableRegistry } from '../support/redelivering.js';
import { until } from '../support/until.js';

const TYPE = '018f0000-0000-7000-8000-0000000000aa';
const EVERYTHING = { limit: 500, cursor: null };

describe.each(brokerKinds())('recording from %s', (kind) => {
  let fixture: BrokerFixture;
  let test: TestDatabase;
  let broker: Broker;
  let database: Database;
  let reader: SqlJournalReader;
  let journalStore: SqlJournalStore;
  let registry: EditableRegistry;
  let owed: OwedListener;
  let parts: { stop(): Promise<void> }[];

  beforeEach(async () => {
    fixture = brokerFixture(kind);
    test = await (kind === 'embedded' ? createSqliteDatabase() : createMysqlDatabase());
    broker = await fixture.start();
    database = await test.openMigrated();
    reader = new SqlJournalReader({ database });
    journalStore = new SqlJournalStore({ database });
    registry = new EditableRegistry();
    const listener = registry.add(aListener('N', TYPE));
    owed = { listenerId: listener.id, nodeCode: 'N', operIndex: 1 };
    parts = [];
  });

  afterEach(async () => {
    for (const part of parts) await part.stop();
    await fixture.cleanup();
    await test.remove();
  });

  async function start(store: JournalStore = journalStore): Promise<Recorder> {
    const shared = { broker, registry, clock: { now: () => Date.now() }, log: silentLog, metrics: countingIncidents() };
    const options = { batchRows: 50, batchBytes: 1_000_000, flushMs: 10, outcomeWaitMs: 10 };
    const parked = new SqlParkedStore({ database, log: silentLog });
    const announcer = new FailureAnnouncer({ ...shared, parked, journalStore: store });
    const recorder = new Recorder({ ...shared, announcer, journalStore: store, options });
    const dead = new DeadQueue({ ...shared, announcer, journal: store });
    for (const part of [recorder, dead]) {
      await part.start();
      parts.push(part);
    }
    return recorder;
  }

  async function publish(count: number, more: Partial<Event> = {}): Promise<Event[]> {
    const events = Array.from({ length: count }, () => anEvent({ eventTypeId: TYPE, acceptedAt: Date.now(), ...more }));
    await Promise.all(events.map((event) => broker.publishToJournal(event)));
    return events;
  }

  const recorded = async (state: 'succeeded' | 'pending'): Promise<number> =>
    (await reader.listEvents({ state }, EVERYTHING)).items.length;

  it('records what was published, and leaves the queues empty', async () => {
    const recorder = await start();
    const events = await publish(120);
    await broker.publishOutcomes(events.slice(0, 60).map((event) => outcomeOf(event, owed, { state: 'succeeded' })));
    await broker.publishOutcomes(events.slice(60).map((event) => outcomeOf(event, owed, { state: 'succeeded' })));
    await until('all are recorded', async () => (await recorded('succeeded')) === 120);
    await until('nothing is in hand', () => recorder.lag().oldestMs === null);
    expect(await broker.depth({ kind: 'journal' })).toBe(0);
    await until('it is not behind', () => !recorder.isBehind());
  });

  it('keeps everything in the queues while the database is away, and records it afterwards', async () => {
    const store = new Leaving(journalStore);
    store.away = true;
    const recorder = await start(store);
    const events = await publish(60);
    await broker.publishOutcomes(events.map((event) => outcomeOf(event, owed, { state: 'succeeded' })));
    await until('the outage is noticed', () => recorder.lag().databaseAway);
    await until('all is back in its queue', async () => (await broker.depth({ kind: 'journal' })) === 60);
    store.away = false;
    await until('all are recorded', async () => (await recorded('succeeded')) === 60);
  });

  it('records what was in hand when it was stopped, or leaves it in the queue', async () => {
    await start();
    await publish(30);
    for (const part of parts.splice(0)) await part.stop();
    await start();
    await until('all are recorded', async () => (await recorded('pending')) === 30);
  });

  it('fails the deliveries of a message whose node has no queue any more', async () => {
    await start();
    const [event] = (await publish(1)) as [Event];
    await until('it is recorded', async () => (await recorded('pending')) === 1);
    registry.remove(owed.listenerId);
    await broker.publishToNode({ kind: 'url', nodeCode: 'N' }, { event, chain: null, claimSteps: false }, 0);
    await until('it has failed', async () => {
      const delivery = await reader.findDelivery(event.eventId, owed.listenerId);
      return delivery?.state === 'failed' && delivery.reason === 'dead-lettered';
    });
    expect(await broker.depth({ kind: 'dead' })).toBe(0);
  });

  it('lists outcomes with numbers that no row holds under failures, and records what stands beside and behind', async () => {
    await start();
    const [event, other] = (await publish(2)) as [Event, Event];
    const outcome = outcomeOf(event, owed, { state: 'succeeded' });
    const wrong = {
      startedAt: 2 ** 53 - 1,
      durationMs: 2 ** 31,
      generation: 2 ** 31,
      sequence: 2 ** 31,
      status: 2 ** 31,
    };
    for (const [field, value] of Object.entries(wrong)) await broker.publishOutcomes([{ ...outcome, [field]: value }]);
    const largest = { generation: 2e9, sequence: 2e9, attempt: 2e9, durationMs: 2 ** 31 - 1, operIndex: 2 ** 31 - 1 };
    const retried = outcomeOf(other, owed, { state: 'retrying', ...largest, nextAttemptAt: 253_402_300_799_999 });
    await broker.publishOutcomes([outcome]);
    await broker.publishOutcomes([retried]);
    await until('the good one is recorded', async () => (await recorded('succeeded')) === 1);
    await until(
      'the largest is recorded',
      async () => ((await reader.findDelivery(other.eventId, owed.listenerId))?.generation ?? 0) === 2e9,
    );
    await until('the dead queue is empty', async () => (await broker.depth({ kind: 'dead' })) === 0);
    await until(
      'all are listed',
      async () => (await reader.listFailures({ kind: 'unreadable' }, EVERYTHING)).items.length === 5,
    );
  });

  if (kind === 'rabbitmq') {
    it('lists an event that the database refuses under failures, once, and goes on', async () => {
      await start();
      const bad = await publish(1, { eventType: 'x'.repeat(41) });
      await publish(3);
      await until('the others are recorded', async () => (await recorded('pending')) === 3);
      await until('the dead queue is empty', async () => (await broker.depth({ kind: 'dead' })) === 0);
      const { items } = await reader.listFailures({ kind: 'unreadable' }, EVERYTHING);
      expect(items).toHaveLength(1);
      expect(Buffer.from(items[0]?.raw ?? '', 'base64').toString()).toContain(bad[0]?.eventId);
    });
  }
});

/** A store whose database goes away and comes back. */
class Leaving implements JournalStore {
  readonly #store: JournalStore;
  away = false;

  constructor(store: JournalStore) {
    this.#store = store;
  }

  record: JournalStore['record'] = async (batch) => {
    await this.probe();
    return this.#store.record(batch);
  };
  recordUnreadable: JournalStore['recordUnreadable'] = (failure) => this.#store.recordUnreadable(failure);
  failDeadLettered: JournalStore['failDeadLettered'] = (dead) => this.#store.failDeadLettered(dead);
  originsOf: JournalStore['originsOf'] = (eventIds) => this.#store.originsOf(eventIds);

  probe(): Promise<void> {
    return this.away ? Promise.reject(new Error('the database is away')) : this.#store.probe();
  }
}
