import type { Pool } from 'mysql2/promise';
import { until } from '../../../test/support/until.js';
import { RefusedError, UnavailableError } from '../../src/errors.js';
import { EventCenterClient } from '../../src/index.js';
import { OutboxRelay, type DeadEvent, type OutboxRelayOptions } from '../../src/outbox/index.js';
import {
  addOrder,
  describeEachOutbox,
  FakeCentre,
  mariaDbByMysql2,
  StandingClock,
  type OutboxFixture,
} from './outbox-fixtures.js';

const unavailable = (): never => {
  throw new UnavailableError('the centre is away', { status: 503 });
};
const refused = (code: string) => (): never => {
  throw new RefusedError(code, `refused: ${code}`, { status: 200 });
};

describeEachOutbox((create) => {
  let fixture: OutboxFixture;
  let centre: FakeCentre;
  let relays: OutboxRelay[];

  const begin = async (clock?: StandingClock): Promise<void> => {
    fixture = await create(clock);
    centre = new FakeCentre();
    relays = [];
  };
  const makeRelay = (options: Partial<OutboxRelayOptions> = {}): OutboxRelay => {
    const relay = new OutboxRelay({ outbox: fixture.outbox, database: fixture.database, client: centre, ...options });
    relays.push(relay);
    return relay;
  };

  afterEach(async () => {
    await Promise.all(relays.map((relay) => relay.stop()));
    await fixture.close();
  });

  it('sends by a client whose payloads are typed, and says what it could not', async () => {
    await begin();
    const options = { baseUrl: 'http://127.0.0.1:1', appId: 'A', appKey: 'a2V5', maxAttempts: 1 };
    const client = new EventCenterClient<{ 'shop/ORDER': { id: number } }>(options);
    await addOrder(fixture, { order: 'A1', aggregate: 'order:A1' });
    const relay = new OutboxRelay({ outbox: fixture.outbox, database: fixture.database, client });
    relays.push(relay);
    expect(await relay.runOnce()).toMatchObject({ claimed: 1, published: 0 });
  });

  it('shares the work of two relays: each event once, each aggregate in order', async () => {
    await begin();
    const aggregates = 40;
    let inHand = 0;
    let most = 0;
    const sending = new Set<string>();
    centre.before = async ({ uuid }) => {
      if (sending.has(uuid)) throw new Error('sent twice at a time');
      sending.add(uuid);
      most = Math.max(most, (inHand += 1));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 4));
      inHand -= 1;
    };
    const expected: string[] = [];
    for (let place = 0; place < 500; place += 50) {
      await fixture.inTransaction((executor) =>
        fixture.outbox.add(
          executor,
          Array.from({ length: 50 }, (_, one) => {
            const number = place + one;
            expected.push(`${number}`);
            const event = { sourceId: 'shop', eventType: 'ORDER', userObject: `${number}` };
            return number % 5 === 0 ? event : { ...event, aggregate: `order:${number % aggregates}` };
          }),
        ),
      );
      if (place === 200) {
        makeRelay({ pollMs: 20 }).start();
        makeRelay({ pollMs: 20 }).start();
      }
    }
    await until('all are sent', () => centre.sends.length >= 500);
    await Promise.all(relays.map((relay) => relay.stop()));
    const arrived = centre.sends.map((event) => String(event.userObject));
    expect(arrived).toHaveLength(500);
    expect([...arrived].sort()).toEqual([...expected].sort());
    expect(most).toBeGreaterThan(1);
    for (let aggregate = 0; aggregate < aggregates; aggregate += 1) {
      if (aggregate % 5 === 0) continue;
      const of = (list: string[]): string[] => list.filter((number) => Number(number) % aggregates === aggregate);
      expect(of(arrived)).toEqual(of(expected));
    }
    expect(await relays[0]!.stats()).toMatchObject({ pending: 0, published: 500, dead: 0 });
  });

  it('sends again under the same uuid what was sent but not marked before a crash', async () => {
    const clock = new StandingClock();
    await begin(clock);
    const uuid = await addOrder(fixture, { order: 'C1' });
    // The crash: the centre has it, and this relay never comes back from the call.
    let arrived = (): void => {};
    const sent = new Promise<void>((resolve) => (arrived = resolve));
    centre.after = () => {
      arrived();
      return new Promise<void>(() => {});
    };
    const crashed = new OutboxRelay({ outbox: fixture.outbox, database: fixture.database, client: centre });
    void crashed.runOnce();
    await sent;
    centre.after = () => {};
    expect(await makeRelay().runOnce()).toMatchObject({ claimed: 0 });
    clock.forward(60_001);
    expect(await makeRelay().runOnce()).toMatchObject({ published: 1 });
    expect(centre.sends.map((event) => event.uuid)).toEqual([uuid, uuid]);
    expect(centre.accepted.size).toBe(1);
    expect(centre.duplicates).toBe(1);
  });

  it('tries 20 times, 1 to 32 s apart and never early, and then keeps the reason', async () => {
    const clock = new StandingClock();
    await begin(clock);
    const died: DeadEvent[] = [];
    const relay = makeRelay({ onDead: (event) => void died.push(event) });
    const uuid = await addOrder(fixture, { order: 'D1', aggregate: 'order:D1' });
    centre.before = unavailable;
    for (const delayMs of [1, 2, 4, 8, 16, ...Array<number>(14).fill(32)].map((seconds) => seconds * 1_000)) {
      expect(await relay.runOnce()).toMatchObject({ retried: 1, dead: 0 });
      clock.forward(delayMs - 1);
      expect(await relay.runOnce()).toMatchObject({ claimed: 0 });
      clock.forward(1);
    }
    expect(await relay.runOnce()).toMatchObject({ retried: 0, dead: 1 });
    expect(centre.sends).toHaveLength(20);
    const dead = {
      uuid,
      sourceId: 'shop',
      eventType: 'ORDER',
      tenantCode: null,
      aggregate: 'order:D1',
      attempts: 20,
      code: 'UNAVAILABLE',
      reason: 'the centre is away',
      createdAt: 1_700_000_000_000,
      diedAt: clock.now(),
    };
    expect(died).toEqual([dead]);
    expect(await relay.dead()).toEqual({ items: [dead], nextCursor: null });
    clock.forward(86_400_000);
    expect(await relay.runOnce()).toMatchObject({ claimed: 0 });

    centre.before = () => {};
    expect(await relay.revive([uuid, 'unknown'])).toBe(1);
    expect(await relay.runOnce()).toMatchObject({ published: 1 });
    expect(await relay.stats()).toMatchObject({ dead: 0, published: 1 });
  });

  it('lets a refused event die at once, but waits for what a registration can mend', async () => {
    const clock = new StandingClock();
    await begin(clock);
    const relay = makeRelay();
    await addOrder(fixture, { order: 'R1' });
    centre.before = refused('UNKNOWN_EVENT_TYPE');
    expect(await relay.runOnce()).toMatchObject({ retried: 1, dead: 0 });
    clock.forward(1_000);
    centre.before = refused('SCHEMA_MISMATCH');
    expect(await relay.runOnce()).toMatchObject({ retried: 0, dead: 1 });
    const { items } = await relay.dead();
    expect(items[0]).toMatchObject({ attempts: 2, code: 'SCHEMA_MISMATCH', reason: 'refused: SCHEMA_MISMATCH' });
    expect(await relay.revive({ code: 'UNAVAILABLE' })).toBe(0);
    expect(await relay.revive({ code: 'SCHEMA_MISMATCH', diedBefore: clock.now() + 1 })).toBe(1);
    centre.before = () => {};
    expect(await relay.runOnce()).toMatchObject({ published: 1 });
  });

  it('holds back an aggregate behind an event that is tried again, and nothing else', async () => {
    const clock = new StandingClock();
    await begin(clock);
    const relay = makeRelay();
    for (const [order, aggregate] of [
      ['1', 'a'],
      ['2', 'a'],
      ['3', 'b'],
      ['4', 'a'],
    ] as const) {
      await addOrder(fixture, { order, aggregate });
    }
    await addOrder(fixture, { order: '5' });
    centre.before = ({ userObject }) => (userObject === '1' ? unavailable() : undefined);
    expect(await relay.runOnce()).toMatchObject({ published: 2, retried: 1, released: 2 });
    expect(centre.payloads().sort()).toEqual(['3', '5']);
    expect(await relay.runOnce()).toMatchObject({ claimed: 0 });
    centre.before = () => {};
    clock.forward(1_000);
    expect(await relay.runOnce()).toMatchObject({ published: 3 });
    expect(centre.payloads().slice(2)).toEqual(['1', '2', '4']);
  });

  it('holds back an aggregate behind a dead event until that is revived or discarded', async () => {
    await begin();
    const relay = makeRelay();
    const first = await addOrder(fixture, { order: '1', aggregate: 'a' });
    await addOrder(fixture, { order: '2', aggregate: 'a' });
    centre.before = ({ userObject }) => (userObject === '1' ? refused('INVALID_PARAM')() : undefined);
    expect(await relay.runOnce()).toMatchObject({ dead: 1, released: 1 });
    expect(await relay.runOnce()).toMatchObject({ claimed: 0 });
    expect(await relay.stats()).toMatchObject({ pending: 1, blocked: 1, dead: 1 });
    expect(await relay.discard([first])).toBe(1);
    expect(await relay.runOnce()).toMatchObject({ published: 1 });
    expect(centre.payloads()).toEqual(['2']);
  });

  it('goes on behind a dead event when told so', async () => {
    await begin();
    const relay = makeRelay({ afterDead: 'continue' });
    await addOrder(fixture, { order: '1', aggregate: 'a' });
    await addOrder(fixture, { order: '2', aggregate: 'a' });
    centre.before = ({ userObject }) => (userObject === '1' ? refused('INVALID_PARAM')() : undefined);
    expect(await relay.runOnce()).toMatchObject({ dead: 1 });
    expect(await relay.runOnce()).toMatchObject({ published: 1 });
    expect(await relay.stats()).toMatchObject({ blocked: 0, dead: 1, published: 1 });
  });

  it('lets what is on its way end when it stops, and gives back the rest', async () => {
    await begin();
    const relay = makeRelay({ concurrency: 2 });
    for (let order = 0; order < 6; order += 1) await addOrder(fixture, { order: `${order}` });
    let release = (): void => {};
    const gate = new Promise<void>((resolve) => (release = resolve));
    centre.before = () => gate;
    relay.start();
    await until('two are on their way', () => centre.sends.length === 2);
    const stopped = relay.stop();
    release();
    await stopped;
    expect(centre.accepted.size).toBe(2);
    expect(await relay.stats()).toMatchObject({ published: 2, pending: 4 });
    expect(await fixture.rows('SELECT id FROM event_outbox WHERE claimed_by IS NOT NULL')).toEqual([]);
    expect(await relay.runOnce()).toMatchObject({ published: 4 });
  });

  it('pages through the dead', async () => {
    await begin();
    const relay = makeRelay();
    for (let order = 0; order < 5; order += 1) await addOrder(fixture, { order: `${order}` });
    centre.before = refused('INVALID_PARAM');
    await relay.runOnce();
    const first = await relay.dead({ limit: 3 });
    const second = await relay.dead({ limit: 3, cursor: first.nextCursor });
    expect(first.items).toHaveLength(3);
    expect(second.items).toHaveLength(2);
    expect(second.nextCursor).toBeNull();
    expect(new Set([...first.items, ...second.items].map((one) => one.uuid)).size).toBe(5);
    expect(await relay.revive({})).toBe(5);
  });

  it('looks at once when it is woken', async () => {
    await begin();
    const relay = makeRelay({ pollMs: 60_000 });
    relay.start();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await addOrder(fixture, { order: 'W1' });
    relay.wake();
    await until('it is sent', () => centre.accepted.size === 1, 5_000);
  });
});

const onServer = process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? describe.skip : describe;

onServer('a relay on a server', () => {
  let fixture: OutboxFixture;
  let centre: FakeCentre;
  let pool: Pool;

  beforeEach(async () => {
    fixture = await mariaDbByMysql2();
    pool = fixture.database as Pool;
    centre = new FakeCentre();
  });

  afterEach(() => fixture.close());

  it('claims with SKIP LOCKED, passing over what a transaction of somebody else has locked', async () => {
    await addOrder(fixture, { order: '1' });
    await addOrder(fixture, { order: '2' });
    const other = await pool.getConnection();
    await other.beginTransaction();
    await other.query(`SELECT id FROM event_outbox WHERE user_object = '1' AND id = 1 FOR UPDATE`);
    const log = { info: jest.fn(), warn: jest.fn(), error: jest.fn() };
    const relay = new OutboxRelay({ outbox: fixture.outbox, database: pool, client: centre, log });
    relay.start();
    await until('the other is sent', () => centre.accepted.size === 1, 5_000);
    expect(centre.payloads()).toEqual(['2']);
    expect(log.info).toHaveBeenCalledWith('outbox.relay.started', { claim: 'skip-locked' });
    await other.rollback();
    other.release();
    await until('the first is sent', () => centre.accepted.size === 2, 5_000);
    await relay.stop();
  });

  it('does not make a transaction wait that adds events while it claims', async () => {
    const open = await pool.getConnection();
    await open.beginTransaction();
    await fixture.outbox.add(open, { sourceId: 'shop', eventType: 'ORDER', userObject: 'open' });
    await addOrder(fixture, { order: '1' });
    const relay = new OutboxRelay({ outbox: fixture.outbox, database: pool, client: centre });
    centre.before = async () => {
      await addOrder(fixture, { order: 'while sending' });
      centre.before = () => {};
    };
    expect(await relay.runOnce()).toMatchObject({ published: 1 });
    await open.commit();
    open.release();
    expect(await relay.runOnce()).toMatchObject({ published: 2 });
    expect(centre.payloads()).toEqual(['1', 'open', 'while sending']);
  });

  it('claims by condition where there is no SKIP LOCKED, and shares the work still', async () => {
    const old = withoutSkipLocked(pool);
    const log = { info: jest.fn(), warn: jest.fn(), error: jest.fn() };
    const options = { outbox: fixture.outbox, database: old, client: centre, pollMs: 20, log };
    const relays = [new OutboxRelay(options), new OutboxRelay(options)];
    await fixture.inTransaction((executor) =>
      fixture.outbox.add(
        executor,
        Array.from({ length: 300 }, (_, place) => ({
          sourceId: 'shop',
          eventType: 'ORDER',
          userObject: `${place}`,
          aggregate: `order:${place % 7}`,
        })),
      ),
    );
    for (const relay of relays) relay.start();
    await until('all are sent', () => centre.accepted.size === 300);
    await Promise.all(relays.map((relay) => relay.stop()));
    expect(log.info).toHaveBeenCalledWith('outbox.relay.started', { claim: 'conditional' });
    expect(centre.sends).toHaveLength(300);
    for (let aggregate = 0; aggregate < 7; aggregate += 1) {
      const of = centre.sends.map((event) => Number(event.userObject)).filter((place) => place % 7 === aggregate);
      expect(of).toEqual([...of].sort((a, b) => a - b));
    }
  });

  it('goes on after the database was away in the middle', async () => {
    let away = false;
    const flaky = {
      query: async (...given: [string, unknown[]]) => {
        if (away) throw new Error('the database is away');
        return pool.query(...given);
      },
      getConnection: async () => {
        if (away) throw new Error('the database is away');
        return pool.getConnection();
      },
    };
    for (let order = 0; order < 5; order += 1) await addOrder(fixture, { order: `${order}`, aggregate: 'a' });
    const log = { info: jest.fn(), warn: jest.fn(), error: jest.fn() };
    centre.after = () => {
      if (centre.accepted.size === 2 && centre.duplicates === 0) away = true;
    };
    const options = { outbox: fixture.outbox, database: flaky, client: centre, pollMs: 10, log };
    const relay = new OutboxRelay({ ...options, leaseMs: 1_000 });
    relay.start();
    await until('the relay has noticed', () =>
      log.warn.mock.calls.some(([event]) => event === 'outbox.database.failed'),
    );
    expect(centre.accepted.size).toBe(2);
    away = false;
    await until('all are sent', () => centre.accepted.size === 5);
    await relay.stop();
    expect(centre.payloads()).toEqual(['0', '1', '2', '3', '4']);
    expect(centre.duplicates).toBe(1);
    expect(await relay.stats()).toMatchObject({ pending: 0, published: 5 });
  });
});

/** A server of old, to which SKIP LOCKED is a syntax error. */
function withoutSkipLocked(pool: Pool): object {
  const checked = (sql: string): void => {
    if (sql.includes('SKIP LOCKED')) throw Object.assign(new Error('syntax error'), { errno: 1064 });
  };
  return {
    query: async (...given: [string, unknown[]]) => {
      checked(given[0]);
      return pool.query(...given);
    },
    getConnection: () => Promise.reject(new Error('no transaction is needed')),
  };
}
