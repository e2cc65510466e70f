import { Readable } from 'node:stream';
import { request } from 'undici';
import { Flow } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const MAX_BODY_BYTES = 65_536;
const ORDER_SCHEMA = {
  type: 'object',
  properties: { order: { type: 'object', properties: { total: { type: 'number' } }, required: ['total'] } },
  required: ['order'],
};

describe.each(SURROUNDINGS)('sending on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind, { EVENT_CENTER_INGEST_MAX_BODY_BYTES: String(MAX_BODY_BYTES) });
  });

  afterAll(() => flow.close());

  it('answers a repeated uuid with the first eventId and calls the listener once', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type);
    const fields = { uuid: 'order-4711', userObject: '{"n":1}' };

    const first = await flow.trySend(type, fields);
    const repeated = await flow.trySend(type, fields);
    expect(first).toMatchObject({ status: 1, code: 'OK' });
    expect(repeated).toMatchObject({ status: 1, code: 'DUPLICATE', eventId: first.eventId });

    const other = await flow.trySend(type, { ...fields, userObject: '{"n":2}' });
    expect(other).toMatchObject({ status: 0, code: 'INVALID_PARAM', httpStatus: 200 });
    expect(other.message).toContain('uuid');

    const marker = await flow.send(type);
    await flow.settled(marker);
    await flow.settled(first.eventId!);
    expect(flow.stub.calls(listener.path).map((call) => call.eventId)).toEqual([first.eventId, marker]);
    expect(flow.callsOf(first.eventId!)[0]!.headers['x-event-sender-uuid']).toBe('order-4711');
  });

  it('makes one event of many sends with one key at the same time', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type);
    const send = () => flow.trySend(type, { uuid: 'at-once', userObject: 'x' });

    const answers = await Promise.all(Array.from({ length: 8 }, send));
    const eventIds = new Set(answers.map((answer) => answer.eventId).filter((eventId) => eventId !== null));
    expect(eventIds.size).toBe(1);
    expect(answers.filter(({ code }) => code === 'OK')).toHaveLength(1);
    for (const { code, httpStatus } of answers) {
      expect([['OK', 200], ['DUPLICATE', 200], ['IN_PROGRESS', 503]]).toContainEqual([code, httpStatus]); // prettier-ignore
    }
    const [eventId] = [...eventIds];
    await flow.settled(eventId!);
    expect(flow.stub.calls(listener.path)).toHaveLength(1);
  });

  it('refuses a payload that does not satisfy the schema, naming the path, and keeps nothing of it', async () => {
    const type = await flow.eventType({ schema: ORDER_SCHEMA });
    const listener = await flow.listener(await flow.node(), type);

    const refused = await flow.trySend(type, { userObject: '{"order":{"total":"many"}}' });
    expect(refused).toMatchObject({ httpStatus: 200, status: 0, code: 'SCHEMA_MISMATCH', eventId: '' });
    expect(refused.message).toContain('userObject/order/total');
    expect(await flow.trySend(type, { userObject: 'no JSON' })).toMatchObject({ code: 'SCHEMA_MISMATCH' });

    const eventId = await flow.send(type, { userObject: '{"order":{"total":12}}' });
    await flow.settled(eventId);
    expect(flow.stub.calls(listener.path).map((call) => call.eventId)).toEqual([eventId]);
    expect(await flow.client.all(`/events?sourceId=${type.sourceId}`)).toHaveLength(1);
  });

  it('leaves no delivery for listeners of another tenant or with another filter', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const all = await flow.listener(node, type);
    const tenant = await flow.listener(node, type, { tenantCode: 'T-1' });
    const filtered = await flow.listener(node, type, { filter: { properties: { kind: { const: 'big' } }, required: ['kind'] } }); // prettier-ignore

    const both = await flow.send(type, { tenantCode: 'T-1', userObject: '{"kind":"big"}' });
    const neither = await flow.send(type, { tenantCode: 'T-2', userObject: '{"kind":"small"}' });

    const listenersOf = async (eventId: string) =>
      (await flow.settled(eventId)).deliveries.map((one: any) => one.listenerId).sort();
    expect(await listenersOf(both)).toEqual([all.id, tenant.id, filtered.id].sort());
    expect(await listenersOf(neither)).toEqual([all.id]);
    expect(flow.callsOf(neither).map(({ path }) => path)).toEqual([all.path]);
    expect((await flow.client.call('GET', `/deliveries/${neither}/${tenant.id}`)).status).toBe(404);
  });

  it('answers 429 over the rate of a node, and the accepted ones arrive', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type);
    const sender = await flow.node({ sendRateLimit: 3 });

    const answers = await Promise.all(Array.from({ length: 12 }, () => flow.trySend(type, {}, sender)));
    const accepted = answers.filter((answer) => answer.status === 1);
    const limited = answers.filter((answer) => answer.status === 0);
    expect(accepted.length).toBeGreaterThanOrEqual(3);
    expect(limited.length).toBeGreaterThan(0);
    for (const answer of limited) {
      expect(answer).toMatchObject({ httpStatus: 429, code: 'RATE_LIMITED', eventId: '' });
      expect(Number(answer.retryAfter)).toBeGreaterThanOrEqual(1);
    }
    await until('it may send again', async () => (await flow.trySend(type, {}, sender)).status === 1);
    expect(await flow.trySend(type)).toMatchObject({ status: 1 });
    await flow.stub.waitForCalls(accepted.length + 2, listener.path);
  });

  it('answers 413 to a body that is too large, however it comes', async () => {
    const type = await flow.eventType();
    const userObject = 'x'.repeat(MAX_BODY_BYTES);
    expect(await flow.trySend(type, { userObject })).toMatchObject({
      httpStatus: 413,
      status: 0,
      code: 'PAYLOAD_TOO_LARGE',
    });
    const chunked = await request(`${flow.centre.url}/event/eventmanager/sendEventMsg.do?appId=x&ts=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: Readable.from(Array.from({ length: 9 }, () => Buffer.alloc(MAX_BODY_BYTES / 8, 'x'))),
    });
    expect([chunked.statusCode, ((await chunked.body.json()) as any).data.code]).toEqual([413, 'PAYLOAD_TOO_LARGE']);
    expect(await flow.trySend(type, { userObject: 'x'.repeat(MAX_BODY_BYTES / 2) })).toMatchObject({ code: 'OK' });
  });

  it('refuses what is not signed by the application, and counts it', async () => {
    const type = await flow.eventType();
    const wrongKey = { ...flow.sender, appKey: 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=' };
    expect(await flow.trySend(type, {}, wrongKey)).toMatchObject({ httpStatus: 200, status: 0, code: 'BAD_SIGNATURE' });
    expect((await flow.metric('event_center_events_refused_total')).get('{code="BAD_SIGNATURE"}')).toBe(1);
  });

  it('takes old keys and the new one after rotations, each for as long as was said', async () => {
    const type = await flow.eventType();
    const app = await flow.node();
    const rotated = async (graceMs: number) => {
      const { appKey } = await flow.client.must('POST', `/nodes/${app.appId}/rotate-key`, { graceMs });
      return { ...app, appKey };
    };
    const code = async (sender: typeof app) => (await flow.trySend(type, {}, sender)).code;
    const second = await rotated(60_000);
    const third = await rotated(2_000);
    expect(new Set([app.appKey, second.appKey, third.appKey]).size).toBe(3);
    for (const sender of [third, second, app]) expect(await code(sender)).toBe('OK');
    await until('the second key ended', async () => (await code(second)) === 'BAD_SIGNATURE');
    for (const sender of [third, app]) expect(await code(sender)).toBe('OK');
  });

  it('delivers a scheduled event at its time and not before, to who is registered then', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const listener = await flow.listener(node, type);
    const deliverAt = Date.now() + 2_500;

    const eventId = await flow.send(type, { deliverAt: new Date(deliverAt).toISOString() });
    const scheduled = await until('it is recorded', () => flow.event(eventId));
    expect(scheduled).toMatchObject({ state: 'scheduled', deliveries: [] });
    expect(Date.parse(scheduled.deliverAt)).toBe(deliverAt);
    const late = await flow.listener(node, type);

    expect((await flow.settled(eventId)).state).toBe('succeeded');
    const calls = flow.callsOf(eventId);
    expect(calls.map(({ path }) => path)).toEqual([listener.path, late.path]);
    expect(calls[0]!.at).toBeGreaterThanOrEqual(deliverAt);
    expect(calls[0]!.at).toBeLessThan(deliverAt + 2_000);
  });

  it('publishes by token, one event or many of which each stands for itself', async () => {
    const type = await flow.eventType({ schema: { type: 'object' } });
    const listener = await flow.listener(await flow.node(), type);
    const event = { sourceId: type.sourceId, eventType: type.eventTypeCode };

    const one = await flow.client.call('POST', '/events', {
      ...event,
      tenantCode: 'T',
      userObject: { n: 1, 名: '值' },
    });
    expect([one.status, one.body.code]).toEqual([202, 'OK']);
    await flow.settled(one.body.eventId);
    expect(flow.callsOf(one.body.eventId)[0]!.fields).toMatchObject({
      tenantCode: 'T',
      userObject: '{"n":1,"名":"值"}',
    });

    const many = await flow.client.call('POST', '/events', [
      { ...event, userObject: { n: 2 }, uuid: 'batch-1' },
      { ...event, eventType: 'unknown' },
      { ...event, userObject: 'no object' },
      { ...event, userObject: { n: 2 }, uuid: 'batch-1' },
      { ...event, userObject: { n: 3 }, appId: flow.sender.appId },
    ]);
    expect(many.status).toBe(207);
    const codes = many.body.items.map((item: any) => [item.status, item.code]);
    expect(codes[1]).toEqual([422, 'UNKNOWN_EVENT_TYPE']);
    expect(codes[2]).toEqual([422, 'SCHEMA_MISMATCH']);
    expect(codes[4]).toEqual([202, 'OK']);
    // Both run at the same time: one is first.
    expect([codes[0], codes[3]].filter(([, code]) => code === 'OK')).toHaveLength(1);
    const last = many.body.items[4].eventId;
    expect(await flow.settled(last)).toMatchObject({ state: 'succeeded', appId: flow.sender.appId });
    await flow.stub.waitForCalls(3, listener.path);
    const payloads = flow.stub.calls(listener.path).map((call) => JSON.parse(call.fields['userObject']!).n);
    expect(payloads.sort()).toEqual([1, 2, 3]);
  });
});
