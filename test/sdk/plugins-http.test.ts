import type { BusinessEvent } from '../../sdk/src/business-event.js';
import { EventListenerHost, type EventListenerHostOptions } from '../../sdk/src/plugins/host.js';
import { httpTransport } from '../../sdk/src/plugins/http-transport.js';
import type { IBusinessEventListener } from '../../sdk/src/plugins/plugin.js';
import { Flow, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const EVENTS = 60;
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

interface Call {
  eventId: string;
  plugin: string;
  attempt: number;
}

describe.each(SURROUNDINGS)('plugins over HTTP on %s', (kind) => {
  let flow: Flow;
  let node: FlowNode;
  let type: FlowType;
  let calls: Call[];
  const hosts: EventListenerHost[] = [];

  beforeAll(async () => {
    flow = await Flow.start(kind);
  });

  beforeEach(async () => {
    calls = [];
    node = await flow.node();
    type = await flow.eventType();
  });

  afterEach(async () => {
    await Promise.all(hosts.splice(0).map((host) => host.stop(0)));
  });

  afterAll(() => flow.close());

  function plugin(implClassName: string, fields: Record<string, unknown> = {}): Promise<FlowListener> {
    return flow.listener(node, type, { url: undefined, implClassName, ...fields });
  }

  async function started(options: Partial<EventListenerHostOptions>): Promise<EventListenerHost> {
    const host = new EventListenerHost({
      baseUrl: flow.centre.url,
      ...node,
      transport: httpTransport({ waitMs: 2_000 }),
      log: quiet,
      ...options,
    });
    hosts.push(host);
    await host.start();
    return host;
  }

  function noting(name: string, act: (event: BusinessEvent<any>) => unknown = () => undefined): IBusinessEventListener {
    return {
      doAction: async (event) => {
        calls.push({ eventId: event.eventId, plugin: name, attempt: event.attempt });
        await act(event);
      },
      doBackAction: ({ eventId, attempt }) => void calls.push({ eventId, plugin: `${name} back`, attempt }),
    };
  }

  function callsOf(eventId: string): string[] {
    return calls.filter((call) => call.eventId === eventId).map((call) => `${call.plugin} ${call.attempt}`);
  }

  function deliveriesOf(event: any): string[] {
    const inOrder = [...event.deliveries].sort((one, other) => one.operIndex - other.operIndex);
    return inOrder.map(({ state, attempts }) => `${state} ${attempts}`);
  }

  it('hands over what was sent, in the order of the plugins, and records their outcomes', async () => {
    const listeners = [await plugin('Audit'), await plugin('Billing')];
    const seen: BusinessEvent[] = [];
    await started({ plugins: { Audit: noting('audit', (event) => seen.push(event)), Billing: noting('billing') } });
    const eventId = await flow.send(type, { userObject: '{"order":7}', tenantCode: 'T1', uuid: 'key-of-7' });
    const event = await flow.settled(eventId);
    expect(event.state).toBe('succeeded');
    expect(deliveriesOf(event)).toEqual(['succeeded 1', 'succeeded 1']);
    expect(callsOf(eventId)).toEqual(['audit 1', 'billing 1']);
    expect(seen[0]).toMatchObject({
      eventId,
      sourceId: type.sourceId,
      eventType: type.eventTypeCode,
      tenantCode: 'T1',
      payload: { order: 7 },
      userObject: '{"order":7}',
      senderUuid: 'key-of-7',
      listenerId: listeners[0]!.id,
      attempt: 1,
    });
    expect(seen[0]!.acceptedAt).toBeGreaterThan(Date.now() - 60_000);
  });

  it('tries a failing plugin again after its delays without the earlier one, and calls doBackAction once', async () => {
    await plugin('Audit');
    const failing = await plugin('Billing');
    await plugin('Mail');
    const Billing = noting('billing', () => Promise.reject(new Error('no such customer')));
    await started({ plugins: { Audit: noting('audit'), Billing, Mail: noting('mail') } });
    const eventId = await flow.send(type);
    const event = await flow.settled(eventId);
    expect(event.state).toBe('failed');
    expect(deliveriesOf(event)).toEqual(['succeeded 1', 'failed 3', 'succeeded 1']);
    expect(callsOf(eventId)).toEqual(['audit 1', 'billing 1', 'billing 2', 'billing 3', 'billing back 3', 'mail 1']);
    const delivery = await flow.deliveryIn(eventId, failing, 'failed');
    expect(delivery.lastError).toBe('no such customer');
    const { items } = await flow.client.must('GET', `/failures?eventId=${eventId}`);
    expect(items).toMatchObject([{ listenerId: failing.id, attempts: 3, lastError: 'no such customer' }]);
  });

  it('records a missing class and a plugin that hangs as failures that say so', async () => {
    const retry = { strategy: 'none' };
    const missing = await plugin('Gone', { retry });
    const hanging = await plugin('Slow', { retry, timeoutMs: 1_000 });
    await started({ plugins: { Slow: noting('slow', () => new Promise(() => undefined)) } });
    const eventId = await flow.send(type);
    await flow.settled(eventId);
    expect((await flow.deliveryIn(eventId, missing, 'failed')).lastError).toBe('this host has no plugin for the class Gone'); // prettier-ignore
    expect((await flow.deliveryIn(eventId, hanging, 'failed')).lastError).toBe('not done within its time-out of 1000 ms'); // prettier-ignore
  });

  it('refuses a host with a wrong key at its start', async () => {
    await expect(started({ appKey: 'd3Jvbmc=' })).rejects.toMatchObject({ code: 'BAD_SIGNATURE' });
  });

  it('goes on with one host after the other was stopped in the middle: nothing is lost or repeated', async () => {
    await plugin('Audit');
    await plugin('Billing');
    const slowly = () => new Promise((resolve) => setTimeout(resolve, 10));
    const plugins = { Audit: noting('audit', slowly), Billing: noting('billing', slowly) };
    const first = await started({ plugins, concurrency: 3 });
    await started({ plugins, concurrency: 3 });
    const eventIds = await Promise.all(Array.from({ length: EVENTS }, () => flow.send(type)));
    await until('a third is under way', () => calls.length > (EVENTS * 2) / 3);
    await first.stop();
    expect(first.status()).toMatchObject({ state: 'stopped', inHand: 0 });
    for (const eventId of eventIds) expect((await flow.settled(eventId)).state).toBe('succeeded');
    expect(new Set(eventIds.map((eventId) => callsOf(eventId).join()))).toEqual(new Set(['audit 1,billing 1']));
  });

  it('keeps what it has done while the centre is killed and started again', async () => {
    await plugin('Audit');
    let finish = (): void => undefined;
    const inside = new Promise<void>((resolve) => (finish = resolve));
    const host = await started({ plugins: { Audit: noting('audit', () => inside) } });
    const eventIds = await Promise.all(Array.from({ length: 4 }, () => flow.send(type)));
    await until('the plugins run', () => calls.length === 4);
    const { port } = new URL(flow.centre.url);
    await flow.centre.kill();
    finish();
    await until('the host sees it', () => host.status().problem !== null);
    expect(host.status().inHand).toBe(4);
    await flow.startCentre({ EVENT_CENTER_PORT: port });
    for (const eventId of eventIds) expect((await flow.settled(eventId)).state).toBe('succeeded');
    expect(calls).toHaveLength(4);
    await until('the host holds nothing and takes events again', () => {
      const { inHand, connected, problem } = host.status();
      return inHand === 0 && connected && problem === null;
    });
    expect(host.status().lostLeases).toBe(0);
  });
});
