import { uuidV7 } from '../../src/core/ids.js';
import type { EndedLease, Lease } from '../../src/core/ports.js';
import { SqlClaimStore } from '../../src/store/claim-store.js';
import type { Database } from '../../src/store/database.js';
import { SqlJournalStore } from '../../src/store/journal-store.js';
import { SqlLeaseStore } from '../../src/store/lease-store.js';
import { SqlRedeliveryStore } from '../../src/store/redelivery-store.js';
import { execute } from '../../src/store/sql.js';
import { describeEachDatabase, silentLog, type TestDatabase } from '../support/databases.js';
import { outcomeOf, owedListener, recordedEvent, rowsIn } from '../support/journalling.js';
import { aChain, anEvent } from '../support/messages.js';

const UNTIL = 1_000;
const TIME = { now: 500, until: 700 };
const HOUR_MS = 3_600_000;

function aLease(more: Partial<Lease> = {}): Lease {
  const event = anEvent({ userObject: Buffer.from('{"名":"\\"é😀"}') });
  return {
    leaseId: uuidV7(),
    nodeCode: 'N',
    leasedAt: 1,
    leasedUntil: UNTIL,
    message: { event, chain: null, claimSteps: false },
    messageId: 'm',
    listenerIds: ['L1'],
    lastAttempts: ['L1'],
    onExhausted: 'continue',
    successor: aChain({ nodeCode: 'N', generation: 1, sequence: 1, listenerId: 'L1', attempt: 1 }),
    ...more,
  };
}

describeEachDatabase('leases', (create) => {
  let test: TestDatabase;
  let database: Database;
  let leases: SqlLeaseStore;

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
    leases = new SqlLeaseStore({ database, log: silentLog });
  });

  beforeEach(() => database.run((manager) => execute(manager, 'DELETE FROM pub_event_lease')));

  afterAll(() => test.remove());

  const asked = (...all: Lease[]) => ({ nodeCode: 'N', leaseIds: all.map(({ leaseId }) => leaseId) });
  const foundOf = async (lease: Lease, time = TIME) => (await leases.take(asked(lease), time))[0]!.found;

  async function ended(now: number, refused: Lease[] = []): Promise<EndedLease[]> {
    const published: EndedLease[] = [];
    await leases.publishEnded(now, 10, (one) => {
      if (refused.some(({ leaseId }) => leaseId === one.leaseId)) return Promise.reject(new Error('away'));
      published.push(one);
      return Promise.resolve();
    });
    return published;
  }

  it('come back as they were given, in the order in which they are asked for', async () => {
    const [first, second] = [aLease(), aLease()];
    expect(await leases.keep([second, first])).toEqual(new Set([first.leaseId, second.leaseId]));
    expect(await leases.take(asked(second, first), TIME)).toEqual([
      { found: 'taken', lease: second },
      { found: 'taken', lease: first },
    ]);
  });

  it('leave out a message that is leased already', async () => {
    const first = aLease();
    const again = { ...first, leaseId: uuidV7() };
    const other = aLease();
    await leases.keep([first]);
    expect(await leases.keep([again, other])).toEqual(new Set([other.leaseId]));
    expect(await rowsIn(database, 'pub_event_lease')).toHaveLength(2);
    const next = { ...first, leaseId: uuidV7(), successor: { ...first.successor, sequence: 2 } };
    expect(await leases.keep([next])).toEqual(new Set([next.leaseId]));
  });

  it('are taken by one of many that settle at the same time', async () => {
    const lease = aLease();
    await leases.keep([lease]);
    const found = await Promise.all(Array.from({ length: 6 }, () => foundOf(lease)));
    expect(found.sort()).toEqual(['busy', 'busy', 'busy', 'busy', 'busy', 'taken']);
  });

  it('can be taken again when the call that took them did not come to an end', async () => {
    const lease = aLease();
    await leases.keep([lease]);
    expect(await foundOf(lease)).toBe('taken');
    expect(await foundOf(lease, { now: 699, until: 900 })).toBe('busy');
    expect(await foundOf(lease, { now: 700, until: 900 })).toBe('taken');
    await leases.putBack([lease.leaseId]);
    expect(await foundOf(lease, { now: 701, until: 900 })).toBe('taken');
  });

  it('are unknown once they are settled, to other nodes, and when nobody gave them', async () => {
    const [settled, others] = [aLease(), aLease({ nodeCode: 'OTHER' })];
    await leases.keep([settled, others]);
    await leases.take(asked(settled), TIME);
    await leases.remove([settled.leaseId], 500);
    const found = await leases.take(asked(settled, others, aLease()), TIME);
    expect(found.map((one) => one.found)).toEqual(['unknown', 'unknown', 'unknown']);
    expect(await leases.release(asked(settled, others), 500)).toEqual(['unknown', 'unknown']);
    expect(await leases.take({ ...asked(others), nodeCode: 'OTHER' }, TIME)).toMatchObject([{ found: 'taken' }]);
  });

  it('are over when their time has passed, and go on as their successor, once', async () => {
    const lease = aLease();
    await leases.keep([lease]);
    expect(await ended(UNTIL - 1)).toEqual([]);
    expect(await foundOf(lease, { now: UNTIL, until: 2_000 })).toBe('expired');
    expect(await ended(UNTIL)).toEqual([
      {
        leaseId: lease.leaseId,
        nodeCode: 'N',
        how: 'expired',
        message: { event: lease.message.event, chain: lease.successor, claimSteps: false },
      },
    ]);
    expect(await ended(UNTIL + HOUR_MS - 1)).toEqual([]);
    expect(await foundOf(lease, { now: UNTIL + 1, until: 2_000 })).toBe('expired');
    expect(await leases.release(asked(lease), UNTIL + 1)).toEqual(['expired']);
    expect(await leases.keep([{ ...lease, leaseId: uuidV7() }])).toEqual(new Set());
  });

  it('are forgotten an hour after they were over', async () => {
    await leases.keep([aLease()]);
    await ended(UNTIL);
    expect(await ended(UNTIL + HOUR_MS)).toEqual([]);
    expect(await rowsIn(database, 'pub_event_lease')).toHaveLength(1);
    expect(await ended(UNTIL + HOUR_MS + 1)).toEqual([]);
    expect(await rowsIn(database, 'pub_event_lease')).toEqual([]);
  });

  it('do not end while they are settled', async () => {
    const lease = aLease();
    await leases.keep([lease]);
    await leases.take(asked(lease), { now: UNTIL - 1, until: UNTIL + 100 });
    expect(await ended(UNTIL + 99)).toEqual([]);
    await leases.putBack([lease.leaseId]);
    expect(await ended(UNTIL)).toHaveLength(1);
  });

  it('that are released go on at once, but not those that are being settled', async () => {
    const [released, taken] = [aLease(), aLease()];
    await leases.keep([released, taken]);
    await leases.take(asked(taken), TIME);
    expect(await leases.release(asked(released, taken), 510)).toEqual(['taken', 'unknown']);
    expect(await foundOf(released, { now: 511, until: 900 })).toBe('unknown');
    await leases.giveBack([taken.leaseId], 520);
    const published = await ended(520);
    expect(published.map(({ leaseId, how }) => [leaseId, how])).toEqual([
      [released.leaseId, 'released'],
      [taken.leaseId, 'released'],
    ]);
    expect(await ended(521)).toEqual([]);
  });

  it('that are over keep a message out that comes again, because its ack was lost', async () => {
    const [settled, released] = [aLease(), aLease()];
    await leases.keep([settled, released]);
    await leases.take(asked(settled), TIME);
    await leases.remove([settled.leaseId], 500);
    await leases.release(asked(released), 500);
    await ended(500);
    const again = [settled, released].map((lease) => ({ ...lease, leaseId: uuidV7() }));
    expect(await leases.keep(again)).toEqual(new Set());
    expect(await ended(UNTIL)).toEqual([]);
  });

  it('whose successor cannot be published stay, behind the others', async () => {
    const [first, second] = [aLease(), aLease()];
    await leases.keep([first, second]);
    expect(await ended(UNTIL, [first])).toMatchObject([{ leaseId: second.leaseId }]);
    expect(await ended(UNTIL + 1)).toEqual([]);
    expect(await ended(UNTIL + 60_000)).toMatchObject([{ leaseId: first.leaseId, how: 'expired' }]);
  });

  it('keep their chains from the sweeper until they are over', async () => {
    const recorded = recordedEvent({ acceptedAt: 10 }, [owedListener('N', 1)]);
    await new SqlJournalStore({ database }).record({ events: [recorded], outcomes: [] });
    const store = new SqlRedeliveryStore({ database });
    const swept = async () =>
      (await store.overdueChains('N', Date.now() + 60_000, 100)).filter(
        ({ eventId }) => eventId === recorded.event.eventId,
      );
    expect(await swept()).toHaveLength(1);
    await leases.keep([aLease({ message: { event: recorded.event, chain: null, claimSteps: false } })]);
    expect(await swept()).toEqual([]);
    await ended(UNTIL);
    expect(await swept()).toHaveLength(1);
  });

  it('keep their chains from the sweeper while what came of them is on its way to the journal', async () => {
    const recorded = recordedEvent({ acceptedAt: 10 }, [owedListener('N', 1)]);
    await new SqlJournalStore({ database }).record({ events: [recorded], outcomes: [] });
    const store = new SqlRedeliveryStore({ database });
    const swept = async () =>
      (await store.overdueChains('N', Date.now() + 60_000, 100)).some(
        ({ eventId }) => eventId === recorded.event.eventId,
      );
    const settled = aLease({ message: { event: recorded.event, chain: null, claimSteps: false } });
    await leases.keep([settled]);
    await leases.take(asked(settled), TIME);
    await leases.remove([settled.leaseId], 600);
    expect(await swept()).toBe(false);
    await ended(600 + HOUR_MS);
    expect(await swept()).toBe(true);
  });
});

describeEachDatabase('claims of many messages', (create) => {
  let test: TestDatabase;
  let claims: SqlClaimStore;
  let database: Database;

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
    claims = new SqlClaimStore({ database });
  });

  afterAll(() => test.remove());

  it('are answered each on its own, in their order', async () => {
    const listener = owedListener('N', 1);
    const recorded = recordedEvent({}, [listener]);
    const outcomes = [outcomeOf(recorded.event, listener, { state: 'succeeded' })];
    await new SqlJournalStore({ database }).record({ events: [recorded], outcomes });
    const request = (eventId: string, generation = 1) => ({
      ...{ eventId, nodeCode: 'N', generation, sequence: 0, messageId: 'mine' },
    });
    const [fresh, stale, lost] = [uuidV7(), uuidV7(), uuidV7()];
    await claims.claim(request(stale, 2));
    await claims.claim({ ...request(lost), messageId: 'another' });
    expect(await claims.claimAll([stale, recorded.event.eventId, lost, fresh].map((id) => request(id)))).toEqual([
      { result: 'stale' },
      { result: 'granted', settled: new Map([[listener.listenerId, 'succeeded']]) },
      { result: 'lost' },
      { result: 'granted', settled: new Map() },
    ]);
    expect(await claims.claimAll([])).toEqual([]);
  });
});
