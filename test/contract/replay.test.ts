import { DeliveryDesk } from '../../src/core/redelivering/delivery-admin.js';
import { uuidV7 } from '../../src/core/ids.js';
import type { Event, Listener } from '../../src/core/model.js';
import type { Actor, AuditEntry, AuditStore, Clock, Replay, ReplayFilter } from '../../src/core/ports.js';
import { Redelivery } from '../../src/core/redelivering/redelivery.js';
import { ReplayRunner } from '../../src/core/redelivering/replay-runner.js';
import type { Database } from '../../src/store/database.js';
import { SqlRedeliveryStore } from '../../src/store/redelivery-store.js';
import { SqlReplayStore } from '../../src/store/replay-store.js';
import { recordingLog } from '../support/accepting.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';
import { countRows, deliveriesOf, eventStateIn, seedEvent } from '../support/journal-seed.js';
import {
  aListener,
  anEvent,
  anOutcome,
  countingIncidents,
  EditableRegistry,
  NodeQueues,
} from '../support/redelivering.js';
import { until } from '../support/until.js';

const ACTOR: Actor = { name: 'token:ops', requestId: 'r-1' };
const LEASE_MS = 30_000;

describeEachDatabase('replays', (create) => {
  const typeId = uuidV7();
  let test: TestDatabase;
  let database: Database;
  let registry: EditableRegistry;
  let queues: NodeQueues;
  let store: SqlReplayStore;
  let audited: AuditEntry[];
  let desk: DeliveryDesk;
  let runners: ReplayRunner[];
  /** The clock of the process, put forward by hand. */
  let aheadMs: number;
  const clock: Clock = { now: () => Date.now() + aheadMs };
  let log: ReturnType<typeof recordingLog>;

  let listenerA: Listener;
  let listenerB1: Listener;
  let listenerB2: Listener;

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
  });
  afterAll(() => test.remove());

  beforeEach(async () => {
    for (const table of ['pub_event', 'pub_event_delivery', 'pub_event_chain', 'pub_replay']) {
      await database.run((manager) => manager.query(`DELETE FROM ${table}`));
    }
    aheadMs = 0;
    registry = new EditableRegistry();
    listenerA = registry.add(aListener('A', typeId));
    listenerB1 = registry.add(aListener('B', typeId, { operIndex: 1 }));
    listenerB2 = registry.add(aListener('B', typeId, { operIndex: 2 }));
    queues = new NodeQueues();
    log = recordingLog();
    store = new SqlReplayStore({ database });
    audited = [];
    const audit: AuditStore = {
      append: async (_actor, entry) => void audited.push(entry),
      list: async () => ({ items: [], nextCursor: null }),
    };
    desk = new DeliveryDesk({ redelivery: redeliveryNow(), replays: store, audit, clock, log });
    runners = [];
  });
  afterEach(async () => {
    for (const runner of runners) await runner.stop();
  });

  const redeliveryNow = () =>
    new Redelivery({
      store: new SqlRedeliveryStore({ database }),
      broker: queues,
      registry,
      metrics: countingIncidents(),
      clock,
    });

  const newRunner = (): ReplayRunner => {
    const runner = new ReplayRunner({ store, redelivery: redeliveryNow(), registry, log, clock, pollMs: 10 });
    runners.push(runner);
    return runner;
  };

  const begin = (filter: ReplayFilter, more: { dryRun?: boolean; ratePerSecond?: number } = {}): Promise<Replay> =>
    desk.startReplay(ACTOR, {
      filter,
      dryRun: more.dryRun ?? false,
      ratePerSecond: more.ratePerSecond ?? null,
    });

  const isOver = async (id: string): Promise<Replay | null> => {
    const replay = await desk.findReplay(id);
    return replay !== null && replay.finishedAt !== null ? replay : null;
  };

  /** Starts a replay, runs it to its end, and says which deliveries went out, as `event/listener`. */
  const replayed = async (filter: ReplayFilter): Promise<string[]> => {
    const { id } = await begin(filter);
    newRunner().start();
    const replay = await until('the replay is over', () => isOver(id));
    expect(replay).toMatchObject({ state: 'done', error: null, failed: 0 });
    const sent = queues.sent.flatMap(({ message }) =>
      (message.chain?.targets ?? []).map((target) => `${message.event.sourceId}/${target}`),
    );
    expect(replay).toMatchObject({ matched: sent.length, done: sent.length });
    return sent.sort();
  };

  /** An event named by its source, with the outcomes of its listeners. */
  const seed = async (
    name: string,
    outcomes: [Listener, Parameters<typeof anOutcome>[2]][],
    more: Partial<Event> = {},
  ): Promise<Event> => {
    const event = anEvent({ eventTypeId: typeId, sourceId: name, ...more });
    await seedEvent(database, event, {
      listeners: outcomes.map(([listener]) => listener),
      outcomes: outcomes.map(([listener, outcome]) => anOutcome(event, listener, outcome)),
    });
    return event;
  };

  const all = (name: string): string[] => [listenerA, listenerB1, listenerB2].map(({ id }) => `${name}/${id}`).sort();

  it('sends every matched event to whoever is owed it now, one message per node', async () => {
    const event = await seed('one', [
      [listenerA, { state: 'succeeded' }],
      [listenerB1, { state: 'failed', attempt: 6 }],
    ]);
    expect(await replayed({})).toEqual(all('one'));
    expect(queues.chains).toEqual([
      { nodeCode: 'A', generation: 2, targets: [listenerA.id] },
      { nodeCode: 'B', generation: 2, targets: [listenerB1.id, listenerB2.id] },
    ]);
    expect(queues.sent[1]?.message.chain?.attemptsBefore).toEqual({ [listenerB1.id]: 6 });
    const deliveries = await deliveriesOf(database, event.eventId);
    expect(deliveries.get(listenerB2.id)).toMatchObject({
      state: 'pending',
      generation: 2,
      createdAt: event.acceptedAt,
    });
    expect(await eventStateIn(database, event.eventId)).toBe('pending');
    expect(audited).toMatchObject([{ action: 'replay.started', subjectKind: 'replay' }]);
  });

  it('reaches a listener that was registered later, under the version that it came with', async () => {
    await seed('old', []);
    const late = registry.add(aListener('C', typeId), 7);
    expect(await replayed({ states: ['no-listener'], nodeCode: 'C' })).toEqual([`old/${late.id}`]);
    expect(queues.sent[0]?.message.event.registryVersion).toBe(7);
  });

  it('asks the filters of listeners about the payload', async () => {
    registry.remove(listenerB1.id);
    registry.remove(listenerB2.id);
    registry.edit(listenerA.id, { filter: { properties: { n: { const: 2 } } } });
    await seed('one', [], { userObject: Buffer.from('{"n":1}') });
    await seed('two', [], { userObject: Buffer.from('{"n":2}') });
    expect(await replayed({})).toEqual([`two/${listenerA.id}`]);
  });

  describe('by filter', () => {
    let second: Event;

    beforeEach(async () => {
      await seed(
        'one',
        [
          [listenerA, { state: 'failed' }],
          [listenerB1, { state: 'succeeded' }],
          [listenerB2, { state: 'skipped', reason: 'listener-disabled' }],
        ],
        { acceptedAt: 1_000 },
      );
      second = await seed('two', [[listenerB1, { state: 'failed' }]], { acceptedAt: 2_000, eventType: 'changed' });
      await seed('none', [], { acceptedAt: 3_000 });
    });

    const cases: [string, () => ReplayFilter, () => string[]][] = [
      ['event ids', () => ({ eventIds: [second.eventId] }), () => all('two')],
      ['no event ids', () => ({ eventIds: [] }), () => []],
      ['source', () => ({ sourceId: 'one' }), () => all('one')],
      ['type', () => ({ eventType: 'changed' }), () => all('two')],
      ['from, inclusive', () => ({ from: 2_000 }), () => [...all('none'), ...all('two')]],
      ['to, exclusive', () => ({ to: 2_000 }), () => all('one')],
      ['node', () => ({ nodeCode: 'A', to: 2_000 }), () => [`one/${listenerA.id}`]],
      ['listener', () => ({ listenerId: listenerB2.id, to: 2_000 }), () => [`one/${listenerB2.id}`]],
      ['one state', () => ({ states: ['failed'] }), () => [`one/${listenerA.id}`, `two/${listenerB1.id}`]],
      [
        'several states',
        () => ({ states: ['failed', 'skipped'] }),
        () => [`one/${listenerA.id}`, `one/${listenerB2.id}`, `two/${listenerB1.id}`].sort(),
      ],
      ['state and node', () => ({ states: ['failed'], nodeCode: 'B' }), () => [`two/${listenerB1.id}`]],
      ['state and listener', () => ({ states: ['failed'], listenerId: listenerA.id }), () => [`one/${listenerA.id}`]],
      ['state and source', () => ({ states: ['failed'], sourceId: 'two' }), () => [`two/${listenerB1.id}`]],
      ['state and time', () => ({ states: ['failed'], from: 1_001 }), () => [`two/${listenerB1.id}`]],
      ['events without listeners', () => ({ states: ['no-listener'] }), () => all('none')],
      [
        'events without listeners besides failed ones',
        () => ({ states: ['no-listener', 'failed'], nodeCode: 'A' }),
        () => [`none/${listenerA.id}`, `one/${listenerA.id}`],
      ],
      ['a state that nothing has', () => ({ states: ['retrying'] }), () => []],
    ];
    it.each(cases)('matches %s', async (_name, filter, expected) => {
      expect(await replayed(filter())).toEqual(expected().sort());
    });
  });

  it('leaves scheduled events alone until they are due', async () => {
    const event = anEvent({ eventTypeId: typeId, deliverAt: Date.now() + 60_000 });
    await seedEvent(database, event, { listeners: [], waits: true });
    expect(await replayed({ eventIds: [event.eventId] })).toEqual([]);
  });

  it('only counts in a dry run', async () => {
    await seed('one', [[listenerA, { state: 'failed' }]]);
    await seed('two', [[listenerA, { state: 'failed' }]]);
    const { id } = await begin({ states: ['failed'] }, { dryRun: true });
    newRunner().start();
    const over = await until('the dry run is over', () => isOver(id));
    expect(over).toMatchObject({ state: 'done', matched: 2, done: 0, failed: 0 });
    expect(queues.sent).toEqual([]);
    expect(await countRows(database, 'pub_event_chain')).toBe(0);
  });

  it('counts deliveries of deleted listeners as failed', async () => {
    await seed('one', [
      [listenerA, { state: 'failed' }],
      [listenerB1, { state: 'failed' }],
    ]);
    registry.remove(listenerA.id);
    const { id } = await begin({ states: ['failed'] });
    newRunner().start();
    const over = await until('the replay is over', () => isOver(id));
    expect(over).toMatchObject({ state: 'done', matched: 2, done: 1, failed: 1 });
    expect(queues.chains.map((chain) => chain.nodeCode)).toEqual(['B']);
  });

  it('does not follow the events that come in while it runs', async () => {
    await seed('future', [], { acceptedAt: Date.now() + 60_000 });
    expect(await replayed({})).toEqual([]);
  });

  it('pages through many events of the same moment, each once', async () => {
    const events: Event[] = [];
    for (let i = 0; i < 430; i += 1) {
      const state = i % 3 === 0 ? 'failed' : 'skipped';
      events.push(await seed(`e${i}`, [[listenerA, { state }]], { acceptedAt: 1_000 + (i % 2) }));
    }
    const sent = await replayed({ states: ['failed', 'skipped'] });
    expect(sent).toEqual(events.map((event) => `${event.sourceId}/${listenerA.id}`).sort());
  });

  it('keeps to its rate, and ends within a second when it is cancelled', async () => {
    for (let i = 0; i < 12; i += 1) await seed(`e${i}`, [[listenerA, { state: 'failed' }]]);
    const { id } = await begin({ states: ['failed'] }, { ratePerSecond: 5 });
    newRunner().start();
    const startedAt = Date.now();
    await until('four went out', () => queues.sent.length >= 4);
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(590);
    const cancelled = await desk.cancelReplay(ACTOR, id);
    expect(cancelled).toMatchObject({ state: 'cancelled', matched: 12 });
    await until('the runner noticed', () => log.lines.some((line) => line.event === 'replay.lost'), 1_000);
    expect(queues.sent.length).toBeLessThan(6);
    expect(await desk.findReplay(id)).toMatchObject({ state: 'cancelled', done: queues.sent.length });
    expect(await desk.cancelReplay(ACTOR, id)).toEqual(await desk.findReplay(id));
    await expect(desk.cancelReplay(ACTOR, uuidV7())).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('has its turn although slow ones take all places, which go on where they were', async () => {
    for (let i = 0; i < 10; i += 1) await seed(`e${i}`, [[listenerA, { state: 'failed' }]], { acceptedAt: 1_000 + i });
    const slow: Replay[] = [];
    for (let i = 0; i < 4; i += 1) slow.push(await begin({ listenerId: listenerA.id }, { ratePerSecond: 1 }));
    newRunner().start();
    await until('all places are taken', () => queues.sent.length >= 4);
    const { id } = await begin({ listenerId: listenerA.id });
    aheadMs += 6_000;
    expect(await until('the fifth is over', () => isOver(id))).toMatchObject({ state: 'done', done: 10 });
    const counts = async () => Promise.all(slow.map(async (one) => (await desk.findReplay(one.id))?.done ?? 0));
    const before = await counts();
    await until('all four went on', async () => (await counts()).every((done, index) => done > (before[index] ?? 0)));
    for (const one of slow) await desk.cancelReplay(ACTOR, one.id);
  });

  it('waits for a broker that is away and then goes on', async () => {
    for (let i = 0; i < 30; i += 1) await seed(`e${i}`, [[listenerA, { state: 'failed' }]]);
    queues.away = true;
    const { id } = await begin({ states: ['failed'] });
    newRunner().start();
    await until('it met the outage', () => log.lines.some((line) => line.event === 'replay.interrupted'));
    expect(await desk.findReplay(id)).toMatchObject({ state: 'running', matched: 30, done: 0, failed: 0 });
    queues.away = false;
    aheadMs += 5_000;
    expect(await until('the replay is over', () => isOver(id))).toMatchObject({ state: 'done', done: 30, failed: 0 });
    expect(queues.sent).toHaveLength(30);
  });

  it('is taken over from a runner that died, and repeats nothing that is settled by its filter', async () => {
    for (let i = 0; i < 50; i += 1) await seed(`e${i}`, [[listenerA, { state: 'failed' }]]);
    const { id } = await begin({ states: ['failed'] });
    // Takes it, publishes a first step, and is never heard of again.
    const dead = await store.take('dead', clock.now(), clock.now() + LEASE_MS);
    expect(dead?.replay.id).toBe(id);
    const page = await store.match({ states: ['failed'] }, { limit: 20, cursor: null });
    const lease = { id, owner: 'dead', until: clock.now() + LEASE_MS };
    const progress = {
      phase: 'publishing' as const,
      cursor: page.at(-1)?.cursor ?? null,
      matched: 50,
      done: 20,
      failed: 0,
    };
    expect(await store.advance(lease, progress)).toBe(true);
    const [one, other] = [newRunner(), newRunner()];
    await one.look(new AbortController().signal);
    await one.settled();
    expect(queues.sent).toEqual([]);
    aheadMs += LEASE_MS + 1;
    one.start();
    other.start();
    expect(await until('the replay is over', () => isOver(id))).toMatchObject({ state: 'done', matched: 50, done: 50 });
    const events = queues.sent.map(({ message }) => message.event.eventId);
    expect(new Set(events).size).toBe(30);
    expect(events).toHaveLength(30);
    expect(await store.advance(lease, progress)).toBe(false);
  });

  it('is given back by a runner that stops, and finished by another one at once', async () => {
    for (let i = 0; i < 30; i += 1) await seed(`e${i}`, [[listenerA, { state: 'failed' }]]);
    const { id } = await begin({ states: ['failed'] }, { ratePerSecond: 20 });
    const first = newRunner();
    first.start();
    await until('some went out', () => queues.sent.length >= 3);
    await first.stop();
    const sent = queues.sent.length;
    expect(await desk.findReplay(id)).toMatchObject({ state: 'running', done: sent });
    newRunner().start();
    expect(await until('the replay is over', () => isOver(id))).toMatchObject({ state: 'done', done: 30 });
    expect(queues.sent).toHaveLength(30);
  });
});
