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
    const eventIds = await sendAll(type, EVENTS);

    await flow.stub.waitForCalls(EVENTS / 3, listeners[0]!.path);
    expect(await flow.centre.stop()).toBe(0);
    const callsBefore = callsByEvent(listeners);
    expect(Math.max(...[...callsBefore.values()].map((calls) => calls.length))).toBeGreaterThan(0);
    expect([...callsBefore.values()].filter((calls) => calls.length === 2).length).toBeLessThan(EVENTS);
    await flow.startCentre();

    await allSucceeded(type, EVENTS);
    const calls = callsByEvent(listeners);
    expect([...calls.keys()].sort()).toEqual([...eventIds].sort());
    const inOrder = listeners.map(({ path }) => path);
    expect([...calls.values()].filter((paths) => paths.join() !== inOrder.join())).toEqual([]);

    expect((await flow.settled(retried)).state).toBe('succeeded');
    const [first, second] = flow.callsOf(retried);
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(3_000);
    expect(flow.callsOf(retried)).toHaveLength(2);
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

    const missing = () => [...accepted].filter((eventId) => flow.callsOf(eventId, last).length === 0);
    await until('every accepted event came to the last listener', () => missing().length === 0, 60_000);
    for (const eventId of accepted) await flow.settled(eventId);
    const unsettled = (await flow.client.all(`/events?sourceId=${type.sourceId}`)).filter((event) => event.state !== 'succeeded'); // prettier-ignore
    expect(unsettled).toEqual([]);
    const repeats = [first, last].map(({ path }) => {
      const received = flow.stub.calls(path).map((call) => call.eventId);
      return received.length - new Set(received).size;
    });
    // In hand are the calls under way, and those whose outcome was not confirmed yet.
    expect(Math.max(...repeats)).toBeLessThanOrEqual(CONCURRENCY + 64);
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

  async function sendAll(type: FlowType, count: number): Promise<Set<string>> {
    const eventIds = new Set<string>();
    let begun = 0;
    const isEnough = (): boolean => (begun += 1) > count;
    await sendUntil(type, isEnough, (eventId) => eventIds.add(eventId));
    return eventIds;
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

  function allSucceeded(type: FlowType, count: number): Promise<unknown> {
    return until(`${count} events succeeded`, async () => {
      const events = await flow.client.all(`/events?sourceId=${type.sourceId}&state=succeeded`);
      return events.length === count;
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
