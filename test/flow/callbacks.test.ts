import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { signatureOf } from '../support/centre-client.js';
import { Flow, type FlowListener } from '../support/flow.js';
import { ListenerStub, type Behaviour, type ReceivedCall } from '../support/listener-stub.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const CLIENT_KEY = 'c2VjcmV0IG9mIHRoZSByZWNlaXZlcg==';
const BREAKER_THRESHOLD = 5;
const BREAKER_PROBE_MS = 400;
const TIMEOUT_MS = 1_000;
const TRACEPARENT = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** What each of these answers comes to. */
const HOSTILE: [behaviour: Behaviour & string, status: number | null][] = [
  ['hang', null],
  ['trickle', 200],
  ['huge', 200],
  ['garbage', null],
  ['close', null],
  ['redirect', 307],
  ['false', 200],
  ['error', 500],
];

describe.each(SURROUNDINGS)('callbacks on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind, {
      EVENT_CENTER_DELIVERY_BREAKER_THRESHOLD: String(BREAKER_THRESHOLD),
      EVENT_CENTER_DELIVERY_BREAKER_PROBE_MS: String(BREAKER_PROBE_MS),
    });
  });

  afterAll(() => flow.close());

  it('signs with the client key at every attempt, and not at all without one', async () => {
    const type = await flow.eventType();
    const exact = await flow.node({ clientKey: CLIENT_KEY });
    const zero = await flow.node({ clientKey: CLIENT_KEY, contentLength: 'zero' });
    const unsigned = await flow.node();
    const path = (node: string) => `/${node}/signed?from=centre&b=%2B`;
    const signedListener = await flow.listener(exact, type, { url: flow.stub.url(path(exact.appId)) });
    await flow.listener(zero, type, { url: flow.stub.url(path(zero.appId)) });
    const unsignedListener = await flow.listener(unsigned, type);
    flow.stub.answer(`/${exact.appId}/signed`, ({ attempt }) => (attempt === 1 ? 'error' : 'success'));

    const eventId = await flow.send(type, { tenantCode: 'T', userObject: '{"名":"a b+c"}' });
    await flow.settled(eventId);

    const [first, second] = flow.stub.calls(`/${exact.appId}/signed`);
    const [light] = flow.stub.calls(`/${zero.appId}/signed`);
    for (const call of [first!, second!, light!]) {
      const { appId, ts } = signedQuery(call);
      expect(appId).toBe(call === light ? zero.appId : exact.appId);
      expect(Math.abs(Number(ts) - call.at)).toBeLessThan(5_000);
      expect(call.headers['sign']).toBe(expectedSign(call, call === light ? 0 : Buffer.byteLength(call.body)));
    }
    expect(signedQuery(second!).ts).not.toBe(signedQuery(first!).ts);
    expect(second!.headers['x-event-listener']).toBe(signedListener.id);
    const [plain] = flow.callsOf(eventId, unsignedListener);
    expect(plain!.target).toBe(unsignedListener.path);
    expect(plain!.headers['sign']).toBeUndefined();
  });

  it('repeats the fields as headers where the listener asks for it', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const withHeaders = await flow.listener(node, type, { fieldsAsHeaders: true, headers: { 'X-Own': 'mine' } });
    const without = await flow.listener(node, type);

    const eventId = await flow.send(type, { tenantCode: '租户', userObject: '{"名":"值"}' });
    await flow.settled(eventId);

    expect(flow.callsOf(eventId, withHeaders)[0]!.headers).toMatchObject({
      sourceid: type.sourceId,
      eventtype: type.eventTypeCode,
      tenantcode: '\\u79df\\u6237',
      userobject: '{"\\u540d":"\\u503c"}',
      'x-own': 'mine',
    });
    const { headers } = flow.callsOf(eventId, without)[0]!;
    expect([headers['sourceid'], headers['userobject'], headers['x-own']]).toEqual([undefined, undefined, undefined]);
  });

  it('carries the trace of the sender to the listener', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type);
    const answer = await flow.client.call(
      'POST',
      '/events',
      { sourceId: type.sourceId, eventType: type.eventTypeCode },
      { traceparent: TRACEPARENT },
    );
    const [call] = await flow.stub.waitForCalls(1, listener.path);
    expect(call!.eventId).toBe(answer.body.eventId);
    expect(call!.headers['traceparent']).toBe(TRACEPARENT);
  });

  it('ends calls of hostile listeners as failures, and lets them hold nobody', async () => {
    const hostile = await flow.node({ concurrency: HOSTILE.length });
    const healthy = await flow.node();
    const cases = [];
    for (const [behaviour, status] of HOSTILE) {
      const type = await flow.eventType();
      const retry = { strategy: 'none' };
      const listener = await flow.listener(hostile, type, { timeoutMs: TIMEOUT_MS, retry });
      const witness = await flow.listener(healthy, type);
      flow.stub.answer(listener.path, behaviour);
      cases.push({ behaviour, status, type, listener, witness, eventId: '' });
    }

    for (const one of cases) one.eventId = await flow.send(one.type);
    const outcomes: Record<string, unknown> = {};
    for (const { behaviour, listener, eventId } of cases) {
      const { lastStatus, lastError, lastDurationMs, attemptCount } = await flow.deliveryIn(
        eventId,
        listener,
        'failed',
      );
      expect(lastError).toEqual(expect.stringMatching(/./));
      expect(lastDurationMs).toBeLessThan(TIMEOUT_MS + 1_000);
      outcomes[behaviour] = [lastStatus, attemptCount];
    }
    expect(outcomes).toEqual(Object.fromEntries(HOSTILE.map(([behaviour, status]) => [behaviour, [status, 1]])));
    expect(flow.stub.calls('/redirected')).toEqual([]);
    const hanging = flow.callsOf(cases[0]!.eventId, cases[0]!.listener)[0]!;
    for (const { eventId, witness } of cases) {
      expect(flow.callsOf(eventId, witness)[0]!.at).toBeLessThan(hanging.at + TIMEOUT_MS);
    }

    // The same node goes on as soon as it answers well.
    for (const { listener, type } of cases) {
      flow.stub.answer(listener.path, 'success');
      expect(await flow.settled(await flow.send(type))).toMatchObject({ state: 'succeeded' });
    }
  });

  it('stops calling a dead listener after the threshold, and delivers everything once it is back', async () => {
    const EVENTS = 30;
    const type = await flow.eventType();
    const port = await freePort();
    const dead = await flow.node({ concurrency: 1 });
    const healthy = await flow.node();
    const listener = await flow.listener(dead, type, {
      url: `http://127.0.0.1:${port}/dead`,
      retry: { strategy: 'loop', delaysMs: [100] },
    });
    const witness = await flow.listener(healthy, type);

    const startedAt = Date.now();
    const eventIds = await Promise.all(Array.from({ length: EVENTS }, () => flow.send(type)));
    await until('the circuit is open', () => isOpen(1));
    await until('every event was put off without a call', async () => {
      const states = await deliveriesOf(listener);
      return states.length === EVENTS && states.every((one) => one.lastError === 'circuit open') ? states : null;
    });
    const attempts = (await deliveriesOf(listener)).reduce((sum: number, one) => sum + Number(one.attempts), 0);
    const probes = Math.ceil((Date.now() - startedAt) / BREAKER_PROBE_MS);
    expect(attempts).toBeGreaterThanOrEqual(BREAKER_THRESHOLD);
    expect(attempts).toBeLessThanOrEqual(BREAKER_THRESHOLD + probes);
    await flow.stub.waitForCalls(EVENTS, witness.path);

    const back = await ListenerStub.start(port);
    try {
      for (const eventId of eventIds) expect((await flow.settled(eventId)).state).toBe('succeeded');
      expect(back.calls().map((call) => call.eventId).sort()).toEqual([...eventIds].sort()); // prettier-ignore
      await until('the circuit is closed', () => isOpen(0));
    } finally {
      await back.close();
    }
    expect(flow.stub.calls(witness.path)).toHaveLength(EVENTS);
  });

  async function isOpen(count: number): Promise<boolean> {
    return (await flow.metric('event_center_circuit_breakers_open')).get('') === count;
  }

  function deliveriesOf(listener: FlowListener): Promise<any[]> {
    return flow.client.all(`/deliveries?listenerId=${listener.id}`);
  }
});

/** The query that a call came with, as its receiver reads it. */
function signedQuery(call: ReceivedCall): { appId: string; ts: string; rest: [string, string][] } {
  const pairs = [...new URL(call.target, 'http://stub').searchParams];
  const value = (wanted: string): string => pairs.find(([name]) => name === wanted)![1];
  return { appId: value('appId'), ts: value('ts'), rest: pairs.filter(([name]) => name !== 'appId') };
}

function expectedSign(call: ReceivedCall, contentLength: number): string {
  const { ts, rest } = signedQuery(call);
  return signatureOf({ ts, path: call.path, query: rest, contentLength, fields: call.fields }, CLIENT_KEY);
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
