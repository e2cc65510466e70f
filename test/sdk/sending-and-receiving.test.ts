import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createReceiver, EventCenterClient, RefusedError } from '@event-center/sdk';
import type { BusinessEvent, EventHandler, ReceiverOptions } from '@event-center/sdk';
import { MemoryInbox } from '@event-center/sdk/inbox';
import { Flow, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';
import { until } from '../support/until.js';

const CLIENT_KEY = Buffer.from('client key of 20 byt').toString('base64');

describe('an application that sends and one that receives', () => {
  let flow: Flow;
  const servers: Server[] = [];
  const clients: EventCenterClient[] = [];

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
  });

  afterAll(async () => {
    for (const client of clients) client.close();
    for (const server of servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    await flow.close();
  });

  function clientOf({ appId, appKey }: FlowNode): EventCenterClient {
    const client = new EventCenterClient({ baseUrl: flow.client.url, appId, appKey });
    clients.push(client);
    return client;
  }

  /** A listener of a node with a client key, behind which a receiver stands. */
  async function receiving(
    type: FlowType,
    handler: EventHandler,
    options: ReceiverOptions = { clientKey: CLIENT_KEY },
  ): Promise<FlowListener> {
    const receiver = createReceiver(options, handler);
    const server = createServer((req, res) => void receiver.node(req, res));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    const { port } = server.address() as AddressInfo;
    const node = await flow.node({ clientKey: CLIENT_KEY });
    return flow.listener(node, type, { url: `http://127.0.0.1:${port}/events?from=centre` });
  }

  const codesOf = ({ sourceId, eventTypeCode }: FlowType) => ({ sourceId, eventType: eventTypeCode });

  it('hands a signed event from the one to the other', async () => {
    const type = await flow.eventType();
    const events: BusinessEvent[] = [];
    const listener = await receiving(type, (event) => void events.push(event));
    const userObject = { orderId: '4711', text: 'Ärger & Söhne + 100 %', deep: [{ a: null }] };

    const sent = await clientOf(flow.sender).send({
      ...codesOf(type),
      tenantCode: 'T-ä',
      userObject,
      uuid: 'order-é-1',
    });
    expect(sent).toMatchObject({ code: 'OK', uuid: 'order-é-1', attempts: 1 });
    expect(await flow.settled(sent.eventId)).toMatchObject({ state: 'succeeded' });

    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      eventId: sent.eventId,
      ...codesOf(type),
      tenantCode: 'T-ä',
      payload: userObject,
      listenerId: listener.id,
      attempt: 1,
      senderUuid: 'order-é-1',
    });
  });

  it('makes one event of a repeat, and acts once where a copy comes again', async () => {
    const type = await flow.eventType();
    const acted: string[] = [];
    let tries = 0;
    const options = { clientKey: CLIENT_KEY, inbox: new MemoryInbox() };
    const listener = await receiving(
      type,
      ({ eventId }) => {
        tries += 1;
        if (tries === 1) throw new Error('not yet');
        acted.push(eventId);
      },
      options,
    );
    const client = clientOf(flow.sender);
    const event = { ...codesOf(type), userObject: 'text', uuid: 'once' };
    const first = await client.send(event);
    expect(await client.send(event)).toMatchObject({ code: 'DUPLICATE', eventId: first.eventId });
    expect(await flow.settled(first.eventId)).toMatchObject({ state: 'succeeded' });
    expect(acted).toEqual([first.eventId]);
    expect(tries).toBe(2);

    // A replay delivers it again; the inbox answers success without acting.
    await flow.client.must('POST', '/replays', { filter: { eventIds: [first.eventId] } });
    await until('the replay has called the receiver', async () => {
      const delivery = await flow.deliveryIn(first.eventId, listener, 'succeeded');
      return delivery.attempts.length === 3;
    });
    expect(acted).toEqual([first.eventId]);
  });

  it('gives the results of many in their order', async () => {
    const type = await flow.eventType();
    const received = new Set<string>();
    await receiving(type, ({ eventId }) => void received.add(eventId));
    const events = Array.from({ length: 40 }, (_, n) => ({ ...codesOf(type), userObject: { n } }));
    events[13] = { ...events[13]!, eventType: 'UNKNOWN' };
    const results = await clientOf(flow.sender).sendMany(events);
    const sent = results.flatMap((result) => (result.ok ? [result.eventId] : []));
    expect(results[13]).toMatchObject({ ok: false, error: { code: 'UNKNOWN_EVENT_TYPE' } });
    expect(new Set(sent).size).toBe(39);
    for (const eventId of sent) expect(await flow.settled(eventId)).toMatchObject({ state: 'succeeded' });
    expect(received).toEqual(new Set(sent));
  });

  it('is refused with another key, as another application and with an unknown type', async () => {
    const type = await flow.eventType();
    const other = await flow.node();
    const wrongKey = clientOf({ appId: flow.sender.appId, appKey: other.appKey });
    const nobody = clientOf({ appId: 'NOBODY', appKey: other.appKey });
    const unknownType = { sourceId: type.sourceId, eventType: 'UNKNOWN' };

    for (const [sending, code] of [
      [wrongKey.send(codesOf(type)), 'BAD_SIGNATURE'],
      [nobody.send(codesOf(type)), 'UNKNOWN_APP'],
      [clientOf(flow.sender).send(unknownType), 'UNKNOWN_EVENT_TYPE'],
    ] as const) {
      const error = await sending.then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(RefusedError);
      expect(error).toMatchObject({ code, status: 200, eventId: null });
    }
    expect(await flow.client.all(`/events?sourceId=${type.sourceId}`)).toEqual([]);
  });

  it('sends by the centre’s clock when its own is off', async () => {
    const type = await flow.eventType();
    const client = clientOf(flow.sender);
    const real = Date.now.bind(Date);
    const now = jest.spyOn(Date, 'now').mockImplementation(() => real() - 3_600_000);
    try {
      expect(await client.send(codesOf(type))).toMatchObject({ code: 'OK', attempts: 1 });
    } finally {
      now.mockRestore();
    }
  });

  it('does not reach a receiver that has another key', async () => {
    const type = await flow.eventType();
    const errors: unknown[] = [];
    const events: BusinessEvent[] = [];
    const wrong = { clientKey: flow.sender.appKey, onError: (error: unknown) => void errors.push(error) };
    const listener = await receiving(type, (event) => void events.push(event), wrong);
    const { eventId } = await clientOf(flow.sender).send(codesOf(type));
    const delivery = await flow.deliveryIn(eventId, listener, 'failed');
    expect(delivery).toMatchObject({ lastStatus: 401 });
    expect(events).toEqual([]);
    expect(errors).toHaveLength(3);
    expect(errors[0]).toMatchObject({ code: 'BAD_SIGNATURE' });
  });

  it('sees its own registrations', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const listener = await flow.listener(node, type);
    const { version, eventTypes, listeners } = await clientOf(node).registrations();
    expect(version).toBeGreaterThan(0);
    expect(eventTypes).toMatchObject([{ id: type.id, sourceId: type.sourceId, eventTypeCode: type.eventTypeCode }]);
    expect(listeners).toMatchObject([{ id: listener.id, url: flow.stub.url(listener.path), implClassName: null }]);
  });
});
