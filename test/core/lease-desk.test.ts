import type { EventMessage } from '../../src/core/model.js';
import type { LeaseReport, ListenerResult } from '../../src/core/leasing/lease-report.js';
import { received } from '../support/delivery-fakes.js';
import { aPlugin, LeaseSetting } from '../support/leasing.js';
import { aChain } from '../support/messages.js';
import { aNode, anEvent } from '../support/registry-fixtures.js';

let setting: LeaseSetting;
beforeEach(() => {
  setting = new LeaseSetting();
});
afterEach(() => setting.desk.stop());

let events = 0;
const fresh = (over: Partial<EventMessage> = {}): EventMessage => {
  events += 1;
  return { event: anEvent(`e${events}`), chain: null, claimSteps: false, ...over };
};

const result = (listenerId: string, success: boolean, more: Partial<ListenerResult> = {}): ListenerResult => ({
  ...{ listenerId, success, error: success ? null : 'broken', startedAt: null, durationMs: null },
  ...more,
});
const settle = (...reports: LeaseReport[]) => setting.desk.settle('A', reports, 'leases');
const ends = () => setting.broker.outcomes.map((one) => `${one.listenerId} ${one.state} ${one.attempt}`);

describe('leasing', () => {
  it('names the open listeners in order, with the attempt and whether it is the last', async () => {
    const chain = aChain({ settled: ['L1'], listenerId: 'L2', attempt: 3, sequence: 2 });
    const leased = await setting.leaseOne(fresh({ chain }));
    expect(leased.listeners.map(({ listener, attempt, lastAttempt }) => [listener.id, attempt, lastAttempt])).toEqual([
      ['L2', 3, true],
      ['L3', 1, false],
    ]);
    expect(leased.leasedUntil).toBe(setting.clock.time + 2 * 5_000 + 30_000);
    const [kept] = setting.leases.kept.values();
    expect(kept!.lease.successor).toEqual({ ...chain, sequence: 3 });
  });

  it('serves callers in the order in which they came, each up to what it asked for', async () => {
    const first = setting.ask({ max: 2 });
    const second = setting.ask({ max: 2 });
    const consumer = await setting.consumer();
    expect(consumer.options.prefetch).toBe(4);
    const messages = [fresh(), fresh(), fresh()];
    const settlements = messages.map((message) => consumer.give(received(message)));
    const ids = messages.map(({ event }) => event.eventId);
    expect((await first).map(({ event }) => event.eventId)).toEqual(ids.slice(0, 2));
    expect((await second).map(({ event }) => event.eventId)).toEqual(ids.slice(2));
    expect(await Promise.all(settlements)).toEqual(['ack', 'ack', 'ack']);
  });

  it('gives back what nobody asked for, a while after the last caller', async () => {
    const asked = setting.ask({ max: 1 });
    const consumer = await setting.consumer();
    const settlements = [fresh(), fresh()].map((message) => consumer.give(received(message)));
    expect(await asked).toHaveLength(1);
    expect(await Promise.all(settlements)).toEqual(['ack', 'requeue']);
    expect(consumer.paused).toBe(true);
    expect(setting.leases.kept.size).toBe(1);
  });

  it('hands the messages of a caller that has gone to the next', async () => {
    const gone = new AbortController();
    const first = setting.ask({ max: 5 }, gone.signal);
    const second = setting.ask({ max: 5 });
    const consumer = await setting.consumer();
    const settlement = consumer.give(received(fresh()));
    await Promise.resolve();
    gone.abort();
    expect(await first).toEqual([]);
    expect(await second).toHaveLength(1);
    expect(await settlement).toBe('ack');
  });

  it('gives nobody a message that another one has overtaken, or that is leased already', async () => {
    const message = fresh();
    await setting.leaseOne(message, { messageId: 'same' });
    const asked = setting.ask({ waitMs: 400 });
    const consumer = await setting.consumer();
    expect(await consumer.give(received(message, { messageId: 'same', redelivered: true }))).toBe('ack');
    expect(await consumer.give(received({ ...message, claimSteps: true }, { messageId: 'other' }))).toBe('ack');
    expect(await asked).toEqual([]);
    expect(setting.leases.kept.size).toBe(1);
    expect(setting.recorder.incidents).toEqual(['claim.lost']);
  });

  it('closes a message for which nobody is to be run', async () => {
    const asked = setting.ask({ waitMs: 400 });
    const consumer = await setting.consumer();
    setting.register({ listeners: [aPlugin('L1', { enabled: false })] });
    expect(await consumer.give(received(fresh()))).toBe('ack');
    expect(await asked).toEqual([]);
    expect(ends()).toEqual(['L1 skipped 0']);
  });

  it('leases nothing and gives everything back while the store is away', async () => {
    setting.leases.away = true;
    const asked = setting.ask({ max: 1 });
    const settlement = (await setting.consumer()).give(received(fresh()));
    await expect(asked).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await settlement).toBe('requeue');
  });

  it('takes nothing from the queue while store or broker are known to be away', async () => {
    setting.storeProblem = 'the database is away';
    await expect(setting.ask()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'the database is away' });
    setting.storeProblem = null;
    setting.broker.problem = 'not connected';
    await expect(setting.ask()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(setting.broker.subscriptions).toEqual([]);
  });

  it('leaves the queue of a node alone that is disabled, and sends its callers away', async () => {
    const asked = setting.ask();
    const consumer = await setting.consumer();
    setting.register({ listeners: [aPlugin('L1')], nodes: [aNode('A', { enabled: false })] });
    expect(await asked).toEqual([]);
    expect(await consumer.give(received(fresh()))).toBe('requeue');
    expect(consumer.paused).toBe(true);
    expect(await setting.ask()).toEqual([]);
  });

  it('makes no queue for a node without plugins', async () => {
    setting.register({ listeners: [] });
    setting.broker.missingQueues.add('A');
    expect(await setting.ask({ waitMs: 100 })).toEqual([]);
    expect(setting.broker.subscriptions).toEqual([]);
  });

  it('waits until a message is due', async () => {
    const chain = aChain({ dueAt: setting.clock.time + 1_500 });
    const asked = setting.ask({ waitMs: 300 });
    const message = fresh({ chain });
    expect(await (await setting.consumer()).give(received(message))).toBe('ack');
    expect(await asked).toEqual([]);
    expect(setting.broker.successors).toMatchObject([{ queue: { kind: 'plugin' }, message, delayMs: 1_000 }]);
  });

  it('refuses a message for another node', async () => {
    void setting.ask({ waitMs: 200 });
    const settlement = await (await setting.consumer()).give(received(fresh({ chain: aChain({ nodeCode: 'B' }) })));
    expect(settlement).toEqual({ dead: expect.stringContaining('for node B') });
  });

  it('answers those who wait with nothing when it stops', async () => {
    const asked = setting.ask();
    const consumer = await setting.consumer();
    await setting.desk.stop();
    expect(await asked).toEqual([]);
    expect(consumer.stopped).toBe(true);
    expect(await setting.ask()).toEqual([]);
  });
});

describe('settling', () => {
  it('records what was reported, and forgets the lease', async () => {
    const leased = await setting.leaseOne(fresh());
    setting.clock.time += 1_000;
    const times = { startedAt: setting.clock.time - 400, durationMs: 300 };
    const results = [result('L1', true, times), result('L2', true), result('L3', true)];
    expect(await settle({ leaseId: leased.leaseId, results })).toEqual(['OK']);
    expect(ends()).toEqual(['L1 succeeded 1', 'L2 succeeded 1', 'L3 succeeded 1']);
    expect(setting.broker.outcomes[0]).toMatchObject({ ...times, called: true, status: null });
    expect(setting.leases.kept.size).toBe(0);
    expect(setting.recorder.leaseCounts).toEqual({ leased: 1, settled: 1 });
    expect(await settle({ leaseId: leased.leaseId, results })).toEqual(['UNKNOWN']);
    expect(setting.broker.outcomes).toHaveLength(3);
  });

  it('believes no times outside of the lease', async () => {
    const leasedAt = setting.clock.time;
    const leased = await setting.leaseOne(fresh());
    setting.clock.time += 1_000;
    const results = [
      result('L1', true, { startedAt: leasedAt + 3_600_000, durationMs: 100 }),
      result('L2', true, { startedAt: 5, durationMs: 7_000_000 }),
    ];
    await settle({ leaseId: leased.leaseId, results });
    expect(setting.broker.outcomes.map(({ startedAt, durationMs }) => [startedAt - leasedAt, durationMs])).toEqual([
      [900, 100],
      [0, 1_000],
    ]);
  });

  it('retries a failure by the schedule, and leaves the rest for then', async () => {
    const leased = await setting.leaseOne(fresh());
    const results = [result('L1', true), result('L2', false)];
    expect(await settle({ leaseId: leased.leaseId, results })).toEqual(['OK']);
    expect(ends()).toEqual(['L1 succeeded 1', 'L2 retrying 1']);
    expect(setting.broker.outcomes[1]).toMatchObject({ error: 'broken', response: null });
    const [{ message, delayMs, queue }] = setting.broker.successors as [(typeof setting.broker.successors)[0]];
    expect(delayMs).toBe(1_000);
    expect(queue).toEqual({ kind: 'plugin', nodeCode: 'A' });
    expect(message.chain).toMatchObject({ sequence: 1, settled: ['L1'], listenerId: 'L2', attempt: 2 });
  });

  it('hands on at once what was not run', async () => {
    const leased = await setting.leaseOne(fresh());
    await settle({ leaseId: leased.leaseId, results: [result('L1', true)] });
    expect(setting.broker.successors).toMatchObject([
      { delayMs: 0, message: { chain: { sequence: 1, settled: ['L1'], listenerId: 'L2', attempt: 1 } } },
    ]);
  });

  it('gives a lease back of which nothing was run', async () => {
    const leased = await setting.leaseOne(fresh());
    expect(await settle({ leaseId: leased.leaseId, results: [] })).toEqual(['OK']);
    expect(setting.leases.states()).toEqual(['released']);
    expect([setting.broker.outcomes, setting.broker.successors]).toEqual([[], []]);
    expect(setting.recorder.leaseCounts['settled']).toBeUndefined();
  });

  it('changes nothing once the event is others', async () => {
    const message = fresh();
    const leased = await setting.leaseOne(message);
    const position = { eventId: message.event.eventId, nodeCode: 'A', generation: 1 };
    await setting.claims.claim({ ...position, sequence: 1, messageId: 'successor' });
    expect(await settle({ leaseId: leased.leaseId, results: [result('L1', true)] })).toEqual(['EXPIRED']);
    expect(setting.broker.outcomes).toEqual([]);
    expect(setting.leases.kept.size).toBe(0);
  });

  it('tells expired, foreign and unknown leases apart from good ones of the same call', async () => {
    const [old, good] = [await setting.leaseOne(fresh()), await setting.leaseOne(fresh())];
    (setting.leases.kept.get(old.leaseId) as { lease: { leasedUntil: number } }).lease.leasedUntil = 1;
    const results = [result('L1', true)];
    expect(await setting.desk.settle('B', [{ leaseId: good.leaseId, results }], 'leases')).toEqual(['UNKNOWN']);
    const reports = [old.leaseId, 'nobody', good.leaseId].map((leaseId) => ({ leaseId, results }));
    expect(await settle(...reports)).toEqual(['EXPIRED', 'UNKNOWN', 'OK']);
  });

  it('refuses a report that does not fit its lease, and takes nothing of the call', async () => {
    const [one, two] = [await setting.leaseOne(fresh()), await setting.leaseOne(fresh())];
    const fits = { leaseId: one.leaseId, results: [result('L1', true)] };
    const foreign = { leaseId: two.leaseId, results: [result('L1', true), result('L9', true)] };
    await expect(settle(fits, foreign)).rejects.toMatchObject({
      code: 'INVALID_PARAM',
      fields: [{ path: 'leases[1].results[1].listenerId', message: 'expected a listener of this lease' }],
    });
    const gap = { leaseId: two.leaseId, results: [result('L1', true), result('L3', true)] };
    await expect(settle(fits, gap)).rejects.toMatchObject({
      fields: [{ path: 'leases[1].results[1].listenerId', message: expect.stringContaining('before it') }],
    });
    expect(setting.leases.states()).toEqual(['leased', 'leased']);
    expect(await settle(fits)).toEqual(['OK']);
  });

  it('says unavailable while another call settles the same lease, and settles the rest', async () => {
    const [one, two] = [await setting.leaseOne(fresh()), await setting.leaseOne(fresh())];
    setting.leases.kept.get(one.leaseId)!.takenUntil = Infinity;
    const results = [result('L1', true), result('L2', true), result('L3', true)];
    const reports = [one, two].map(({ leaseId }) => ({ leaseId, results }));
    await expect(settle(...reports)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([...setting.leases.kept.keys()]).toEqual([one.leaseId]);
  });

  it('can be repeated when the consequences found no safe place', async () => {
    const leased = await setting.leaseOne(fresh());
    setting.broker.away.add('publishOutcomes');
    setting.parked.away = true;
    const report = { leaseId: leased.leaseId, results: ['L1', 'L2', 'L3'].map((id) => result(id, true)) };
    const settling = settle(report);
    const refused = expect(settling).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await new Promise(setImmediate);
    expect(setting.leases.states()).toEqual(['taken']);
    setting.clock.time += 21_000;
    await refused;
    expect(setting.leases.states()).toEqual(['leased']);
    setting.broker.away.clear();
    expect(await settle(report)).toEqual(['OK']);
    expect(ends()).toEqual(['L1 succeeded 1', 'L2 succeeded 1', 'L3 succeeded 1']);
  });

  it('puts the leases back when the claims cannot be asked', async () => {
    const leased = await setting.leaseOne(fresh());
    setting.claims.away = true;
    await expect(settle({ leaseId: leased.leaseId, results: [] })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(setting.leases.states()).toEqual(['leased']);
  });

  it('fails a plugin for good without asking the circuit breaker', async () => {
    setting.register({
      listeners: [
        aPlugin('L1', { retry: { strategy: 'none', maxAttempts: null, delaysMs: null } }),
        aPlugin('L2', { operIndex: 2 }),
      ],
      nodes: [aNode('A', { onExhausted: 'stop' })],
    });
    for (let n = 0; n < 30; n += 1) {
      const { leaseId, onExhausted, listeners } = await setting.leaseOne(fresh());
      expect([onExhausted, listeners[0]?.lastAttempt]).toEqual(['stop', true]);
      await settle({ leaseId, results: [result('L1', false)] });
    }
    expect(new Set(ends())).toEqual(new Set(['L1 failed 1', 'L2 skipped 0']));
    expect(setting.broker.outcomes).toHaveLength(60);
  });
});

it('releases leases by their node', async () => {
  const leased = await setting.leaseOne(fresh());
  expect(await setting.desk.release('B', [leased.leaseId])).toEqual(['UNKNOWN']);
  expect(await setting.desk.release('A', [leased.leaseId, 'nobody'])).toEqual(['OK', 'UNKNOWN']);
  expect(setting.leases.states()).toEqual(['released']);
});
