import { createHmac } from 'node:crypto';
import { createServer, request as httpRequest, type RequestListener, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import express from 'express';
import { MemoryInbox } from '../../src/inbox/index.js';
import { createReceiver, InvalidOptionError } from '../../src/index.js';
import type { BusinessEvent, EventHandler, Receiver, ReceiverOptions } from '../../src/index.js';
import { CLIENT_KEY, FIELDS, signedCallback, type WireCall } from './signed-callback.js';

interface Answered {
  status: number;
  body: any;
  headers: Record<string, any>;
}

/** A receiver behind one kind of server. */
interface Served {
  call(wire: WireCall, method?: string): Promise<Answered>;
  close(): Promise<void>;
}

const servers: Served[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((served) => served.close()));
});

async function overHttp(listener: RequestListener): Promise<Served & { port: number }> {
  const server: Server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const served = {
    port,
    call: ({ target, headers, body }: WireCall, method = 'POST') =>
      new Promise<Answered>((resolve, reject) => {
        const req = httpRequest({ port, host: '127.0.0.1', method, path: target, headers }, (res) => {
          let text = '';
          res.setEncoding('utf8').on('data', (part) => (text += String(part)));
          res.on('end', () => resolve({ status: res.statusCode!, body: JSON.parse(text), headers: res.headers }));
          res.on('error', reject);
        });
        req.on('error', reject);
        req.end(method === 'GET' ? undefined : body);
      }),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  servers.push(served);
  return served;
}

const KINDS: [string, (receiver: Receiver) => Promise<Served>][] = [
  ['node:http', (receiver) => overHttp((req, res) => void receiver.node(req, res))],
  ['Express', (receiver) => overHttp(express().post('/events', receiver.node).use(receiver.node))],
  [
    'Express under a mounted path',
    (receiver) => {
      const router = express.Router();
      router.all('/', receiver.node);
      return overHttp(express().use('/events', router));
    },
  ],
  ['Express with express.raw', (receiver) => overHttp(express().use(express.raw({ type: '*/*' }), receiver.node))],
  ['Express with express.text', (receiver) => overHttp(express().use(express.text({ type: '*/*' }), receiver.node))],
  [
    'Fetch',
    async (receiver) => ({
      call: async ({ target, headers, body }, method = 'POST') => {
        const init = { method, headers, ...(method === 'GET' ? {} : { body }) };
        const response = await receiver.fetch(new Request(`https://shop.example.com${target}`, init));
        return {
          status: response.status,
          body: await response.json(),
          headers: Object.fromEntries(response.headers),
        };
      },
      close: async () => {},
    }),
  ],
];

const SUCCESS = { success: 'true' };

describe.each(KINDS)('a receiver behind %s', (_name, serve) => {
  let events: BusinessEvent[];
  let errors: unknown[];

  async function serving(options: Partial<ReceiverOptions> = {}, handler?: EventHandler): Promise<Served> {
    events = [];
    errors = [];
    return serve(
      createReceiver(
        { clientKey: CLIENT_KEY, onError: (error) => errors.push(error), ...options },
        handler ?? ((event) => void events.push(event)),
      ),
    );
  }

  it('hands over a signed event and answers success', async () => {
    const served = await serving({ nodeCode: 'SHOP' });
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const headers = { traceparent, 'x-event-sender-uuid': 'order-\\u00c41' };
    const answered = await served.call(signedCallback({ headers }));

    expect(answered).toMatchObject({ status: 200, body: SUCCESS });
    expect(answered.headers['content-type']).toMatch(/^application\/json/);
    expect(events).toEqual([
      {
        eventId: FIELDS.uuid,
        sourceId: 'ERP',
        eventType: 'ORDER_CREATED',
        tenantCode: 'T1',
        payload: { orderId: '4711', text: 'Ärger & Söhne+' },
        userObject: FIELDS.userObject,
        listenerId: 'listener-1',
        attempt: 2,
        acceptedAt: null,
        senderUuid: 'order-Ä1',
        traceparent,
      },
    ]);
    expect(errors).toEqual([]);
  });

  it('takes a signature over a content length of zero', async () => {
    const served = await serving();
    expect(await served.call(signedCallback({ contentLength: 0 }))).toMatchObject({ status: 200, body: SUCCESS });
    expect((await served.call(signedCallback({ contentLength: 7 }))).status).toBe(401);
  });

  it('refuses what was changed on the way', async () => {
    const served = await serving();
    const wire = signedCallback();
    const changed: WireCall[] = [
      { ...wire, body: wire.body.replace('4711', '4712') },
      { ...wire, body: `${wire.body}&tenantCode=T2` },
      { ...wire, target: `${wire.target}&more=1` },
      { ...wire, target: wire.target.replace(/ts=(\d)/, 'ts=9$1') },
      { ...wire, headers: { ...wire.headers, sign: wire.headers['sign']!.toUpperCase() } },
      { ...wire, headers: { ...wire.headers, sign: '' } },
    ];
    for (const call of changed) {
      expect(await served.call(call)).toMatchObject({ status: 401, body: { success: 'false', code: 'BAD_SIGNATURE' } });
    }
    expect(events).toEqual([]);
    expect(errors).toHaveLength(changed.length);
  });

  it('refuses another key, and another application', async () => {
    const served = await serving({ nodeCode: 'SHOP' });
    const other = Buffer.from('another key of 20 by').toString('base64');
    expect(await served.call(signedCallback({ key: other }))).toMatchObject({
      status: 401,
      body: { code: 'BAD_SIGNATURE' },
    });
    expect(await served.call(signedCallback({ appId: 'OTHER' }))).toMatchObject({
      status: 401,
      body: { code: 'UNKNOWN_APP' },
    });
    expect(events).toEqual([]);
  });

  it('takes the old and the new key while one replaces the other', async () => {
    const next = Buffer.from('the next key of 20 b').toString('base64');
    const served = await serving({ clientKey: undefined, keys: [CLIENT_KEY, next] });
    expect((await served.call(signedCallback())).status).toBe(200);
    expect((await served.call(signedCallback({ key: next }))).status).toBe(200);
    expect(events).toHaveLength(2);
  });

  it('refuses what was signed too long ago, or for a time to come', async () => {
    const served = await serving({ toleranceMs: 10_000 });
    for (const ts of [Date.now() - 11_000, Date.now() + 12_000]) {
      const answered = await served.call(signedCallback({ ts }));
      expect(answered).toMatchObject({ status: 401, body: { success: 'false', code: 'TIMESTAMP_EXPIRED' } });
    }
    expect((await served.call(signedCallback({ ts: Date.now() - 8_000 }))).status).toBe(200);
    expect(events).toHaveLength(1);
  });

  it('answers what the application throws without telling it', async () => {
    const thrown = new Error('password=secret at table orders');
    const served = await serving({}, () => Promise.reject(thrown));
    const answered = await served.call(signedCallback());
    expect(answered).toMatchObject({ status: 200, body: { success: 'false', code: 'HANDLER_FAILED' } });
    expect(JSON.stringify(answered.body)).not.toContain('secret');
    expect(errors).toEqual([thrown]);

    const sync = await serving({}, () => {
      throw thrown;
    });
    expect((await sync.call(signedCallback())).body).toMatchObject({ success: 'false', code: 'HANDLER_FAILED' });
  });

  it('refuses another method', async () => {
    const served = await serving();
    const answered = await served.call(signedCallback(), 'PUT');
    expect(answered).toMatchObject({ status: 405, body: { success: 'false', code: 'METHOD_NOT_ALLOWED' } });
    expect(answered.headers['allow']).toBe('POST');
  });

  it('refuses a body that is too large', async () => {
    const served = await serving({ maxBodyBytes: 300 });
    const fields = { ...FIELDS, userObject: 'x'.repeat(1_000) };
    const answered = await served.call(signedCallback({ fields }));
    expect(answered).toMatchObject({ status: 413, body: { success: 'false', code: 'PAYLOAD_TOO_LARGE' } });
    expect((await served.call(signedCallback())).status).toBe(200);
  });

  it.each([
    ['uuid', { sourceID: 'S', eventType: 'T' }],
    ['sourceID', { eventType: 'T', uuid: 'u' }],
    ['eventType', { sourceID: 'S', eventType: '', uuid: 'u' }],
  ])('refuses a callback without %s', async (name, fields) => {
    const answered = await (await serving()).call(signedCallback({ fields }));
    expect(answered).toMatchObject({ status: 400, body: { success: 'false', code: 'INVALID_PARAM' } });
    expect(answered.body.message).toContain(name);
  });

  it('refuses bodies that are no form', async () => {
    const served = await serving();
    const wire = signedCallback();
    const malformed: WireCall[] = [
      { ...wire, body: 'sourceID=%E4%ZZ' },
      { ...wire, body: 'sourceID=%FF' },
      { ...wire, headers: { ...wire.headers, 'content-type': 'application/json' }, body: '{}' },
    ];
    for (const call of malformed) {
      expect(await served.call(call)).toMatchObject({ status: 400, body: { success: 'false', code: 'INVALID_PARAM' } });
    }
    expect(events).toEqual([]);
  });

  it('leaves a payload that is no JSON as its text, and one that is not there as null', async () => {
    const served = await serving();
    await served.call(signedCallback({ fields: { ...FIELDS, userObject: '{no JSON' } }));
    await served.call(signedCallback({ fields: { sourceID: 'S', eventType: 'T', uuid: 'u' } }));
    expect(events.map(({ payload, userObject, tenantCode }) => ({ payload, userObject, tenantCode }))).toEqual([
      { payload: '{no JSON', userObject: '{no JSON', tenantCode: 'T1' },
      { payload: null, userObject: null, tenantCode: null },
    ]);
  });

  it('takes unsigned calls only when it is told so', async () => {
    expect((await (await serving()).call(signedCallback({ unsigned: true }))).status).toBe(401);
    const trusting = await serving({ clientKey: undefined, requireSignature: false });
    expect((await trusting.call(signedCallback({ unsigned: true }))).status).toBe(200);
    expect(events).toHaveLength(1);
    // A signature that is there must be right.
    const other = Buffer.from('another key of 20 by').toString('base64');
    expect((await (await serving({ requireSignature: false })).call(signedCallback({ key: other }))).status).toBe(401);
  });

  it('acts once on an event that comes twice, and again on one that failed', async () => {
    let failures = 1;
    const acted: string[] = [];
    const served = await serving({ inbox: new MemoryInbox() }, ({ eventId }) => {
      acted.push(eventId);
      if (failures-- > 0) throw new Error('not yet');
    });
    expect((await served.call(signedCallback())).body).toMatchObject({ success: 'false' });
    expect((await served.call(signedCallback())).body).toEqual(SUCCESS);
    expect((await served.call(signedCallback())).body).toEqual(SUCCESS);
    expect(acted).toHaveLength(2);

    const otherListener = signedCallback({ headers: { 'x-event-listener': 'listener-2' } });
    expect((await served.call(otherListener)).body).toEqual(SUCCESS);
    expect(acted).toHaveLength(3);
  });

  it('files events under the scope that it is given, whatever a header says', async () => {
    const served = await serving({ inbox: new MemoryInbox(), inboxScope: 'orders' });
    await served.call(signedCallback());
    await served.call(signedCallback({ headers: { 'x-event-listener': 'forged' } }));
    expect(events).toHaveLength(1);
  });

  it('answers a copy of an event that is being acted on with a failure, so that it comes again', async () => {
    let finish = (): void => {};
    let started = (): void => {};
    const running = new Promise<void>((resolve) => (started = resolve));
    const served = await serving({ inbox: new MemoryInbox() }, () => {
      started();
      return new Promise<void>((resolve) => (finish = resolve));
    });
    const first = served.call(signedCallback());
    await running;
    expect((await served.call(signedCallback())).body).toMatchObject({ success: 'false', code: 'IN_PROGRESS' });
    finish();
    expect((await first).body).toEqual(SUCCESS);
    expect((await served.call(signedCallback())).body).toEqual(SUCCESS);
  });
});

describe('a receiver whose raw body is gone', () => {
  it.each([
    ['express.urlencoded', express.urlencoded({ extended: false }), signedCallback().body],
    ['express.json', express.json({ type: '*/*' }), '{}'],
  ])('says so after %s', async (_name, parser, body) => {
    const receiver = createReceiver({ clientKey: CLIENT_KEY }, () => {});
    const served = await overHttp(express().use(parser, receiver.node));
    const answered = await served.call({ ...signedCallback(), body });
    expect(answered).toMatchObject({ status: 500, body: { success: 'false', code: 'BODY_ALREADY_PARSED' } });
    expect(answered.body.message).toContain('express.raw');
  });

  it('says so of a Fetch request that was read', async () => {
    const { target, headers, body } = signedCallback();
    const request = new Request(`https://shop.example.com${target}`, { method: 'POST', headers, body });
    await request.text();
    const response = await createReceiver({ clientKey: CLIENT_KEY }, () => {}).fetch(request);
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({ code: 'BODY_ALREADY_PARSED' });
  });
});

describe('a receiver', () => {
  it('verifies the path that the centre called, not the one that a proxy made of it', async () => {
    const wire = signedCallback({ path: '/public/shop/events' });
    const arriving = { ...wire, target: wire.target.replace('/public/shop', '') };
    const call = async (publicPath?: ReceiverOptions['publicPath']): Promise<number> => {
      const receiver = createReceiver({ clientKey: CLIENT_KEY, publicPath }, () => {});
      return (await (await overHttp((req, res) => void receiver.node(req, res))).call(arriving)).status;
    };
    expect(await call()).toBe(401);
    expect(await call('/public/shop/events')).toBe(200);
    expect(await call((path) => `/public/shop${path}`)).toBe(200);
  });

  it('refuses a field that the url has too, because no signature covers it', async () => {
    const ts = String(Date.now());
    const body = 'sourceID=S&eventType=T&uuid=forged';
    const text = `SignProp{ts=${ts}, remoteUserName='null', queryString='ts${ts}uuidoriginal', requestUrl='/events', ip='null', contentLength='${body.length}', paramsStr='eventTypeTsourceIDS'}`;
    const sign = createHmac('sha1', Buffer.from(CLIENT_KEY, 'base64')).update(text).digest('hex');
    const request = new Request(`http://shop/events?appId=SHOP&ts=${ts}&uuid=original`, {
      method: 'POST',
      headers: { sign, 'content-type': 'application/x-www-form-urlencoded' },
      body,
    });
    const response = await createReceiver({ clientKey: CLIENT_KEY }, () => {}).fetch(request);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      code: 'INVALID_PARAM',
      message: expect.stringMatching(/^uuid: /),
    });
  });

  it('answers over a connection that still sends a body it refuses', async () => {
    const receiver = createReceiver({ clientKey: CLIENT_KEY, maxBodyBytes: 1_000 }, () => {});
    const { port } = await overHttp((req, res) => void receiver.node(req, res));
    const socket = connect(port, '127.0.0.1');
    const answer = new Promise<string>((resolve) => {
      let text = '';
      socket.setEncoding('utf8').on('data', (part) => (text += String(part)));
      socket.on('close', () => resolve(text));
      socket.on('error', () => {});
    });
    socket.write('POST /events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n');
    for (let count = 0; count < 40; count += 1) socket.write(`3e8\r\n${'x'.repeat(1_000)}\r\n`);
    socket.write('0\r\n\r\n');
    expect(await answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('tells the handler that the centre has hung up', async () => {
    let aborted = (): void => {};
    const wasAborted = new Promise<void>((resolve) => (aborted = resolve));
    const receiver = createReceiver({ clientKey: CLIENT_KEY }, async (_event, { signal }) => {
      socket.destroy();
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      aborted();
    });
    const { port } = await overHttp((req, res) => void receiver.node(req, res));
    const { target, headers, body } = signedCallback();
    const socket = connect(port, '127.0.0.1');
    const lines = Object.entries({ ...headers, host: 'x', 'content-length': Buffer.byteLength(body) });
    socket.write(`POST ${target} HTTP/1.1\r\n${lines.map((pair) => pair.join(': ')).join('\r\n')}\r\n\r\n${body}`);
    await wasAborted;
  });

  it.each<[string, ReceiverOptions]>([
    ['clientKey', {}],
    ['clientKey', { clientKey: '' }],
    ['keys[1]', { keys: [CLIENT_KEY, '='] }],
    ['algorithm', { clientKey: CLIENT_KEY, algorithm: 'MD5' as never }],
    ['toleranceMs', { clientKey: CLIENT_KEY, toleranceMs: 0 }],
    ['maxBodyBytes', { clientKey: CLIENT_KEY, maxBodyBytes: 1.5 }],
    ['publicPath', { clientKey: CLIENT_KEY, publicPath: 'events' }],
    ['inboxScope', { clientKey: CLIENT_KEY, inboxScope: 'two words' }],
  ])('refuses a wrong %s', (field, options) => {
    const make = () => createReceiver(options, () => {});
    expect(make).toThrow(InvalidOptionError);
    expect(make).toThrow(expect.objectContaining({ field }));
  });
});
