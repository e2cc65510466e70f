import { Flow, type FlowListener, type FlowType } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const EVENTS = 300;
const CONCURRENCY = 8;
const LISTENER_MS = 20;
const SENDERS = 8;

describe.each(SURROUNDINGS)('restarting on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind);
  });

  afterAll(() => flow.close(/"message":"dead\.unreadable"/));

  it('ends in order amid events: nothing is lost and nothing repeated', async () => {
    const { type, listeners } = await slowChain();
    const waiting = await flow.eventType();
    const failing = await flow.listener(await flow.node(), waiting, { retry: { delaysMs: [3_000] } });
    flow.stub.answer(failing.path, ({ attempt }) => (attempt === 1 ? 'error' : 'success'));
    const retried = await flow.send(waiting);
    await flow.deliveryIn(retried, failing, 'retrying');
    const scheduledType = await flow.eventType();
    const deliverAt = Date.now() + 1_000;
    const scheduled = await flow.send(scheduledType, { deliverAt: String(deliverAt) });
    const scheduledListener = await flow.listener(await flow.node(), scheduledType);
    const accepted = new Set<string>();
    const sending = sendUntil(type, () => accepted.size >= EVENTS, (eventId) => accepted.add(eventId)); // prettier-ignore

    await flow.stub.waitForCalls(EVENTS / 3, listeners[1]!.path);
    expect(await flow.centre.stop()).toBe(0);
    await until('the scheduled event is overdue', () => Date.now() > deliverAt);
    await flow.startCentre();
    await sending;

    // An event whose answer was lost would be recorded too: every request was answered before the end.
    await until(`${accepted.size} events succeeded`, async () => (await recorded(type, 'succeeded')).length >= EVENTS);
    expect((await recorded(type)).sort()).toEqual([...accepted].sort());
    const calls = callsByEvent(listeners);
    const inOrder = listeners.map(({ path }) => path);
    expect([...calls.values()].filter((paths) => paths.join() !== inOrder.join())).toEqual([]);
    expect(calls.size).toBe(accepted.size);

    await flow.settled(retried);
    const [first, second, ...others] = flow.callsOf(retried);
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(3_000);
    expect(others).toEqual([]);
    await flow.settled(scheduled);
    expect(flow.callsOf(scheduled).map(({ path }) => path)).toEqual([scheduledListener.path]);
  });

  it('waits for a call that hangs, and makes it again after the start', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type, { timeoutMs: 1_500 });
    flow.stub.answer(listener.path, ({ attempt }) => (attempt === 1 ? 'hang' : 'success'));
    const eventId = await flow.send(type);
    await flow.stub.waitForCalls(1, listener.path);
    expect(await flow.centre.stop()).toBe(0);
    expect(flow.callsOf(eventId)).toHaveLength(1);

    await flow.startCentre();
    expect((await flow.settled(eventId)).state).toBe('succeeded');
    expect(flow.callsOf(eventId).map(({ attempt }) => attempt)).toEqual([1, 2]);
  });

  it('goes on with a replay that was under way', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type, { enabled: false });
    const eventIds = await Promise.all(Array.from({ length: 10 }, () => flow.send(type)));
    for (const eventId of eventIds) await flow.settled(eventId);
    await flow.client.must('PATCH', `/listeners/${listener.id}`, { enabled: true });
    const filter = { listenerId: listener.id };
    const { id } = await flow.client.must('POST', '/replays', { filter, ratePerSecond: 5 });
    const progress = () => flow.client.must('GET', `/replays/${id}`);
    await until('it has begun', async () => (await progress()).done >= 2);

    expect(await flow.centre.stop()).toBe(0);
    expect(flow.stub.calls(listener.path).length).toBeLessThan(eventIds.length);
    await flow.startCentre();

    await until('it is done', async () => (await progress()).state === 'done');
    expect(await progress()).toMatchObject({ matched: 10, done: 10, failed: 0 });
    for (const eventId of eventIds) await flow.deliveryIn(eventId, listener, 'succeeded');
    expect(flow.stub.calls(listener.path).map((call) => call.eventId).sort()).toEqual([...eventIds].sort()); // prettier-ignore
  });

  it('loses nothing by kill -9, and repeats no more than what was in hand', async () => {
    const { type, listeners } = await slowChain();
    const [first, last] = listeners as [FlowListener, FlowListener];
    const accepted = new Set<string>();
    const sending = sendUntil(type, () => accepted.size >= EVENTS, (eventId) => accepted.add(eventId)); // prettier-ignore

    await flow.stub.waitForCalls(EVENTS / 3, last.path);
    await flow.centre.kill();
    await flow.startCentre();
    await sending;

    await allSucceed(type, accepted);
    const repeats = [first, last].map(({ path }) => {
      const received = flow.stub.calls(path).map((call) => call.eventId);
      return received.length - new Set(received).size;
    });
    // In hand are the chains under way, at most those being called and what was taken beyond them.
    expect(Math.max(...repeats)).toBeLessThanOrEqual(CONCURRENCY + 64);
  });

  it('calls nobody again after a kill -9 whose success was recorded', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const first = await flow.listener(node, type);
    const hanging = await flow.listener(node, type, { timeoutMs: 60_000 });
    flow.stub.answer(hanging.path, 'hang');
    const eventId = await flow.send(type);
    await flow.deliveryIn(eventId, first, 'succeeded');
    await flow.stub.waitForCalls(1, hanging.path);

    await flow.centre.kill();
    flow.stub.answer(hanging.path, 'success');
    await flow.startCentre();
    expect((await flow.settled(eventId)).state).toBe('succeeded');
    // The attempt that died with the process was not recorded, so it is the first once more.
    expect(flow.callsOf(eventId).map(({ path, attempt }) => [path, attempt])).toEqual([
      [first.path, 1],
      [hanging.path, 1],
      [hanging.path, 1],
    ]);
  });

  it('keeps the order of every chain over kills amid failing listeners', async () => {
    const KILLS = 2;
    const type = await flow.eventType();
    const retry = { strategy: 'loop', delaysMs: [100, 250] };
    const chains: FlowListener[][] = [];
    for (const node of [await flow.node(), await flow.node()]) {
      chains.push([await flow.listener(node, type, { retry }), await flow.listener(node, type, { retry })]);
    }
    const answer = () => ({ afterMs: 10, status: Math.random() < 0.4 ? 500 : 200 });
    for (const { path } of chains.flat()) flow.stub.answer(path, answer);
    const accepted = new Set<string>();
    let killed = 0;
    const sending = sendUntil(type, () => killed === KILLS, (eventId) => accepted.add(eventId)); // prettier-ignore
    while (killed < KILLS) {
      const before = accepted.size;
      await until('more events were accepted', () => accepted.size >= before + 50);
      await flow.centre.kill();
      await flow.startCentre();
      killed += 1;
    }
    await sending;

    await allSucceed(type, accepted);
    const wrong = [...accepted].flatMap((eventId) => chains.flatMap((chain) => outOfOrder(eventId, chain)));
    expect(wrong).toEqual([]);
  });

  it('lists an unreadable message of a node queue as a failure, once, and goes on', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const listener = await flow.listener(node, type);
    await flow.settled(await flow.send(type));
    const body = Buffer.from('{"nobody":"knows this"}');
    const injected = Date.now();
    if (kind === 'RabbitMQ and MariaDB') {
      await flow.surroundings.injectForNode(node.appId, { body, headers: { who: 'somebody' } });
    } else {
      await flow.centre.stop();
      await flow.surroundings.injectForNode(node.appId, { body, headers: { who: 'somebody' } });
      await flow.startCentre();
    }

    const unreadable = () => flow.client.all(`/failures?kind=unreadable&from=${injected}`);
    const [failure] = await until('it is listed', async () => ((await unreadable()).length > 0 ? unreadable() : null));
    expect(failure).toMatchObject({ kind: 'unreadable', eventId: null, listenerId: null });
    expect(failure.reason).toMatch(/ec/);
    expect(Buffer.from(failure.raw, 'base64')).toEqual(body);
    expect(failure.rawHeaders).toContain('somebody');

    const eventId = await flow.send(type);
    expect((await flow.settled(eventId)).state).toBe('succeeded');
    expect(flow.callsOf(eventId, listener)).toHaveLength(1);
    const depth = async (name: string, label: string) => (await flow.metric(name)).get(label);
    expect(await depth('event_center_queue_depth', '{queue="dead"}')).toBe(0);
    expect(await depth('event_center_node_queue_depth', `{node="${node.appId}",kind="url"}`)).toBe(0);
    expect(await unreadable()).toHaveLength(1);
    expect((await flow.metric('event_center_incidents_total')).get('{name="dead.unreadable"}')).toBe(1);
  });

  /** One node with two listeners, one after the other, that take their time. */
  async function slowChain(): Promise<{ type: FlowType; listeners: FlowListener[] }> {
    const type = await flow.eventType();
    const node = await flow.node({ concurrency: CONCURRENCY });
    const listeners = [await flow.listener(node, type), await flow.listener(node, type)];
    for (const { path } of listeners) flow.stub.answer(path, { afterMs: LISTENER_MS });
    return { type, listeners };
  }

  /** Sends over several connections; what is not answered, while no process is there, is not accepted. */
  async function sendUntil(type: FlowType, isEnough: () => boolean, onAccepted: (eventId: string) => void) {
    const sender = async (): Promise<void> => {
      while (!isEnough()) {
        const answer = await flow.trySend(type).catch(() => null);
        if (answer?.status === 1) onAccepted(answer.eventId!);
        else await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    await Promise.all(Array.from({ length: SENDERS }, sender));
  }

  /** Ids of the recorded events of a type, in one state or in all. */
  async function recorded(type: FlowType, state?: string): Promise<string[]> {
    const filter = state === undefined ? '' : `&state=${state}`;
    const events = await flow.client.all(`/events?sourceId=${type.sourceId}${filter}`);
    return events.map((event) => event.eventId);
  }

  /** Every accepted event is recorded, and every recorded one succeeds. */
  async function allSucceed(type: FlowType, accepted: Set<string>): Promise<void> {
    await until(
      'every event succeeded',
      async () => {
        const succeeded = new Set(await recorded(type, 'succeeded'));
        const isComplete = [...accepted].every((eventId) => succeeded.has(eventId));
        return isComplete && (await recorded(type)).length === succeeded.size;
      },
      40_000,
    );
  }

  /** Listeners of a chain that never answered success to an event, or were called before the one in front of them had. */
  function outOfOrder(eventId: string, chain: FlowListener[]): string[] {
    let allowedAt = 0;
    return chain.flatMap(({ path }) => {
      const calls = flow.stub.calls(path).filter((call) => call.eventId === eventId);
      const success = calls.find(({ behaviour }) => typeof behaviour === 'object' && behaviour.status === 200);
      const isEarly = calls.some((call) => call.at < allowedAt);
      allowedAt = success?.at ?? Infinity;
      if (success === undefined) return [`${eventId} ${path}: no success`];
      return isEarly ? [`${eventId} ${path}: called too early`] : [];
    });
  }

  /** The paths that were called for each event, in order. */
  function callsByEvent(listeners: FlowListener[]): Map<string, string[]> {
    const paths = new Map<string, string[]>();
    for (const call of flow.stub.calls()) {
      if (!listeners.some(({ path }) => path === call.path)) continue;
      paths.set(call.eventId, [...(paths.get(call.eventId) ?? []), call.path]);
    }
    return paths;
  }
});
