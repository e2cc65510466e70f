import { Flow } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const ENDED = ['done', 'cancelled', 'failed'];

describe.each(SURROUNDINGS)('replaying on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind);
  });

  afterAll(() => flow.close());

  it('brings events that nobody listened to to a listener that came later', async () => {
    const type = await flow.eventType();
    const eventIds = [await flow.send(type), await flow.send(type, { tenantCode: 'T-1' }), await flow.send(type)];
    for (const eventId of eventIds) {
      expect(await flow.settled(eventId)).toMatchObject({ state: 'no-listener', deliveries: [] });
    }
    const node = await flow.node();
    const listener = await flow.listener(node, type);
    const ofTenant = await flow.listener(node, type, { tenantCode: 'T-1' });
    const filter = { sourceId: type.sourceId, states: ['no-listener'] };

    const dry = await replay({ filter, dryRun: true });
    expect(await ended(dry.id)).toMatchObject({ state: 'done', dryRun: true, matched: 4, done: 0, failed: 0 });
    expect(flow.stub.calls(listener.path)).toEqual([]);
    expect((await flow.event(eventIds[0]!)).state).toBe('no-listener');

    const real = await replay({ filter });
    expect(await ended(real.id)).toMatchObject({ state: 'done', matched: 4, done: 4, failed: 0 });
    for (const eventId of eventIds) expect((await succeeded(eventId)).state).toBe('succeeded');
    expect(flow.stub.calls(listener.path).map((call) => call.eventId).sort()).toEqual([...eventIds].sort()); // prettier-ignore
    expect(flow.callsOf(eventIds[1]!).map(({ path }) => path)).toEqual([listener.path, ofTenant.path]);
    expect(flow.stub.calls(ofTenant.path)).toHaveLength(1);

    const again = await replay({ filter });
    expect(await ended(again.id)).toMatchObject({ state: 'done', matched: 0, done: 0 });
  });

  it('replays what failed and leaves alone what did not', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const good = await flow.listener(node, type);
    const bad = await flow.listener(node, type, { retry: { strategy: 'none' } });
    flow.stub.answer(bad.path, 'error');
    const eventIds = [await flow.send(type), await flow.send(type)];
    for (const eventId of eventIds) expect((await flow.settled(eventId)).state).toBe('failed');

    flow.stub.answer(bad.path, 'success');
    const begun = await replay({ filter: { nodeCode: node.appId, states: ['failed'] } });
    expect(await ended(begun.id)).toMatchObject({ state: 'done', matched: 2, done: 2, failed: 0 });
    for (const eventId of eventIds) {
      await succeeded(eventId);
      expect(flow.callsOf(eventId).map(({ path, attempt }) => [path, attempt])).toEqual([
        [good.path, 1],
        [bad.path, 1],
        [bad.path, 2],
      ]);
    }
    // What failed once stays in the failure log.
    expect(await flow.client.all(`/failures?listenerId=${bad.id}`)).toHaveLength(2);
  });

  it('keeps to the rate of a replay, shows its progress, and ends it when it is cancelled', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type, { enabled: false });
    const eventIds = new Set<string>();
    while (eventIds.size < 30) eventIds.add(await flow.send(type));
    await until('all are skipped', async () => {
      const skipped = await flow.client.all(`/deliveries?listenerId=${listener.id}&state=skipped`);
      return skipped.length === 30;
    });
    await flow.client.must('PATCH', `/listeners/${listener.id}`, { enabled: true });

    const startedAt = Date.now();
    const { id } = await replay({ filter: { listenerId: listener.id, states: ['skipped'] }, ratePerSecond: 5 });
    const running = await until('four are published', async () => {
      const progress = await flow.client.must('GET', `/replays/${id}`);
      return progress.done >= 4 ? progress : null;
    });
    expect(running).toMatchObject({ state: 'running', matched: 30 });
    expect(running.done).toBeLessThanOrEqual(1 + ((Date.now() - startedAt) * 5) / 1000);
    expect((await flow.client.must('DELETE', `/replays/${id}`)).state).toBe('cancelled');

    const { done } = await ended(id);
    expect(done).toBeLessThan(30);
    const deliveredOf = async (state: string) =>
      (await flow.client.all(`/deliveries?listenerId=${listener.id}&state=${state}`)).length;
    await until('none is under way', async () => (await deliveredOf('pending')) === 0);
    const delivered = await deliveredOf('succeeded');
    // The step under way at the moment of the cancel is not counted any more.
    expect(delivered - done).toBeGreaterThanOrEqual(0);
    expect(delivered - done).toBeLessThanOrEqual(1);
    expect(await deliveredOf('skipped')).toBe(30 - delivered);
    expect(flow.stub.calls(listener.path)).toHaveLength(delivered);
  });

  function replay(body: object): Promise<any> {
    return flow.client.must('POST', '/replays', body);
  }

  function ended(id: string): Promise<any> {
    return until(`replay ${id} is over`, async () => {
      const found = await flow.client.must('GET', `/replays/${id}`);
      return ENDED.includes(found.state) ? found : null;
    });
  }

  function succeeded(eventId: string): Promise<any> {
    return until(`event ${eventId} succeeded`, async () => {
      const event = await flow.event(eventId);
      return event?.state === 'succeeded' ? event : null;
    });
  }
});
