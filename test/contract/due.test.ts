import { DueScanner } from '../../src/core/redelivering/due.js';
import { EventCenterError } from '../../src/core/errors.js';
import { uuidV7 } from '../../src/core/ids.js';
import type { Event, EventMessage } from '../../src/core/model.js';
import type { BrokerStatus, NodeQueue } from '../../src/core/ports.js';
import type { Database } from '../../src/store/database.js';
import { SqlJournalStore } from '../../src/store/journal-store.js';
import { SqlLeaseStore } from '../../src/store/lease-store.js';
import { SqlParkedStore } from '../../src/store/parked-store.js';
import { SqlScheduledStore } from '../../src/store/scheduled-store.js';
import { recordingLog } from '../support/accepting.js';
import { describeEachDatabase, silentLog, type TestDatabase } from '../support/databases.js';
import { deliveriesOf, eventStateIn } from '../support/journal-seed.js';
import {
  aListener,
  anEvent,
  anOutcome,
  countingIncidents,
  EditableRegistry,
  ManualClock,
} from '../support/redelivering.js';
import { until } from '../support/until.js';

/** Keeps what is published; `refuses` decides which events are not confirmed. */
class AllQueues {
  readonly published: EventMessage[] = [];
  readonly others: unknown[] = [];
  ready = true;
  refuses: (event: Event) => boolean = () => false;

  status(): BrokerStatus {
    return { ready: this.ready, blocked: false, problem: this.ready ? null : 'away', unconfirmedQueues: [] };
  }

  async publishEvent(message: EventMessage): Promise<void> {
    if (this.refuses(message.event)) throw new EventCenterError('UNAVAILABLE', 'not confirmed in time');
    this.published.push(message);
  }

  async publishToNode(queue: NodeQueue, message: EventMessage, delayMs: number): Promise<void> {
    this.others.push({ queue, message, delayMs });
  }

  async publishOutcomes(outcomes: unknown[]): Promise<void> {
    this.others.push({ outcomes });
  }
}

describeEachDatabase('the due scanner', (create) => {
  const typeId = uuidV7();
  let test: TestDatabase;
  let database: Database;
  let registry: EditableRegistry;
  let queues: AllQueues;
  let clock: ManualClock;
  let journal: SqlJournalStore;
  let parked: SqlParkedStore;
  let scanners: DueScanner[];

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
  });
  afterAll(() => test.remove());

  beforeEach(async () => {
    for (const table of ['pub_event', 'pub_event_delivery', 'pub_parked_message']) {
      await database.run((manager) => manager.query(`DELETE FROM ${table}`));
    }
    registry = new EditableRegistry();
    queues = new AllQueues();
    clock = new ManualClock();
    journal = new SqlJournalStore({ database });
    parked = new SqlParkedStore({ database, log: silentLog });
    scanners = [];
  });
  afterEach(async () => {
    for (const scanner of scanners) await scanner.stop();
  });

  const newScanner = (): DueScanner => {
    const scanner = new DueScanner({
      scheduled: new SqlScheduledStore({ database, log: silentLog }),
      parked,
      leases: new SqlLeaseStore({ database, log: silentLog }),
      broker: queues,
      registry,
      log: recordingLog(),
      metrics: countingIncidents(),
      clock,
      intervalMs: 10,
    });
    scanners.push(scanner);
    return scanner;
  };

  const schedule = async (deliverAt: number): Promise<Event> => {
    const event = anEvent({ eventTypeId: typeId, deliverAt });
    await journal.record({ events: [{ event, owed: [], scheduled: true }], outcomes: [] });
    return event;
  };

  it('publishes a scheduled event at its time, under the version of that moment, with claimed steps', async () => {
    const event = await schedule(clock.time + 1_000);
    const listener = registry.add(aListener('A', typeId), 9);
    const scanner = newScanner();
    expect(await scanner.scan()).toBe('idle');
    clock.time += 999;
    await scanner.scan();
    expect(queues.published).toEqual([]);
    clock.time += 1;
    await scanner.scan();
    await scanner.scan();
    expect(queues.published).toEqual([{ event: { ...event, registryVersion: 9 }, chain: null, claimSteps: true }]);

    expect(await eventStateIn(database, event.eventId)).toBe('scheduled');
    const released = queues.published[0]?.event as Event;
    const owed = [{ listenerId: listener.id, nodeCode: 'A', operIndex: 1 }];
    await journal.record({ events: [{ event: released, owed, scheduled: false }], outcomes: [] });
    expect(await eventStateIn(database, event.eventId)).toBe('pending');
    expect((await deliveriesOf(database, event.eventId)).get(listener.id)?.state).toBe('pending');
    clock.time += 60_000;
    await scanner.scan();
    expect(queues.published).toHaveLength(1);
  });

  it('empties a heap of due events without waiting, each once, shared by several scanners', async () => {
    const ids = new Set<string>();
    for (let i = 0; i < 130; i += 1) ids.add((await schedule(clock.time - i)).eventId);
    newScanner().start();
    newScanner().start();
    await until('all went out', () => queues.published.length >= ids.size);
    for (const scanner of scanners) await scanner.stop();
    expect(new Set(queues.published.map(({ event }) => event.eventId))).toEqual(ids);
    if (!database.isSqlite) expect(queues.published).toHaveLength(ids.size);
  });

  it('keeps what a broker does not confirm, and lets it not hold back the others', async () => {
    const stuck: Event[] = [];
    for (let i = 0; i < 25; i += 1) stuck.push(await schedule(clock.time - 10_000));
    const fine = await schedule(clock.time);
    const stuckIds = new Set(stuck.map((event) => event.eventId));
    queues.refuses = ({ eventId }) => stuckIds.has(eventId);
    const scanner = newScanner();
    await scanner.scan();
    await scanner.scan();
    expect(queues.published.map(({ event }) => event.eventId)).toEqual([fine.eventId]);
    queues.refuses = () => false;
    clock.time += 5_000;
    await scanner.scan();
    await scanner.scan();
    expect(queues.published).toHaveLength(26);
  });

  it('leaves everything as it is while the broker is away', async () => {
    await schedule(clock.time);
    await parked.park({ kind: 'outcomes', outcomes: [] }, clock.time);
    queues.ready = false;
    const scanner = newScanner();
    expect(await scanner.scan()).toBe('idle');
    expect([queues.published, queues.others]).toEqual([[], []]);
    queues.ready = true;
    await scanner.scan();
    expect([queues.published.length, queues.others.length]).toEqual([1, 1]);
  });

  it('brings parked messages to where they were meant to go', async () => {
    const event = anEvent({ eventTypeId: typeId });
    const listener = aListener('A', typeId);
    const chain = {
      nodeCode: 'A',
      generation: 1,
      sequence: 1,
      targets: null,
      settled: [],
      listenerId: listener.id,
      attempt: 2,
      attemptsBefore: {},
      dueAt: null,
    };
    const queue = { kind: 'url', nodeCode: 'A' } as const;
    const successor = { event, chain, claimSteps: false };
    const outcomes = [anOutcome(event, listener, { state: 'succeeded' })];
    const own = { event: anEvent(), chain: null, claimSteps: true };
    await parked.park({ kind: 'successor', queue, message: successor }, clock.time);
    await parked.park({ kind: 'outcomes', outcomes }, clock.time);
    await parked.park({ kind: 'event', message: own }, clock.time);
    await parked.park({ kind: 'event', message: own }, clock.time + 1);
    await newScanner().scan();
    expect(queues.others).toEqual(expect.arrayContaining([{ queue, message: successor, delayMs: 0 }, { outcomes }]));
    expect(queues.published).toEqual([own]);
  });
});
