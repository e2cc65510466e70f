import { Flow, RETRY_DELAYS_MS, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';
import { PluginCaller, type LeasedEvent } from '../support/plugin-caller.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

/** Delays of the built-in schedule: three attempts. */
const ATTEMPTS = RETRY_DELAYS_MS.length + 1;

interface Place {
  node: FlowNode;
  type: FlowType;
  listeners: FlowListener[];
  caller: PluginCaller;
}

describe.each(SURROUNDINGS)('leasing on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind, { EVENT_CENTER_JOURNAL_DUE_INTERVAL_MS: '50' });
  });

  afterAll(() => flow.close());

  async function place(count = 1, fields: Record<string, unknown> = {}): Promise<Place> {
    const node = await flow.node(fields);
    const type = await flow.eventType();
    const listeners: FlowListener[] = [];
    for (let n = 1; n <= count; n += 1) {
      const plugin = { url: undefined, implClassName: `com.example.Plugin${n}` };
      listeners.push(await flow.listener(node, type, plugin));
    }
    return { node, type, listeners, caller: new PluginCaller(() => flow.centre.url, node) };
  }

  /** Leases until `count` events have come; every one may come once only. */
  async function leaseAll(caller: PluginCaller, count: number, fields = {}): Promise<LeasedEvent[]> {
    const leased: LeasedEvent[] = [];
    await until(`${count} events were leased`, async () => {
      leased.push(...(await caller.lease({ max: '100', waitMs: '1000', ...fields })));
      return leased.length >= count;
    });
    return leased;
  }

  const allSucceed = () => null;

  it('runs fifty events through three plugins in order, with retries, failures and what follows', async () => {
    const { type, listeners, caller } = await place(3);
    const eventIds = await Promise.all(Array.from({ length: 50 }, (_, n) => flow.send(type, { userObject: `${n}` })));
    const runs = new Map<string, string[]>();
    // The second plugin fails: at each tenth event for ever, at each other fifth one once.
    const run = (listener: LeasedEvent['listeners'][number], lease: LeasedEvent): string | null => {
      const { eventId, userObject } = lease.event;
      runs.set(eventId, [...(runs.get(eventId) ?? []), `${listener.operIndex}.${listener.attempt}`]);
      if (listener.operIndex !== 2) return null;
      const n = Number(userObject);
      if (n % 10 === 0) return 'the ledger is closed';
      return n % 5 === 0 && listener.attempt === 1 ? 'the ledger is busy' : null;
    };
    await until('every event was settled', async () => {
      const leased = await caller.lease({ max: '20', waitMs: '300' });
      if (leased.length > 0) {
        const reports = leased.map((lease) => PluginCaller.report(lease, run));
        expect(await caller.settle(reports)).toEqual(leased.map(() => 'OK'));
      }
      const done = [...runs.values()].filter((all) => all.at(-1)?.startsWith('3.'));
      return done.length === 50;
    });
    for (const [n, eventId] of eventIds.entries()) {
      const always = Array.from({ length: ATTEMPTS }, (_, index) => `2.${index + 1}`);
      const second = n % 10 === 0 ? always : n % 5 === 0 ? ['2.1', '2.2'] : ['2.1'];
      expect([n, runs.get(eventId)]).toEqual([n, ['1.1', ...second, '3.1']]);
    }
    const failed = await flow.settled(eventIds[10]!);
    expect(failed.state).toBe('failed');
    expect(failed.deliveries.map((one: any) => [one.operIndex, one.state, one.attempts, one.lastError])).toEqual([
      [1, 'succeeded', 1, null],
      [2, 'failed', ATTEMPTS, 'the ledger is closed'],
      [3, 'succeeded', 1, null],
    ]);
    const [failure] = (await flow.client.must('GET', `/failures?eventId=${eventIds[10]!}`)).items;
    expect(failure).toMatchObject({
      listenerId: listeners[1]!.id,
      reason: 'exhausted',
      lastError: 'the ledger is closed',
    });
    const retried = await flow.deliveryIn(eventIds[5]!, listeners[1]!, 'succeeded');
    const attempts = retried.attempts.map((one: any) => [one.attempt, one.state, one.error]);
    expect(attempts).toEqual([
      [1, 'retrying', 'the ledger is busy'],
      [2, 'succeeded', null],
    ]);
    const [failedAt, succeededAt] = retried.attempts.map((one: any) => Date.parse(one.startedAt));
    expect(succeededAt - failedAt).toBeGreaterThanOrEqual(RETRY_DELAYS_MS[0]!);
  });

  it('skips the rest behind an exhausted plugin of a node that stops', async () => {
    const { type, caller, node } = await place(0, { onExhausted: 'stop' });
    const plugin = { url: undefined, retry: { strategy: 'none' } };
    const first = await flow.listener(node, type, { ...plugin, implClassName: 'A' });
    const second = await flow.listener(node, type, { ...plugin, implClassName: 'B' });
    const eventId = await flow.send(type);
    const [lease] = await leaseAll(caller, 1);
    expect(lease).toMatchObject({ onExhausted: 'stop', listeners: [{ lastAttempt: true }, { implClassName: 'B' }] });
    const report = PluginCaller.report(lease!, () => 'broken');
    expect(report.results).toHaveLength(1);
    expect(await caller.settle([report])).toEqual(['OK']);
    expect(await flow.deliveryIn(eventId, first, 'failed')).toMatchObject({ reason: 'exhausted', lastError: 'broken' });
    expect(await flow.deliveryIn(eventId, second, 'skipped')).toMatchObject({ reason: 'chain-stopped' });
  });

  it('gives an event again when its lease has expired, and lets a late report change nothing', async () => {
    const { type, listeners, caller } = await place(1);
    const eventId = await flow.send(type);
    const [first] = await leaseAll(caller, 1, { leaseMs: '1000' });
    expect(await caller.lease({ waitMs: '0' })).toEqual([]);
    const [again] = await leaseAll(caller, 1);
    expect(again!.event).toEqual(first!.event);
    expect(again!.listeners).toEqual(first!.listeners);
    expect(await caller.settle([PluginCaller.report(first!, () => 'too late')])).toEqual(['EXPIRED']);
    expect(await caller.release([first!.leaseId])).toEqual(['EXPIRED']);
    expect(await caller.settle([PluginCaller.report(again!, allSucceed)])).toEqual(['OK']);
    expect(await caller.settle([PluginCaller.report(again!, allSucceed)])).toEqual(['UNKNOWN']);
    expect(await flow.deliveryIn(eventId, listeners[0]!, 'succeeded')).toMatchObject({ lastError: null });
    expect((await flow.metric('event_center_leases_total')).get('{result="expired"}')).toBeGreaterThanOrEqual(1);
  });

  it('gives a released event again at once, and what was not run too', async () => {
    const { type, listeners, caller } = await place(2);
    const eventId = await flow.send(type);
    const [released] = await leaseAll(caller, 1);
    expect(await caller.release([released!.leaseId])).toEqual(['OK']);
    expect(await caller.release([released!.leaseId])).toEqual(['UNKNOWN']);
    const [empty] = await leaseAll(caller, 1);
    expect(await caller.settle([{ leaseId: empty!.leaseId, results: [] }])).toEqual(['OK']);
    const [half] = await leaseAll(caller, 1);
    const report = PluginCaller.report(half!, allSucceed);
    expect(await caller.settle([{ ...report, results: report.results.slice(0, 1) }])).toEqual(['OK']);
    const [rest] = await leaseAll(caller, 1);
    expect(rest!.listeners).toMatchObject([{ listenerId: listeners[1]!.id, attempt: 1 }]);
    expect(await caller.settle([PluginCaller.report(rest!, allSucceed)])).toEqual(['OK']);
    const event = await flow.settled(eventId);
    expect(event.deliveries).toMatchObject([
      { state: 'succeeded', attempts: 1 },
      { state: 'succeeded', attempts: 1 },
    ]);
  });

  it('shares the events among two callers, each event to one of them', async () => {
    const { type, caller } = await place(1);
    const counts = [0, 0];
    const seen: string[] = [];
    let sent = false;
    const pull = async (which: number): Promise<void> => {
      for (let left = 3; left > 0;) {
        const leased = await caller.lease({ max: '1', waitMs: '500' });
        if (leased.length === 0) left -= sent ? 1 : 0;
        else await caller.settle(leased.map((lease) => PluginCaller.report(lease, allSucceed)));
        counts[which]! += leased.length;
        seen.push(...leased.map(({ event }) => event.eventId));
      }
    };
    const pulls = [pull(0), pull(1)];
    const eventIds = await Promise.all(Array.from({ length: 20 }, () => flow.send(type)));
    sent = true;
    await Promise.all(pulls);
    expect(seen.sort()).toEqual(eventIds.sort());
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(5);
  });

  it('gives the events of a caller that hung up to the next', async () => {
    const { type, caller } = await place(1);
    const gone = new AbortController();
    const hungUp = caller.lease({ waitMs: '20000' }, gone.signal);
    hungUp.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 200));
    gone.abort();
    await expect(hungUp).rejects.toThrow();
    const eventId = await flow.send(type);
    const [lease] = await leaseAll(caller, 1);
    expect(lease!.event.eventId).toBe(eventId);
    await caller.settle([PluginCaller.report(lease!, allSucceed)]);
  });

  it('closes what needs no run: disabled and deleted listeners', async () => {
    const { type, listeners, caller } = await place(3);
    const [first, second, third] = listeners as [FlowListener, FlowListener, FlowListener];
    const eventIds = [await flow.send(type), await flow.send(type)];
    const [lease] = await caller.lease({ max: '1' });
    await flow.client.must('PATCH', `/listeners/${third.id}`, { enabled: false });
    await flow.client.must('DELETE', `/listeners/${second.id}`);
    const report = PluginCaller.report(lease!, allSucceed);
    expect(await caller.settle([report])).toEqual(['OK']);
    await flow.client.must('PATCH', `/listeners/${first.id}`, { enabled: false });
    // The second event has nobody left to be run, so that it is closed and not given.
    expect(await caller.lease({ waitMs: '2000' })).toEqual([]);
    const states = await Promise.all(
      eventIds.map(async (eventId) => (await flow.settled(eventId)).deliveries.map((one: any) => one.state)),
    );
    // What was run while it was leased has succeeded, also where its listener was disabled meanwhile.
    expect(states.flat().sort()).toEqual(['cancelled', 'cancelled', 'skipped', 'skipped', 'succeeded', 'succeeded']);
  });

  it('answers those who wait when it stops, and settles after a restart what was leased before', async () => {
    const { type, listeners, caller } = await place(1);
    const eventId = await flow.send(type);
    const [lease] = await leaseAll(caller, 1);
    const waiting = caller.lease({ waitMs: '30000' });
    await new Promise((resolve) => setTimeout(resolve, 200));
    const stoppingAt = Date.now();
    const stopped = flow.centre.stop();
    expect(await waiting).toEqual([]);
    expect(Date.now() - stoppingAt).toBeLessThan(2_000);
    await stopped;
    await flow.startCentre();
    expect(await caller.settle([PluginCaller.report(lease!, allSucceed)])).toEqual(['OK']);
    await flow.deliveryIn(eventId, listeners[0]!, 'succeeded');
  });

  it('loses nothing when it is killed between lease and settle', async () => {
    const { type, caller } = await place(1);
    const eventIds = await Promise.all(Array.from({ length: 10 }, () => flow.send(type)));
    const leased = await leaseAll(caller, 10, { leaseMs: '3000' });
    await flow.centre.kill();
    await flow.startCentre();
    const codes = await caller.settle(leased.slice(0, 5).map((lease) => PluginCaller.report(lease, allSucceed)));
    const lost = leased.filter((_, index) => index >= 5 || codes[index] !== 'OK');
    const again = await leaseAll(caller, lost.length);
    expect(again.map(({ event }) => event.eventId).sort()).toEqual(lost.map(({ event }) => event.eventId).sort());
    await caller.settle(again.map((lease) => PluginCaller.report(lease, allSucceed)));
    for (const eventId of eventIds) expect((await flow.settled(eventId)).state).toBe('succeeded');
  });

  // The embedded broker has one process only.
  if (kind === 'RabbitMQ and MariaDB') {
    it('settles at one process what another one gave, and does neither in a worker', async () => {
      const { node, type, listeners, caller } = await place(1);
      const api = await flow.startAnother({ EVENT_CENTER_ROLE: 'api' });
      const worker = await flow.startAnother({ EVENT_CENTER_ROLE: 'worker' });
      const other = new PluginCaller(() => api.url, node);
      const eventIds = [await flow.send(type), await flow.send(type)];
      const given = await leaseAll(other, 2);
      await api.kill();
      const reports = given.map((lease) => PluginCaller.report(lease, allSucceed));
      expect(await caller.settle(reports)).toEqual(['OK', 'OK']);
      for (const eventId of eventIds) await flow.deliveryIn(eventId, listeners[0]!, 'succeeded');
      const answer = await fetch(`${worker.url}/event/eventmanager/lease.do`, { method: 'POST' });
      expect(answer.status).toBe(404);
    });
  }

  it('settles a hundred leases in one call without waiting for each', async () => {
    const { type, caller } = await place(3);
    await Promise.all(Array.from({ length: 100 }, () => flow.send(type)));
    const leased = await leaseAll(caller, 100);
    const startedAt = Date.now();
    const codes = await caller.settle(leased.map((lease) => PluginCaller.report(lease, allSucceed)));
    expect(Date.now() - startedAt).toBeLessThan(2_000);
    expect(new Set(codes)).toEqual(new Set(['OK']));
  });
});
