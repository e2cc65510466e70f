import { randomBytes } from 'node:crypto';
import { amqpTransport } from '../../sdk/src/amqp/index.js';
import type { BusinessEvent } from '../../sdk/src/business-event.js';
import { EventListenerHost, type EventListenerHostOptions } from '../../sdk/src/plugins/host.js';
import type { IBusinessEventListener } from '../../sdk/src/plugins/plugin.js';
import { canMakeBrokerUsers, makeNodeUser } from '../../sdk/test/amqp/broker-user.js';
import { Flow, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';
import { TEST_BROKER_URL } from '../support/raw-broker.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const EVENTS = 60;
const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };
const USER = `ECT${randomBytes(4).toString('hex').toUpperCase()}`;
const withUsers = SURROUNDINGS.includes('RabbitMQ and MariaDB') && canMakeBrokerUsers();

interface Call {
  eventId: string;
  plugin: string;
  attempt: number;
}

const describeOnRabbitmq = SURROUNDINGS.includes('RabbitMQ and MariaDB') ? describe : describe.skip;

describeOnRabbitmq('plugins over AMQP, with a centre on RabbitMQ and MariaDB', () => {
  let flow: Flow;
  let node: FlowNode;
  let type: FlowType;
  let calls: Call[];
  const hosts: EventListenerHost[] = [];

  beforeAll(async () => {
    flow = await Flow.start('RabbitMQ and MariaDB');
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

  /** A host that logs in as the centre's own user of the broker, unless `url` says otherwise. */
  async function started(
    options: Partial<EventListenerHostOptions>,
    url: string = TEST_BROKER_URL,
  ): Promise<EventListenerHost> {
    const host = new EventListenerHost({
      baseUrl: flow.centre.url,
      ...node,
      transport: amqpTransport({ url }),
      log: quiet,
      ...options,
    });
    hosts.push(host);
    await host.start();
    return host;
  }

  function noting(name: string, act: (event: BusinessEvent) => unknown = () => undefined): IBusinessEventListener {
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
    const Audit = noting('audit', (event) => void seen.push(event));
    await started({ plugins: { Audit, Billing: noting('billing') } });
    const eventId = await flow.send(type, { userObject: '{"order":7}', tenantCode: 'T1', uuid: 'key-of-7' });
    const event = await flow.settled(eventId);
    expect(event.state).toBe('succeeded');
    expect(deliveriesOf(event)).toEqual(['succeeded 1', 'succeeded 1']);
    expect(callsOf(eventId)).toEqual(['audit 1', 'billing 1']);
    expect(seen[0]).toMatchObject({
      ...{ eventId, sourceId: type.sourceId, eventType: type.eventTypeCode, tenantCode: 'T1', payload: { order: 7 } },
      ...{ userObject: '{"order":7}', senderUuid: 'key-of-7', listenerId: listeners[0]!.id, attempt: 1 },
    });
  });

  it('follows what is registered: order, filter and tenant of later plugins, and their deletion', async () => {
    const plugins = { Audit: noting('audit'), Large: noting('large'), Mine: noting('mine') };
    const audit = await plugin('Audit', { operIndex: 5 });
    await started({ plugins });
    await flow.settled(await flow.send(type));
    const filter = { type: 'object', properties: { n: { type: 'number', minimum: 10 } }, required: ['n'] };
    await plugin('Large', { operIndex: 1, filter });
    await plugin('Mine', { operIndex: 9, tenantCode: 'T1' });
    const [small, large] = [await flow.send(type, { userObject: '{"n":1}' }), await flow.send(type, { userObject: '{"n":10}', tenantCode: 'T1' })]; // prettier-ignore
    await flow.settled(small);
    await flow.settled(large);
    expect(callsOf(small)).toEqual(['audit 1']);
    expect(callsOf(large)).toEqual(['large 1', 'audit 1', 'mine 1']);
    await flow.client.must('DELETE', `/listeners/${audit.id}`);
    const later = await flow.send(type, { userObject: '{"n":10}' });
    await flow.settled(later);
    expect(callsOf(later)).toEqual(['large 1']);
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

  it('runs a delivery again that is retried by hand, and no other', async () => {
    await plugin('Audit');
    const failing = await plugin('Billing', { retry: { strategy: 'none' } });
    let broken = true;
    const Billing = noting('billing', () => {
      if (broken) throw new Error('closed');
    });
    await started({ plugins: { Audit: noting('audit'), Billing } });
    const eventId = await flow.send(type);
    expect((await flow.settled(eventId)).state).toBe('failed');
    broken = false;
    await flow.client.must('POST', `/deliveries/${eventId}/${failing.id}/retry`);
    await flow.deliveryIn(eventId, failing, 'succeeded');
    expect(callsOf(eventId)).toEqual(['audit 1', 'billing 1', 'billing back 1', 'billing 2']);
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
    expect(new Set(eventIds.map((eventId) => callsOf(eventId).sort().join()))).toEqual(new Set(['audit 1,billing 1']));
  });

  it('goes on while the centre is killed, and what was done meanwhile is recorded when it is back', async () => {
    await plugin('Audit');
    let finish = (): void => undefined;
    const inside = new Promise<void>((resolve) => (finish = resolve));
    const host = await started({ plugins: { Audit: noting('audit', () => inside) } });
    const eventIds = await Promise.all(Array.from({ length: 4 }, () => flow.send(type)));
    await until('the plugins run', () => calls.length === 4);
    const { port } = new URL(flow.centre.url);
    await flow.centre.kill();
    finish();
    await until('the host has done them without the centre', () => host.status().inHand === 0);
    expect(host.status().connected).toBe(true);
    await flow.startCentre({ EVENT_CENTER_PORT: port });
    for (const eventId of eventIds) expect((await flow.settled(eventId)).state).toBe('succeeded');
    expect(calls).toHaveLength(4);
  });

  it('keeps the events of a disabled node until it is enabled again', async () => {
    await plugin('Audit');
    const host = await started({ plugins: { Audit: noting('audit') } });
    await flow.client.must('PATCH', `/nodes/${node.appId}`, { enabled: false });
    await until('the host knows', () => host.status().problem?.includes('shuts the node out'));
    const eventId = await flow.send(type);
    await until('it is recorded', () => flow.event(eventId));
    expect(calls).toEqual([]);
    await flow.client.must('PATCH', `/nodes/${node.appId}`, { enabled: true });
    expect((await flow.settled(eventId)).state).toBe('succeeded');
    expect(callsOf(eventId)).toEqual(['audit 1']);
  });

  (withUsers ? it : it.skip)('works for a user of the broker with the rights of its node only', async () => {
    const user = await makeNodeUser(USER);
    try {
      flow.surroundings.noteNode(USER);
      const { appKey } = await flow.client.must('POST', '/nodes', { nodeCode: USER });
      node = { appId: USER, appKey };
      await plugin('Audit');
      const failing = noting('billing', ({ attempt }) =>
        attempt === 1 ? Promise.reject(new Error('busy')) : undefined,
      );
      await plugin('Billing');
      await started({ plugins: { Audit: noting('audit'), Billing: failing } }, user.url);
      const eventId = await flow.send(type);
      const event = await flow.settled(eventId);
      expect(event.state).toBe('succeeded');
      expect(deliveriesOf(event)).toEqual(['succeeded 1', 'succeeded 2']);
      expect(callsOf(eventId)).toEqual(['audit 1', 'billing 1', 'billing 2']);
    } finally {
      await Promise.all(hosts.splice(0).map((host) => host.stop(0)));
      await user.remove();
    }
  });
});
