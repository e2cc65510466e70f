import { Flow, RETRY_DELAYS_MS } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

describe.each(SURROUNDINGS)('delivering on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind);
  });

  afterAll(() => flow.close());

  it('calls the listeners of two nodes by operIndex, and lets no slow node hold the other', async () => {
    const type = await flow.eventType();
    const slow = await flow.node();
    const fast = await flow.node();
    const slowLast = await flow.listener(slow, type, { operIndex: 30 });
    const slowFirst = await flow.listener(slow, type, { operIndex: 10 });
    const slowSecond = await flow.listener(slow, type, { operIndex: 20 });
    const fastSecond = await flow.listener(fast, type, { operIndex: 2 });
    const fastFirst = await flow.listener(fast, type, { operIndex: 1 });
    flow.stub.answer(slowFirst.path, { afterMs: 1_000 });
    flow.stub.answer(slowSecond.path, { afterMs: 50 });

    const eventId = await flow.send(type, { tenantCode: 'T-1', userObject: '{"名":"值 &=+%"}' });
    const event = await flow.settled(eventId);

    const calls = flow.callsOf(eventId);
    const pathsOf = (node: string) => calls.map(({ path }) => path).filter((path) => path.startsWith(`/${node}/`));
    expect(pathsOf(slow.appId)).toEqual([slowFirst.path, slowSecond.path, slowLast.path]);
    expect(pathsOf(fast.appId)).toEqual([fastFirst.path, fastSecond.path]);
    const at = (path: string) => calls.find((call) => call.path === path)!.at;
    expect(at(slowSecond.path) - at(slowFirst.path)).toBeGreaterThanOrEqual(1_000);
    expect(at(slowLast.path) - at(slowSecond.path)).toBeGreaterThanOrEqual(50);
    expect(at(fastSecond.path)).toBeLessThan(at(slowSecond.path));
    for (const call of calls) {
      expect(Object.entries(call.fields)).toEqual([
        ['sourceID', type.sourceId],
        ['eventType', type.eventTypeCode],
        ['tenantCode', 'T-1'],
        ['userObject', '{"名":"值 &=+%"}'],
        ['uuid', eventId],
      ]);
      expect(call.attempt).toBe(1);
    }
    expect(event.state).toBe('succeeded');
    expect(event.deliveries.map((one: any) => [one.nodeCode, one.operIndex, one.state, one.attempts]).sort()).toEqual(
      [
        [slow.appId, 10, 'succeeded', 1],
        [slow.appId, 20, 'succeeded', 1],
        [slow.appId, 30, 'succeeded', 1],
        [fast.appId, 1, 'succeeded', 1],
        [fast.appId, 2, 'succeeded', 1],
      ].sort(),
    );
  });

  it('retries a failing listener at its delays and calls the earlier ones once', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const first = await flow.listener(node, type);
    const failing = await flow.listener(node, type);
    const last = await flow.listener(node, type);
    flow.stub.answer(failing.path, ({ attempt }) => (attempt === 1 ? 'error' : attempt === 2 ? 'false' : 'success'));

    const eventId = await flow.send(type);
    expect((await flow.deliveryIn(eventId, failing, 'retrying')).nextAttemptAt).not.toBeNull();
    expect((await flow.settled(eventId)).state).toBe('succeeded');

    const calls = flow.callsOf(eventId);
    expect(calls.map(({ path, attempt }) => [path, attempt])).toEqual([
      [first.path, 1],
      [failing.path, 1],
      [failing.path, 2],
      [failing.path, 3],
      [last.path, 1],
    ]);
    expect(calls[2]!.at - calls[1]!.at).toBeGreaterThanOrEqual(RETRY_DELAYS_MS[0]!);
    expect(calls[3]!.at - calls[2]!.at).toBeGreaterThanOrEqual(RETRY_DELAYS_MS[1]!);
    const delivery = await flow.deliveryIn(eventId, failing, 'succeeded');
    expect(delivery.attempts.map((one: any) => [one.attempt, one.state, one.status]).sort()).toEqual([
      [1, 'retrying', 500],
      [2, 'retrying', 200],
      [3, 'succeeded', 200],
    ]);
  });

  it('waits as long as Retry-After asks', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const listener = await flow.listener(node, type, { retry: { delaysMs: [100, 1_500] } });
    flow.stub.answer(listener.path, ({ attempt }) =>
      attempt === 1 ? { status: 503, body: 'busy', retryAfter: '1' } : 'success',
    );

    const eventId = await flow.send(type);
    await flow.settled(eventId);

    const [refused, repeated] = flow.callsOf(eventId);
    expect(repeated!.at - refused!.at).toBeGreaterThanOrEqual(1_000);
  });

  it('disables a listener that answers 410 and goes on with the chain', async () => {
    const type = await flow.eventType();
    const node = await flow.node({ onExhausted: 'stop' });
    const gone = await flow.listener(node, type);
    const next = await flow.listener(node, type);
    flow.stub.answer(gone.path, 'gone');

    const eventId = await flow.send(type);
    await flow.settled(eventId);

    expect(flow.callsOf(eventId).map(({ path }) => path)).toEqual([gone.path, next.path]);
    expect(await flow.deliveryIn(eventId, gone, 'failed')).toMatchObject({ reason: 'gone', attemptCount: 1 });
    expect((await flow.client.must('GET', `/listeners/${gone.id}`)).enabled).toBe(false);

    const later = await flow.send(type);
    await flow.settled(later);
    expect(flow.callsOf(later).map(({ path }) => path)).toEqual([next.path]);
    expect(await flow.deliveryIn(later, gone, 'skipped')).toMatchObject({ reason: 'listener-disabled' });
  });

  it('lists an exhausted delivery as a failure, goes on behind it, and announces it once', async () => {
    const monitor = await flow.node();
    const announced = await flow.listener(monitor, await builtInType(), { retry: { strategy: 'none' } });
    const type = await flow.eventType();
    const node = await flow.node({ onExhausted: 'continue' });
    const failing = await flow.listener(node, type, { retry: { maxAttempts: 2, delaysMs: [100] } });
    const next = await flow.listener(node, type);
    flow.stub.answer(failing.path, 'error');
    // The announcement fails too, and must not be announced in its turn.
    flow.stub.answer(announced.path, 'error');

    const eventId = await flow.send(type);
    expect((await flow.settled(eventId)).state).toBe('failed');

    expect(flow.callsOf(eventId).map(({ path, attempt }) => [path, attempt])).toEqual([
      [failing.path, 1],
      [failing.path, 2],
      [next.path, 1],
    ]);
    const failures = await flow.client.all(`/failures?eventId=${eventId}`);
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatchObject({
      kind: 'delivery',
      reason: 'exhausted',
      listenerId: failing.id,
      nodeCode: node.appId,
      attempts: 2,
      lastStatus: 500,
      lastResponse: 'out of order',
    });
    const about = () =>
      flow.stub.calls(announced.path).filter((call) => JSON.parse(call.fields['userObject']!).eventId === eventId);
    const [announcement] = await until('the failure is announced', () => (about().length > 0 ? about() : null));
    expect(announcement!.fields).toMatchObject({ sourceID: 'EVENT_CENTER', eventType: 'DELIVERY_EXHAUSTED' });
    expect(JSON.parse(announcement!.fields['userObject']!)).toEqual({
      eventId,
      listenerId: failing.id,
      nodeCode: node.appId,
      attempts: 2,
      lastStatus: 500,
      lastError: failures[0].lastError,
    });
    expect((await flow.settled(announcement!.eventId)).state).toBe('failed');
    const aboutAnnouncement = flow.stub
      .calls(announced.path)
      .filter((call) => JSON.parse(call.fields['userObject']!).eventId === announcement!.eventId);
    expect(aboutAnnouncement).toEqual([]);
    expect(about()).toHaveLength(1);
  });

  it('skips the rest of a chain that stops, and runs it after a retry by hand', async () => {
    const type = await flow.eventType();
    const node = await flow.node({ onExhausted: 'stop' });
    const first = await flow.listener(node, type);
    const failing = await flow.listener(node, type, { retry: { strategy: 'none' } });
    const last = await flow.listener(node, type);
    flow.stub.answer(failing.path, 'error');

    const eventId = await flow.send(type);
    expect((await flow.settled(eventId)).state).toBe('failed');
    expect(await flow.deliveryIn(eventId, last, 'skipped')).toMatchObject({ reason: 'chain-stopped', attemptCount: 0 });
    expect(flow.callsOf(eventId, last)).toEqual([]);

    flow.stub.answer(failing.path, 'success');
    await flow.client.must('POST', `/deliveries/${eventId}/${failing.id}/retry`);
    expect((await until('it succeeded', async () => succeeded(await flow.event(eventId)))).deliveries).toHaveLength(3);
    expect(flow.callsOf(eventId).map(({ path, attempt }) => [path, attempt])).toEqual([
      [first.path, 1],
      [failing.path, 1],
      [failing.path, 2],
      [last.path, 1],
    ]);
  });

  it('skips a disabled listener and delivers to it by a replay once it is enabled', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const disabled = await flow.listener(node, type, { enabled: false });
    const other = await flow.listener(node, type);

    const eventId = await flow.send(type);
    await flow.settled(eventId);
    expect(await flow.deliveryIn(eventId, disabled, 'skipped')).toMatchObject({ reason: 'listener-disabled' });
    expect(flow.callsOf(eventId).map(({ path }) => path)).toEqual([other.path]);

    await flow.client.must('PATCH', `/listeners/${disabled.id}`, { enabled: true });
    const filter = { listenerId: disabled.id, states: ['skipped'] };
    await flow.client.must('POST', '/replays', { filter });
    await flow.deliveryIn(eventId, disabled, 'succeeded');
    expect(flow.callsOf(eventId).map(({ path }) => path)).toEqual([other.path, disabled.path]);
  });

  it('keeps the events of a disabled node and delivers them once it is enabled', async () => {
    const type = await flow.eventType();
    const waiting = await flow.node();
    const running = await flow.node();
    const listener = await flow.listener(waiting, type);
    const other = await flow.listener(running, type);
    await flow.client.must('PATCH', `/nodes/${waiting.appId}`, { enabled: false });

    const eventIds = [await flow.send(type), await flow.send(type), await flow.send(type)];
    await flow.stub.waitForCalls(3, other.path);
    const waits = `{node="${waiting.appId}",kind="url"}`;
    await until(
      'the queue holds them',
      async () => (await flow.metric('event_center_node_queue_depth')).get(waits) === 3,
    );
    for (const eventId of eventIds) await flow.deliveryIn(eventId, listener, 'pending');
    expect(flow.stub.calls(listener.path)).toEqual([]);

    await flow.client.must('PATCH', `/nodes/${waiting.appId}`, { enabled: true });
    for (const eventId of eventIds) await flow.settled(eventId);
    const received = flow.stub.calls(listener.path).map((call) => call.eventId);
    expect(received.sort()).toEqual(eventIds.sort());
  });

  it('cancels a delivery that waits for its retry, and calls the listener behind it', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const failing = await flow.listener(node, type, { retry: { delaysMs: [60_000] } });
    const next = await flow.listener(node, type);
    flow.stub.answer(failing.path, 'error');

    const eventId = await flow.send(type);
    await flow.deliveryIn(eventId, failing, 'retrying');
    expect(flow.callsOf(eventId, next)).toEqual([]);
    await flow.client.must('POST', `/deliveries/${eventId}/${failing.id}/cancel`);

    const event = await flow.settled(eventId);
    expect(event.state).toBe('succeeded');
    expect(await flow.deliveryIn(eventId, failing, 'cancelled')).toMatchObject({ attemptCount: 1 });
    expect(flow.callsOf(eventId).map(({ path }) => path)).toEqual([failing.path, next.path]);
    const again = await flow.client.call('POST', `/deliveries/${eventId}/${failing.id}/cancel`);
    expect([again.status, again.body.code]).toEqual([409, 'CONFLICT']);
  });

  it('retries a waiting delivery at once by hand, and the message that waited does nothing', async () => {
    const DELAY_MS = 2_000;
    const type = await flow.eventType();
    const node = await flow.node();
    const failing = await flow.listener(node, type, { retry: { delaysMs: [DELAY_MS] } });
    const next = await flow.listener(node, type);
    flow.stub.answer(failing.path, ({ attempt }) => (attempt === 1 ? 'error' : 'success'));
    const stale = async () => (await flow.metric('event_center_incidents_total')).get('{name="claim.stale"}') ?? 0;
    const staleBefore = await stale();

    const eventId = await flow.send(type);
    await flow.deliveryIn(eventId, failing, 'retrying');
    await flow.client.must('POST', `/deliveries/${eventId}/${failing.id}/retry`);
    await flow.settled(eventId);
    const [first, second] = flow.callsOf(eventId);
    expect(second!.at - first!.at).toBeLessThan(DELAY_MS);

    await until('the message that waited was put aside', async () => (await stale()) > staleBefore);
    expect(flow.callsOf(eventId).map(({ path, attempt }) => [path, attempt])).toEqual([
      [failing.path, 1],
      [failing.path, 2],
      [next.path, 1],
    ]);
  });

  it('closes the delivery of a listener that is deleted while it waits, and goes on behind it', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const failing = await flow.listener(node, type, { retry: { delaysMs: [2_000] } });
    const next = await flow.listener(node, type);
    flow.stub.answer(failing.path, 'error');

    const eventId = await flow.send(type);
    await flow.deliveryIn(eventId, failing, 'retrying');
    await flow.client.must('DELETE', `/listeners/${failing.id}`);

    expect((await flow.settled(eventId)).state).toBe('succeeded');
    const closed = { reason: 'listener-deleted', attemptCount: 1 };
    expect(await flow.deliveryIn(eventId, failing, 'cancelled')).toMatchObject(closed);
    expect(flow.callsOf(eventId).map(({ path }) => path)).toEqual([failing.path, next.path]);
  });

  it('calls a node no faster than its rate', async () => {
    const RATE = 5;
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node({ deliverRateLimit: RATE }), type);

    const eventIds = await Promise.all(Array.from({ length: 2 * RATE }, () => flow.send(type)));
    for (const eventId of eventIds) await flow.settled(eventId);

    const calls = flow.stub.calls(listener.path);
    expect(calls).toHaveLength(2 * RATE);
    // A second's worth may come at once.
    expect(calls.at(-1)!.at - calls[0]!.at).toBeGreaterThanOrEqual(900);
  });

  it('keeps the events of plugins for the process of their node', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const plugin = await flow.listener(node, type, { url: null, implClassName: 'com.example.Plugin' });
    const url = { name: 'url', nodeCode: node.appId, eventTypeId: type.id, url: flow.stub.url('/mixed') };
    expect((await flow.client.call('POST', '/listeners', url)).status).toBe(409);

    const eventId = await flow.send(type);
    await flow.deliveryIn(eventId, plugin, 'pending');
    const waits = `{node="${node.appId}",kind="plugin"}`;
    expect((await flow.metric('event_center_node_queue_depth')).get(waits)).toBe(1);
    await flow.client.must('POST', `/deliveries/${eventId}/${plugin.id}/cancel`);
    expect((await flow.settled(eventId)).state).toBe('skipped');
  });

  async function builtInType() {
    const [type] = await flow.client.all('/event-types?sourceId=EVENT_CENTER&eventTypeCode=DELIVERY_EXHAUSTED');
    return type;
  }
});

function succeeded(event: any): any {
  return event?.state === 'succeeded' ? event : null;
}
