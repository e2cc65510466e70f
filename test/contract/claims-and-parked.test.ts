import { uuidV7 } from '../../src/core/ids.js';
import type { ParkedMessage } from '../../src/core/ports.js';
import { SqlClaimStore } from '../../src/store/claim-store.js';
import type { Database } from '../../src/store/database.js';
import { SqlJournalStore } from '../../src/store/journal-store.js';
import { SqlParkedStore } from '../../src/store/parked-store.js';
import { canSkipLocked } from '../../src/store/skip-locked.js';
import { execute } from '../../src/store/sql.js';
import { describeEachDatabase, silentLog, type TestDatabase } from '../support/databases.js';
import { outcomeOf, owedListener, recordedEvent, rowsIn } from '../support/journalling.js';
import { anEvent } from '../support/redelivering.js';

describeEachDatabase('claims', (create) => {
  let test: TestDatabase;
  let database: Database;
  let claims: SqlClaimStore;

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
    claims = new SqlClaimStore({ database });
  });

  afterAll(() => test.remove());

  const claim = (eventId: string, generation: number, sequence: number, messageId: string) =>
    claims.claim({ eventId, nodeCode: 'N', generation, sequence, messageId }).then(({ result }) => result);

  it('lets the same message claim again, and no other with its sequence', async () => {
    const eventId = uuidV7();
    expect(await claim(eventId, 1, 0, 'm1')).toBe('granted');
    expect(await claim(eventId, 1, 0, 'm1')).toBe('granted');
    expect(await claim(eventId, 1, 0, 'm2')).toBe('lost');
    expect(await claim(eventId, 1, 1, 'm2')).toBe('granted');
    expect(await claim(eventId, 1, 0, 'm1')).toBe('lost');
  });

  it('calls a message of an older generation stale', async () => {
    const eventId = uuidV7();
    expect(await claim(eventId, 1, 7, 'm1')).toBe('granted');
    expect(await claim(eventId, 2, 0, 'm2')).toBe('granted');
    expect(await claim(eventId, 1, 8, 'm1')).toBe('stale');
    expect(await claim(eventId, 2, 0, 'm2')).toBe('granted');
  });

  it('grants one of many that claim the same step at the same time', async () => {
    const eventId = uuidV7();
    const results = await Promise.all(Array.from({ length: 8 }, (_, index) => claim(eventId, 1, 1, `m${index}`)));
    expect(results.filter((result) => result === 'granted')).toHaveLength(1);
  });

  it('loses a message whose successor is recorded, and grants the successor what is settled', async () => {
    const [first, second] = [owedListener('N', 1), owedListener('N', 2)];
    const recorded = recordedEvent({}, [first, second]);
    const { event } = recorded;
    const outcomes = [outcomeOf(event, first, { state: 'succeeded' }), outcomeOf(event, second, { state: 'retrying' })];
    await new SqlJournalStore({ database }).record({ events: [recorded], outcomes });
    expect(await claim(event.eventId, 1, 0, 'first')).toBe('lost');
    const request = { eventId: event.eventId, nodeCode: 'N', generation: 1, sequence: 1, messageId: 'successor' };
    expect(await claims.claim(request)).toEqual({
      result: 'granted',
      settled: new Map([[first.listenerId, 'succeeded']]),
    });
    expect(await claims.claim({ ...request, generation: 2, sequence: 0 })).toEqual({
      result: 'granted',
      settled: new Map(),
    });
  });
});

describeEachDatabase('parked messages', (create) => {
  let test: TestDatabase;
  let database: Database;
  let parked: SqlParkedStore;
  const event = anEvent({ userObject: Buffer.from([0, 0xff, 0x22, 0xf0, 0x9f, 0x98, 0x80]) });
  const messages: ParkedMessage[] = [
    { kind: 'event', message: { event: { ...event, userObject: null }, chain: null, claimSteps: true } },
    {
      kind: 'successor',
      queue: { kind: 'url', nodeCode: 'N' },
      message: {
        event,
        chain: {
          nodeCode: 'N',
          generation: 2,
          sequence: 3,
          targets: ['x'],
          settled: [],
          listenerId: 'x',
          attempt: 4,
          attemptsBefore: { x: 2 },
          dueAt: 5,
        },
        claimSteps: false,
      },
    },
    { kind: 'outcomes', outcomes: [outcomeOf(event, owedListener(), { state: 'retrying' })] },
  ];

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
    parked = new SqlParkedStore({ database, log: silentLog });
  });

  beforeEach(() => database.run((manager) => execute(manager, 'DELETE FROM pub_parked_message')));

  afterAll(() => test.remove());

  it('come back as they were when they are due, and once', async () => {
    for (const [index, message] of messages.entries()) await parked.park(message, 100 + index);
    const published: ParkedMessage[] = [];
    const publish = (message: ParkedMessage): Promise<void> => {
      published.push(message);
      return Promise.resolve();
    };
    expect(await parked.publishDue(99, 10, publish)).toBe(0);
    expect(await parked.publishDue(101, 10, publish)).toBe(2);
    expect(await parked.publishDue(200, 10, publish)).toBe(1);
    expect(await parked.publishDue(200, 10, publish)).toBe(0);
    expect(published).toEqual(messages);
  });

  it('stay when they cannot be published, behind the others', async () => {
    for (const message of messages) await parked.park(message, 100);
    const refuse = (message: ParkedMessage): Promise<void> =>
      message.kind === 'outcomes' ? Promise.reject(new Error('away')) : Promise.resolve();
    expect(await parked.publishDue(100, 10, refuse)).toBe(2);
    expect(await rowsIn(database, 'pub_parked_message')).toMatchObject([{ kind: 'outcomes' }]);
    expect(await parked.publishDue(101, 10, () => Promise.resolve())).toBe(0);
    expect(await parked.publishDue(60_000, 10, () => Promise.resolve())).toBe(1);
  });

  it('are published by one of several scanners', async () => {
    for (let i = 0; i < 20; i += 1) await parked.park(messages[0] as ParkedMessage, i);
    const other = new SqlParkedStore({ database, log: silentLog });
    let published = 0;
    const publish = async (): Promise<void> => {
      await new Promise(setImmediate);
      published += 1;
    };
    for (let left = 20; left > 0;) {
      const scanners = database.isSqlite ? [parked] : [parked, other];
      const counts = await Promise.all(scanners.map((scanner) => scanner.publishDue(100, 3, publish)));
      left -= counts.reduce((sum, count) => sum + count, 0);
    }
    expect(published).toBe(20);
    expect(await rowsIn(database, 'pub_parked_message')).toEqual([]);
  });
});

describe('SKIP LOCKED', () => {
  it.each([
    ['10.11.19-MariaDB-0+deb12u1', true],
    ['5.5.5-10.5.2-MariaDB', false],
    ['11.4.2-MariaDB', true],
    ['8.0.0', false],
    ['8.0.1', true],
    ['8.4.3', true],
    ['5.7.44-log', false],
    ['9.1.0', true],
  ])('on %s is %s', (version, expected) => {
    expect(canSkipLocked(version)).toBe(expected);
  });
});
