import { Flow, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';
import { PluginCaller, type LeasedEvent } from '../support/plugin-caller.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

describe.each(SURROUNDINGS)('what changes while an event is leased, on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind, { EVENT_CENTER_JOURNAL_DUE_INTERVAL_MS: '50' });
  });

  afterAll(() => flow.close());

  interface Place {
    node: FlowNode;
    type: FlowType;
    caller: PluginCaller;
    plugins: FlowListener[];
    eventId: string;
    lease: LeasedEvent;
  }

  /** An event that two plugins are owed, leased. */
  async function leased({ node: fields = {}, plugin = {} } = {}): Promise<Place> {
    const node = await flow.node(fields);
    const type = await flow.eventType();
    const plugins: FlowListener[] = [];
    for (const implClassName of ['A', 'B']) {
      plugins.push(await flow.listener(node, type, { url: undefined, implClassName, ...plugin }));
    }
    const caller = new PluginCaller(() => flow.centre.url, node);
    const eventId = await flow.send(type);
    await flow.deliveryIn(eventId, plugins[0]!, 'pending');
    return { node, type, caller, plugins, eventId, lease: await next(caller) };
  }

  const next = (caller: PluginCaller): Promise<LeasedEvent> =>
    until('an event was leased', async () => (await caller.lease({ waitMs: '1000' }))[0] ?? null);

  const change = (path: string, fields: object): Promise<unknown> => flow.client.must('PATCH', path, fields);

  const allSucceed = () => null;

  it('takes a failure as final when the process was told so, though more attempts are allowed by now', async () => {
    const { caller, plugins, eventId, lease } = await leased({ plugin: { retry: { strategy: 'none' } } });
    expect(lease.listeners[0]!.lastAttempt).toBe(true);
    await change(`/listeners/${plugins[0]!.id}`, { retry: { strategy: 'loop' } });
    const report = PluginCaller.report(lease, ({ implClassName }) => (implClassName === 'A' ? 'broken' : null));
    expect(await caller.settle([report])).toEqual(['OK']);
    expect(await flow.deliveryIn(eventId, plugins[0]!, 'failed', 'retrying')).toMatchObject({ state: 'failed' });
    expect(await flow.deliveryIn(eventId, plugins[1]!, 'succeeded')).toMatchObject({ attempts: [{ attempt: 1 }] });
  });

  it('gives a failure another attempt when the process was told that it was not the last', async () => {
    const { caller, plugins, eventId, lease } = await leased();
    expect(lease.listeners[0]!.lastAttempt).toBe(false);
    await change(`/listeners/${plugins[0]!.id}`, { retry: { strategy: 'none' } });
    expect(await caller.settle([PluginCaller.report(lease, () => 'broken')])).toEqual(['OK']);
    await flow.deliveryIn(eventId, plugins[0]!, 'retrying');
    // Whoever has it now is told that it is the last, and calls `doBackAction`.
    const again = await next(caller);
    expect(again.listeners[0]).toMatchObject({ implClassName: 'A', attempt: 2, lastAttempt: true });
  });

  it('records what ran behind a failure, though the node stops after failures by now', async () => {
    const { node, caller, plugins, eventId, lease } = await leased({ plugin: { retry: { strategy: 'none' } } });
    await change(`/nodes/${node.appId}`, { onExhausted: 'stop' });
    const report = PluginCaller.report(lease, ({ implClassName }) => (implClassName === 'A' ? 'broken' : null));
    expect(await caller.settle([report])).toEqual(['OK']);
    await flow.deliveryIn(eventId, plugins[0]!, 'failed');
    expect(await flow.deliveryIn(eventId, plugins[1]!, 'succeeded', 'skipped')).toMatchObject({ state: 'succeeded' });
  });

  it('records what ran, though its listener is disabled by now', async () => {
    const { caller, plugins, eventId, lease } = await leased();
    await change(`/listeners/${plugins[0]!.id}`, { enabled: false });
    expect(await caller.settle([PluginCaller.report(lease, allSucceed)])).toEqual(['OK']);
    const delivery = await flow.deliveryIn(eventId, plugins[0]!, 'succeeded', 'skipped');
    expect(delivery).toMatchObject({ state: 'succeeded', attempts: [{ attempt: 1 }] });
  });

  it('records a success, though its delivery was cancelled meanwhile', async () => {
    const { caller, plugins, eventId, lease } = await leased();
    await flow.client.must('POST', `/deliveries/${eventId}/${plugins[0]!.id}/cancel`);
    await flow.deliveryIn(eventId, plugins[0]!, 'cancelled');
    expect(await caller.settle([PluginCaller.report(lease, allSucceed)])).toEqual(['OK']);
    await flow.deliveryIn(eventId, plugins[1]!, 'succeeded');
    expect(await flow.deliveryIn(eventId, plugins[0]!, 'succeeded')).toMatchObject({ reason: null });
  });

  it('closes what is left for plugins whose process nobody runs any more', async () => {
    const { caller, node, plugins, eventId, lease } = await leased();
    expect(await caller.release([lease.leaseId])).toEqual(['OK']);
    for (const { id } of plugins) await flow.client.must('DELETE', `/listeners/${id}`);
    await flow.client.must('DELETE', `/nodes/${node.appId}`);
    for (const plugin of plugins) {
      expect(await flow.deliveryIn(eventId, plugin, 'cancelled')).toMatchObject({ reason: 'listener-deleted' });
    }
  });

  it('lets a listener end that was deleted while its event was leased', async () => {
    const { caller, plugins, eventId, lease } = await leased();
    for (const { id } of plugins) await flow.client.must('DELETE', `/listeners/${id}`);
    expect(await caller.release([lease.leaseId])).toEqual(['OK']);
    await caller.lease({ waitMs: '1500' });
    await flow.deliveryIn(eventId, plugins[0]!, 'cancelled');
    await flow.deliveryIn(eventId, plugins[1]!, 'cancelled');
  });
});
