import { createHash } from 'node:crypto';
import { uuidV5 } from '../../src/core/ids.js';
import type { KeyState } from '../../src/core/ports.js';
import type { Database } from '../../src/store/database.js';
import { SqlIdempotencyStore } from '../../src/store/idempotency-store.js';
import { rowsOf } from '../../src/store/sql.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';

const hash = (text: string) => createHash('sha256').update(text).digest();
const key = { appId: 'A', key: 'order-4711' };
const entry = {
  eventId: uuidV5('A', 'order-4711'),
  bodyHash: hash('body'),
  now: 1_000,
  ttlMs: 100_000,
  staleAfterMs: 500,
};

describeEachDatabase('the idempotency store', (create) => {
  let test: TestDatabase;
  let database: Database;
  let store: SqlIdempotencyStore;

  beforeEach(async () => {
    test = await create();
    database = await test.openMigrated();
    store = new SqlIdempotencyStore({ database });
  });
  afterEach(() => test.remove());

  it('is new once, then in progress, then done with the first event id', async () => {
    expect(await store.begin(key, entry)).toEqual({ state: 'new' });
    expect(await store.begin(key, { ...entry, now: 1_499 })).toEqual({ state: 'in-progress' });
    await store.done(key);
    expect(await store.begin(key, { ...entry, eventId: uuidV5('other'), now: 90_000 })).toEqual({
      state: 'done',
      eventId: entry.eventId,
    });
  });

  it('gives a key to exactly one of many that begin at once', async () => {
    const second = new SqlIdempotencyStore({ database: await test.openMigrated() });
    for (let round = 0; round < 10; round += 1) {
      const of = { appId: 'A', key: `key-${round}` };
      const states = await Promise.all(
        Array.from({ length: 12 }, (_, n) => (n % 2 === 0 ? store : second).begin(of, entry)),
      );
      expect(countStates(states)).toEqual({ new: 1, 'in-progress': 11 });
    }
  });

  it('tells each of many keys that begin and end at once what became of it', async () => {
    const keys = Array.from({ length: 300 }, (_, n) => ({ appId: 'A', key: `many-${n}` }));
    const used = keys.filter((_, n) => n % 50 === 7);
    await Promise.all(used.map((of) => store.begin(of, entry)));
    const states = await Promise.all(keys.map((of) => store.begin(of, { ...entry, now: 1_100 })));
    keys.forEach((of, n) => {
      expect([of, states[n]]).toEqual([of, { state: used.includes(of) ? 'in-progress' : 'new' }]);
    });
    await Promise.all(keys.map((of) => store.done(of)));
    const repeated = await Promise.all(keys.map((of) => store.begin(of, { ...entry, now: 1_200 })));
    expect(countStates(repeated)).toEqual({ done: 300 });
  });

  it('gives a freed or crashed key to exactly one of many, as again', async () => {
    await store.begin(key, entry);
    await store.free(key);
    const afterFree = await Promise.all(Array.from({ length: 12 }, () => store.begin(key, { ...entry, now: 1_100 })));
    expect(countStates(afterFree)).toEqual({ again: 1, 'in-progress': 11 });
    const afterCrash = await Promise.all(Array.from({ length: 12 }, () => store.begin(key, { ...entry, now: 1_600 })));
    expect(countStates(afterCrash)).toEqual({ again: 1, 'in-progress': 11 });
  });

  it('refuses another body while the key lives, in every state', async () => {
    const other = { ...entry, bodyHash: hash('other'), now: 2_000 };
    await store.begin(key, entry);
    expect(await store.begin(key, other)).toEqual({ state: 'other-body' });
    await store.free(key);
    expect(await store.begin(key, other)).toEqual({ state: 'other-body' });
    await store.done(key);
    expect(await store.begin(key, other)).toEqual({ state: 'other-body' });
  });

  it('frees only what is pending', async () => {
    await store.begin(key, entry);
    await store.done(key);
    await store.free(key);
    expect(await store.begin(key, entry)).toMatchObject({ state: 'done' });
  });

  it('is new again after it expired, also under another body, for exactly one', async () => {
    await store.begin(key, entry);
    await store.done(key);
    const later = { ...entry, bodyHash: hash('other'), now: entry.now + entry.ttlMs };
    const states = await Promise.all(Array.from({ length: 6 }, () => store.begin(key, later)));
    expect(countStates(states)).toEqual({ new: 1, 'in-progress': 5 });
  });

  it('tells keys apart by application, case and trailing space', async () => {
    const keys = [key, { ...key, appId: 'B' }, { ...key, key: 'ORDER-4711' }, { ...key, key: 'order-4711 ' }];
    for (const one of keys) expect(await store.begin(one, entry)).toEqual({ state: 'new' });
  });

  it('deletes expired keys, a batch at a time', async () => {
    for (let n = 0; n < 5; n += 1) await store.begin({ appId: 'A', key: `old-${n}` }, { ...entry, ttlMs: 1 });
    await store.begin(key, entry);
    expect(await store.deleteExpired(5_000, 3)).toBe(3);
    expect(await store.deleteExpired(5_000, 3)).toBe(2);
    expect(await store.deleteExpired(5_000, 3)).toBe(0);
    const left = await database.run((manager) =>
      rowsOf(manager, 'SELECT app_id, idempotency_key FROM pub_event_idempotency'),
    );
    expect(left).toEqual([{ app_id: 'A', idempotency_key: 'order-4711' }]);
  });
});

function countStates(states: KeyState[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state } of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
