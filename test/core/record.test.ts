import fc from 'fast-check';
import type { FailureAnnouncer } from '../../src/core/recording/announce-failures.js';
import { EventCenterError } from '../../src/core/errors.js';
import type { Event, EventMessage, OwedListener } from '../../src/core/model.js';
import { MISPLACED } from '../../src/core/recording/outcome-place.js';
import { Recorder, type RecorderOptions } from '../../src/core/recording/record.js';
import { UNSTORABLE } from '../../src/core/recording/refused-entries.js';
import { silentLog } from '../support/databases.js';
import { FakeJournalStore, JournalQueues } from '../support/journal-queues.js';
import { outcomeOf } from '../support/journalling.js';
import { aListener, anEvent, countingIncidents, EditableRegistry } from '../support/redelivering.js';
import { until } from '../support/until.js';

const TYPE = '018f0000-0000-7000-8000-0000000000aa';
const systemClock = { now: () => Date.now() };
const soon = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.min(ms, 2)));

function freshEvent(more: Partial<Event> = {}): Event {
  return anEvent({ eventTypeId: TYPE, acceptedAt: Date.now(), ...more });
}

function messageOf(event: Event, claimSteps = false): EventMessage {
  return { event, chain: null, claimSteps };
}

describe('the recorder', () => {
  let queues: JournalQueues;
  let store: FakeJournalStore;
  let registry: EditableRegistry;
  let owed: OwedListener;
  /** Told of what was recorded. */
  let announce: FailureAnnouncer['recorded'];
  const running: Recorder[] = [];

  beforeEach(() => {
    queues = new JournalQueues();
    store = new FakeJournalStore();
    registry = new EditableRegistry();
    announce = () => Promise.resolve();
    const listener = registry.add(aListener('N', TYPE));
    owed = { listenerId: listener.id, nodeCode: 'N', operIndex: 1 };
  });

  afterEach(async () => {
    store.beforeCommit = () => Promise.resolve();
    for (const recorder of running.splice(0)) await recorder.stop();
  });

  async function start(options: Partial<RecorderOptions> = {}, clock = systemClock): Promise<Recorder> {
    const recorder = new Recorder({
      broker: queues,
      journalStore: store,
      registry,
      announcer: { recorded: (...recorded) => announce(...recorded) },
      clock,
      steadyClock: { now: () => performance.now() },

      log: silentLog,
      metrics: countingIncidents(),
      options: {
        batchRows: 10,
        batchBytes: 1_000_000,
        flushMs: 20,
        outcomeWaitMs: options.flushMs ?? 20,
        ...options,
      },
      sleep: soon,
    });
    running.push(recorder);
    await recorder.start();
    return recorder;
  }

  it('holds nothing back when the wall clock jumps to an earlier time', async () => {
    let jumpMs = 3_600_000;
    const recorder = await start(
      { batchRows: 100, flushMs: 300, outcomeWaitMs: 300 },
      { now: () => Date.now() + jumpMs },
    );
    const event = freshEvent();
    queues.journal.put(messageOf(event));
    await until('the event is held', () => recorder.lag().oldestMs);
    jumpMs = -3_600_000;
    await until('the event is recorded', () => store.committed.length === 1, 2_000);
  });

  it('lets an event wait longer for its outcomes than complete ones wait for each other', async () => {
    await start({ batchRows: 100, flushMs: 5, outcomeWaitMs: 60_000 });
    const [early, complete] = [freshEvent(), freshEvent()] as [Event, Event];
    for (const event of [early, complete]) queues.journal.put(messageOf(event));
    queues.outcomes.put([outcomeOf(complete, owed, { state: 'succeeded' })]);
    await until('the complete one is recorded', () => store.committed.length === 1);
    expect(store.events).toEqual([complete.eventId]);
    expect(queues.journal.inHand).toBe(1);
  });

  it('waits for outcomes as long as not too much is in hand, and then writes what is complete first', async () => {
    await start({ batchRows: 10, flushMs: 5, outcomeWaitMs: 60_000 });
    const events = Array.from({ length: 45 }, () => freshEvent());
    for (const event of events) queues.journal.put(messageOf(event));
    const complete = events.slice(30);
    queues.outcomes.put(complete.map((event) => outcomeOf(event, owed, { state: 'succeeded' })));
    // Two rows each: the event's, and that of the delivery it is owed.
    await until('the complete ones are written', () => store.committed.length === 3);
    const written = (): string[] => store.committed.flatMap((batch) => batch.events.map(({ event }) => event.eventId));
    expect(written()).toEqual(complete.map(({ eventId }) => eventId));
    const others = Array.from({ length: 25 }, () => freshEvent());
    for (const event of others) queues.journal.put(messageOf(event));
    await until('the oldest are written without their outcomes', () => written().length > complete.length);
    expect(written()[complete.length]).toBe(events[0]?.eventId);
    // What is left, less than five times ten events, is not too much.
    expect(written().length).toBeLessThanOrEqual(complete.length + 10);
  });

  it('writes an event with its outcomes in one batch and acks only after the commit', async () => {
    let commit: () => void = () => undefined;
    store.beforeCommit = () =>
      new Promise((resolve) => {
        commit = resolve;
      });
    await start();
    const event = freshEvent();
    const outcome = outcomeOf(event, owed, { state: 'succeeded' });
    queues.journal.put(messageOf(event));
    queues.outcomes.put([outcome]);
    await until('the batch is written', () => store.writing.length === 1);
    expect(store.writing).toEqual([{ events: [{ event, owed: [owed], scheduled: false }], outcomes: [outcome] }]);
    expect([queues.journal.acked, queues.outcomes.acked]).toEqual([[], []]);
    commit();
    await until('both are acked', () => queues.journal.acked.length + queues.outcomes.acked.length === 2);
  });

  it('refuses outcomes of a listener that is of another node', async () => {
    await start();
    const event = freshEvent();
    const stranger = registry.add(aListener('M', TYPE));
    queues.outcomes.put([
      outcomeOf(event, { ...owed, nodeCode: 'M', listenerId: stranger.id }, { state: 'succeeded' }),
      outcomeOf(event, { ...owed, nodeCode: 'M' }, { state: 'succeeded' }),
    ]);
    const unknown = outcomeOf(event, { ...owed, listenerId: event.eventId }, { state: 'succeeded' });
    queues.outcomes.put([unknown]);
    queues.outcomes.put([outcomeOf(event, { ...owed, nodeCode: 'M' }, { state: 'succeeded' })]);
    await until('what is in its place is recorded', () => store.committed.flatMap((one) => one.outcomes).length === 2);
    expect(store.committed.flatMap(({ outcomes }) => outcomes.map(({ listenerId }) => listenerId)).sort()).toEqual(
      [stranger.id, unknown.listenerId].sort(),
    );
    expect([...store.unreadable.values()]).toEqual([UNSTORABLE + MISPLACED]);
    expect(queues.outcomes.dead.map(({ reason }) => reason)).toEqual([MISPLACED]);
  });

  it('lets what failed be announced after the commit and before the ack, but not what was refused', async () => {
    const event = freshEvent();
    const [failed, refused] = [1, 2].map(() => outcomeOf(event, owed, { state: 'failed' }));
    store.refused.add(refused!.outcomeId);
    const told: unknown[] = [];
    announce = (outcomes, events) => {
      expect(store.committed).toHaveLength(1);
      expect(queues.outcomes.acked).toEqual([]);
      told.push([outcomes, events]);
      return Promise.resolve();
    };
    await start();
    queues.journal.put(messageOf(event));
    queues.outcomes.put([failed!, refused!]);
    await until('it is settled', () => queues.outcomes.dead.length === 1);
    expect(told).toEqual([[[failed], [event]]]);
  });

  it('gives back what could not be announced, and announces it when the store is back', async () => {
    const event = freshEvent();
    let announced = 0;
    announce = () => {
      announced += 1;
      return announced === 1
        ? Promise.reject(new EventCenterError('UNAVAILABLE', 'nobody takes it'))
        : Promise.resolve();
    };
    await start();
    queues.outcomes.put([outcomeOf(event, owed, { state: 'failed' })]);
    await until('it is acked', () => queues.outcomes.acked.length === 1);
    expect([announced, store.committed.length]).toEqual([2, 2]);
  });

  it('lets an event wait for its outcomes while others that have theirs leave', async () => {
    await start({ batchRows: 4, flushMs: 60_000 });
    const [early, ...events] = [freshEvent(), freshEvent(), freshEvent()] as [Event, Event, Event];
    for (const event of [early, ...events]) queues.journal.put(messageOf(event));
    queues.outcomes.put(events.map((event) => outcomeOf(event, owed, { state: 'succeeded' })));
    await until('the complete ones are recorded', () => store.committed.length === 1);
    expect(store.events).toEqual(events.map(({ eventId }) => eventId));
    expect(queues.journal.inHand).toBe(1);
  });

  it('writes what has waited long enough without its outcomes', async () => {
    await start({ batchRows: 100, flushMs: 5 });
    queues.journal.put(messageOf(freshEvent()));
    await until('it is recorded', () => queues.journal.acked.length === 1);
  });

  it('owes an event to disabled listeners too, and a scheduled one to nobody before its release', async () => {
    registry.edit(owed.listenerId, { enabled: false });
    await start({ flushMs: 1 });
    const event = freshEvent();
    const scheduled = freshEvent({ deliverAt: Date.now() + 60_000 });
    queues.journal.put(messageOf(event));
    queues.journal.put(messageOf(scheduled));
    await until('both are recorded', () => queues.journal.acked.length === 2);
    queues.journal.put(messageOf(scheduled, true));
    await until('the released one is recorded', () => queues.journal.acked.length === 3);
    expect(store.committed.flatMap(({ events }) => events).map((one) => [one.scheduled, one.owed.length])).toEqual([
      [false, 1],
      [true, 0],
      [false, 1],
    ]);
  });

  it('never writes an event in two transactions at a time, and others in two', async () => {
    const releases: (() => void)[] = [];
    store.beforeCommit = () => new Promise((resolve) => releases.push(resolve));
    await start({ batchRows: 2, flushMs: 1 });
    const [first, second] = [freshEvent(), freshEvent()];
    queues.journal.put(messageOf(first));
    await until('the first is being written', () => store.writing.length === 1);
    queues.outcomes.put([outcomeOf(first, owed, { state: 'succeeded' })]);
    queues.journal.put(messageOf(second));
    await until('the second is being written beside it', () => store.writing.length === 2);
    expect(store.writing.flatMap(({ outcomes }) => outcomes)).toEqual([]);
    for (const release of releases.splice(0)) release();
    await until('the outcome follows', () => store.writing.some(({ outcomes }) => outcomes.length === 1));
    for (const release of releases.splice(0)) release();
    await until('all is acked', () => queues.outcomes.acked.length === 1 && queues.journal.acked.length === 2);
  });

  it('gives everything back while the database is away, takes nothing, and goes on when it is back', async () => {
    const recorder = await start({ batchRows: 6, flushMs: 5 });
    store.away = true;
    const events = Array.from({ length: 20 }, () => freshEvent());
    for (const event of events) queues.journal.put(messageOf(event));
    await until('nothing is in hand', () => queues.journal.inHand === 0 && queues.journal.depth === 20);
    expect([queues.journal.paused, queues.outcomes.paused]).toEqual([true, true]);
    expect(recorder.lag().databaseAway).toBe(true);
    expect(recorder.isBehind()).toBe(true);
    expect(queues.journal.acked).toEqual([]);
    store.away = false;
    await until('all are acked', () => queues.journal.acked.length === 20);
    expect(new Set(store.events)).toEqual(new Set(events.map(({ eventId }) => eventId)));
    expect(recorder.lag().databaseAway).toBe(false);
  });

  it('dead-letters what the database refuses, listed under failures, and acks the rest', async () => {
    await start({ batchRows: 100, flushMs: 5 });
    const [good, bad] = [freshEvent(), freshEvent()];
    const outcomes = [good, bad].map((event) => outcomeOf(event, owed, { state: 'succeeded' }));
    const other = outcomeOf(good, { ...owed, listenerId: bad.eventId }, { state: 'succeeded' });
    store.refused.add(bad.eventId).add(outcomes[1]?.outcomeId ?? '');
    for (const event of [good, bad]) queues.journal.put(messageOf(event));
    queues.outcomes.put(outcomes);
    queues.outcomes.put([other]);
    await until('all are settled', () => queues.journal.inHand + queues.outcomes.inHand === 0);
    expect(queues.journal.acked.map(({ event }) => event.eventId)).toEqual([good.eventId]);
    expect(queues.journal.dead).toMatchObject([{ message: { event: bad }, reason: `${UNSTORABLE}too long` }]);
    expect(queues.outcomes.dead).toMatchObject([{ reason: `${UNSTORABLE}too long` }]);
    expect(queues.outcomes.acked).toEqual([[other]]);
    expect([...store.unreadable.values()]).toEqual([`${UNSTORABLE}too long`, `${UNSTORABLE}too long`]);
  });

  it('gives back an event whose registry version is not known yet, without holding up others', async () => {
    await start({ flushMs: 1 });
    const [early, known] = [freshEvent({ registryVersion: 99 }), freshEvent()];
    queues.journal.put(messageOf(early));
    queues.journal.put(messageOf(known));
    await until('the other is recorded', () => queues.journal.acked.length === 1);
    expect(store.events).toEqual([known.eventId]);
    registry.version = 99;
    await until('it is recorded too', () => queues.journal.acked.length === 2);
  });

  it('records events of a version that the store does not know, however many, and those behind them', async () => {
    registry.forVersion = () => registry.refreshed();
    await start({ flushMs: 1 });
    for (let i = 0; i < 100; i += 1) queues.journal.put(messageOf(freshEvent({ registryVersion: 2 ** 53 - 1 })));
    const last = freshEvent();
    queues.journal.put(messageOf(last));
    await until('all are recorded', () => queues.journal.acked.length === 101);
    expect(store.committed.flatMap(({ events }) => events).every((one) => one.owed.length === 1)).toBe(true);
    expect(store.events).toContain(last.eventId);
  });

  it('takes a message with more outcomes than a call takes arguments', async () => {
    await start();
    const one = outcomeOf(freshEvent(), owed, { state: 'succeeded' });
    queues.outcomes.put(Array.from({ length: 150_000 }, () => one));
    await until('all are recorded', () => queues.outcomes.acked.length === 1);
    expect(store.outcomeIds).toHaveLength(150_000);
  });

  it('pauses when it holds too many bytes, and goes on', async () => {
    let release: () => void = () => undefined;
    store.beforeCommit = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    await start({ batchBytes: 1_000, flushMs: 1, maxFlights: 1 });
    for (let i = 0; i < 20; i += 1) queues.journal.put(messageOf(freshEvent()), 1_000);
    await until('it pauses', () => queues.journal.paused);
    expect(queues.journal.acked).toEqual([]);
    store.beforeCommit = () => Promise.resolve();
    release();
    await until('all are acked', () => queues.journal.acked.length === 20);
    expect(queues.journal.paused).toBe(false);
  });

  it('writes what is in hand before it stops', async () => {
    const recorder = await start({ batchRows: 100, flushMs: 60_000 });
    const events = Array.from({ length: 7 }, () => freshEvent());
    for (const event of events) queues.journal.put(messageOf(event));
    await until('all are in hand', () => queues.journal.inHand === 7 && recorder.lag().oldestMs !== null);
    await recorder.stop();
    await until('all are acked', () => queues.journal.acked.length === 7);
    expect(store.events).toHaveLength(7);
  });

  it('is behind with something old in hand, and not with an empty queue', async () => {
    const recorder = await start({ flushMs: 1 });
    await until('the depth is known', () => recorder.lag().queued !== null);
    expect(recorder.isBehind()).toBe(false);
    let release: () => void = () => undefined;
    store.beforeCommit = () =>
      new Promise((resolve) => {
        release = resolve;
      });
    queues.journal.put(messageOf(freshEvent({ acceptedAt: Date.now() - 60_000 })));
    await until('it is in hand', () => recorder.lag().oldestMs !== null);
    expect(recorder.lag().oldestMs).toBeGreaterThanOrEqual(60_000);
    expect(recorder.isBehind()).toBe(true);
    release();
    await until('it is recorded', () => recorder.lag().oldestMs === null);
    expect(recorder.isBehind()).toBe(false);
  });

  it('records and acks everything in the end, however often the database goes away', async () => {
    const plan = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 12 }),
      failures: fc.array(fc.boolean(), { maxLength: 12 }),
      batchRows: fc.integer({ min: 1, max: 20 }),
      flushMs: fc.integer({ min: 1, max: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ sizes, failures, batchRows, flushMs }) => {
        queues = new JournalQueues();
        store = new FakeJournalStore();
        const coming = [...failures];
        store.beforeCommit = async () => {
          const fails = coming.shift() === true;
          await new Promise((resolve) => setImmediate(resolve));
          if (fails) throw new Error('the connection was lost');
        };
        const recorder = await start({ batchRows, flushMs });
        const events: Event[] = [];
        const outcomeIds: string[] = [];
        for (const size of sizes) {
          const some = Array.from({ length: size }, () => freshEvent());
          events.push(...some);
          const outcomes = some.map((event) => outcomeOf(event, owed, { state: 'succeeded' }));
          outcomeIds.push(...outcomes.map(({ outcomeId }) => outcomeId));
          queues.outcomes.put(outcomes);
          for (const event of some) queues.journal.put(messageOf(event));
          await new Promise((resolve) => setImmediate(resolve));
        }
        await until(
          'all is acked',
          () => queues.journal.acked.length === events.length && queues.outcomes.acked.length === sizes.length,
        );
        expect(new Set(store.events)).toEqual(new Set(events.map(({ eventId }) => eventId)));
        expect(new Set(store.outcomeIds)).toEqual(new Set(outcomeIds));
        await recorder.stop();
      }),
      { numRuns: 40 },
    );
  });
});
