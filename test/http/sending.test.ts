import { signCall } from '@event-center/sdk';
import { aNode, anEventType, VECTOR_KEY, VECTOR_TS } from '../support/accepting.js';
import { parseRaw, rawRequest, SEND_PATH, SendingSetting, toAnswer, vector, type Answer } from '../support/sending.js';

const OTHER_KEY = Buffer.from('another key of 20 b.').toString('base64');
const EARLIER_KEYS = [
  { key: VECTOR_KEY, expiresAt: VECTOR_TS + 1000 },
  { key: 'ZWFybGllci1rZXktMTIzNDU2', expiresAt: VECTOR_TS + 2000 },
  { key: 'ZXhwaXJlZC1rZXktMTIzNDU2', expiresAt: VECTOR_TS },
];
const EVENT = { sourceID: 'USER', eventType: 'ADD_AFTER', userObject: 'x' };
const registered = {
  nodes: [
    aNode('ANONYMOUS_CLUSTER'),
    aNode('A'),
    aNode('SHA256', { algorithm: 'HmacSHA256' }),
    aNode('SHORT', { appKey: 'pap' }),
    aNode('OFF', { enabled: false }),
    aNode('ROTATED', { appKey: OTHER_KEY, previousKeys: EARLIER_KEYS }),
    aNode('LIMITED', { sendRateLimit: 1 }),
    aNode('EVENT_CENTER'),
  ],
  eventTypes: [
    anEventType('USER', 'ADD_AFTER'),
    anEventType('USER', 'OWNED', { owner: 'SHORT' }),
    anEventType('USER', 'STRICT', { schema: { type: 'object', properties: { n: { type: 'integer' } } } }),
  ],
};

let setting: SendingSetting;
beforeEach(async () => {
  setting = await new SendingSetting(registered).start();
});
afterEach(() => setting.stop());

describe('the requests of the vendor clients', () => {
  const published = () => {
    const [event, ...more] = setting.broker.events;
    expect(more).toEqual([]);
    return event;
  };

  it('B: accepts the form of the full client', async () => {
    const answer = parseRaw(await setting.raw(rawRequest(vector('B'))));
    expect(answer.status).toBe(200);
    expect(answer.head).toContain('Content-Type: application/json;charset=UTF-8');
    expect(answer.data).toEqual({
      status: 1,
      message: expect.any(String),
      msg: answer.data['message'],
      code: 'OK',
      eventId: published()?.eventId,
    });
    expect(Object.keys(answer.data)).toEqual(['status', 'message', 'msg', 'code', 'eventId']);
    expect(published()).toMatchObject({
      appId: 'ANONYMOUS_CLUSTER',
      sourceId: 'USER',
      eventType: 'ADD_AFTER',
      tenantCode: null,
    });
    expect(published()?.userObject?.toString()).toBe('1467345600000');
  });

  it('C: accepts Chinese JSON with quotes and blanks, byte for byte', async () => {
    const answer = parseRaw(await setting.raw(rawRequest(vector('C'))));
    expect(answer.data['code']).toBe('OK');
    expect(published()?.userObject?.toString()).toBe('{"name":"测试 用户","n":1}');
    expect(published()?.tenantCode).toBe('lnald25w');
  });

  it('D: accepts a chunked body signed as -1, and only chunked', async () => {
    const answer = parseRaw(await setting.raw(rawRequest(vector('D'))));
    expect(answer.data['code']).toBe('OK');
    const notChunked = rawRequest({ ...vector('D'), contentLength: 58 });
    expect(parseRaw(await setting.raw(notChunked)).data['code']).toBe('BAD_SIGNATURE');
    const chunkedButSignedAs58 = rawRequest({ ...vector('B'), contentLength: -1 });
    expect(parseRaw(await setting.raw(chunkedButSignedAs58)).data['code']).toBe('BAD_SIGNATURE');
  });

  it('H: accepts HmacSHA256 from a node that is registered with it', async () => {
    const url = vector('H').url.replace('ANONYMOUS_CLUSTER', 'SHA256');
    expect(parseRaw(await setting.raw(rawRequest({ ...vector('H'), url }))).data['code']).toBe('OK');
    expect(parseRaw(await setting.raw(rawRequest({ ...vector('B'), url }))).data['code']).toBe('BAD_SIGNATURE');
    expect(parseRaw(await setting.raw(rawRequest(vector('H')))).data['code']).toBe('BAD_SIGNATURE');
  });

  it('J: accepts a short key of lenient Base64', async () => {
    const url = vector('J').url.replace('ANONYMOUS_CLUSTER', 'SHORT');
    expect(parseRaw(await setting.raw(rawRequest({ ...vector('J'), url }))).data['code']).toBe('OK');
  });

  it('S: accepts the light SDK, which signs the length as 0 and names itself in a header', async () => {
    const request = rawRequest({ ...vector('S'), contentLength: 124 }, { headers: ['appId: A'] });
    const answer = parseRaw(await setting.raw(request));
    expect(answer.data['code']).toBe('OK');
    expect(published()?.senderUuid).toBe('00000000-0000-4000-8000-000000000001');
    expect(parseRaw(await setting.raw(request)).data).toMatchObject({
      status: 1,
      code: 'DUPLICATE',
      eventId: answer.data['eventId'],
    });
  });

  it('accepts the absolute form of a request line, and one trailing slash', async () => {
    const request = rawRequest(vector('B'));
    expect(parseRaw(await setting.raw(request.replace('POST /', 'POST http://uas.yyuap.com/'))).data['code']).toBe(
      'OK',
    );
    expect(parseRaw(await setting.raw(request.replace('.do?', '.do/?'))).data['code']).toBe('OK');
  });
});

describe('the signature', () => {
  it('may stand in the query, and a header goes first', async () => {
    const [url, init] = setting.request(EVENT);
    const { sign, ...headers } = init.headers as Record<string, string>;
    const send = async (path: string, more: Record<string, string>) =>
      (await toAnswer(await fetch(url + path, { ...init, headers: { ...headers, ...more } }))).data['code'];
    expect(await send(`&sign=${String(sign)}`, {})).toBe('OK');
    expect(await send('&sign=wrong', { sign: String(sign) })).toBe('OK');
    expect(await send(`&sign=${String(sign)}`, { sign: 'wrong' })).toBe('BAD_SIGNATURE');
    expect(await send('', {})).toBe('BAD_SIGNATURE');
    expect(await send('', { sign: String(sign).toUpperCase() })).toBe('BAD_SIGNATURE');
  });

  it('covers query, body and path', async () => {
    const [url, init] = setting.request(EVENT);
    const code = async (target: string, body = init.body) =>
      (await toAnswer(await fetch(target, { ...init, body: body ?? null }))).data['code'];
    expect(await code(`${url}&more=1`)).toBe('BAD_SIGNATURE');
    expect(await code(`${url}&vanishes=`)).toBe('OK');
    expect(await code(url, new URLSearchParams({ ...EVENT, userObject: 'y' }).toString())).toBe('BAD_SIGNATURE');
    expect(await code(url.replace('.do?', '.do//?'))).toBe('NOT_FOUND');
  });

  it('is wrong with a malformed escape in the query, and nothing breaks', async () => {
    const [url, init] = setting.request(EVENT);
    for (const odd of ['&a=%', '&a=%zz', '&a=%E6%B5%']) {
      expect((await toAnswer(await fetch(url + odd, init))).data['code']).toBe('BAD_SIGNATURE');
    }
  });

  it('of a key before a rotation is right until that key expires', async () => {
    const codes = async (): Promise<unknown[]> => {
      const keys = [OTHER_KEY, ...EARLIER_KEYS.map(({ key }) => key)];
      return Promise.all(keys.map(async (key) => (await setting.send(EVENT, { appId: 'ROTATED', key })).data['code']));
    };
    expect(await codes()).toEqual(['OK', 'OK', 'OK', 'BAD_SIGNATURE']);
    setting.clock.time += 1000;
    expect(await codes()).toEqual(['OK', 'BAD_SIGNATURE', 'OK', 'BAD_SIGNATURE']);
    setting.clock.time += 1000;
    expect(await codes()).toEqual(['OK', 'BAD_SIGNATURE', 'BAD_SIGNATURE', 'BAD_SIGNATURE']);
  });

  it('cannot be made for the centre itself', async () => {
    expect((await setting.send(EVENT, { appId: 'EVENT_CENTER' })).data['code']).toBe('UNKNOWN_APP');
  });
});

describe('the answer', () => {
  const refused = (code: string) => ({ status: 200, data: expect.objectContaining({ status: 0, code }) });

  it.each<[string, Parameters<SendingSetting['send']>]>([
    ['UNKNOWN_APP', [EVENT, { appId: 'NOBODY' }]],
    ['UNKNOWN_APP', [EVENT, { appId: 'OFF' }]],
    ['UNKNOWN_APP', [EVENT, { appId: '' }]],
    ['BAD_SIGNATURE', [EVENT, { key: OTHER_KEY }]],
    ['TIMESTAMP_EXPIRED', [EVENT, { ts: VECTOR_TS - 300_001 }]],
    ['TIMESTAMP_EXPIRED', [EVENT, { ts: VECTOR_TS + 300_001 }]],
    ['TIMESTAMP_EXPIRED', [EVENT, { ts: '' }]],
    ['TIMESTAMP_EXPIRED', [EVENT, { ts: 'now' }]],
    ['TIMESTAMP_EXPIRED', [EVENT, { ts: '9'.repeat(30) }]],
    ['INVALID_PARAM', [{ ...EVENT, sourceID: '' }]],
    ['INVALID_PARAM', [{ ...EVENT, deliverAt: 'soon' }]],
    ['UNKNOWN_EVENT_TYPE', [{ ...EVENT, eventType: 'NONE' }]],
    ['NOT_OWNER', [{ ...EVENT, eventType: 'OWNED' }]],
    ['SCHEMA_MISMATCH', [{ ...EVENT, eventType: 'STRICT', userObject: '{"n":"1"}' }]],
    ['NOT_IMPLEMENTED', [{ ...EVENT, orderKey: 'k' }]],
    ['NOT_IMPLEMENTED', [{ ...EVENT, orderKey: '' }]],
  ])('to a refusal by rule is 200 with %s', async (code, args) => {
    const answer = await setting.send(...args);
    expect(answer).toMatchObject(refused(code));
    expect(answer.data['msg']).toBe(answer.data['message']);
    expect(Object.keys(answer.data)).toEqual(['status', 'message', 'msg', 'code', 'eventId']);
    expect(answer.data['eventId']).toBe('');
    expect(setting.broker.messages).toEqual([]);
    expect(setting.metrics.counts.get(`refused ${code}`)).toBe(1);
  });

  it('to a ts at the limit is OK', async () => {
    expect((await setting.send(EVENT, { ts: VECTOR_TS - 300_000 })).data['code']).toBe('OK');
    expect((await setting.send(EVENT, { ts: VECTOR_TS + 300_000 })).data['code']).toBe('OK');
  });

  it('to a node over its rate is 429 with the seconds to wait', async () => {
    expect((await setting.send(EVENT, { appId: 'LIMITED' })).status).toBe(200);
    const answer = await setting.send(EVENT, { appId: 'LIMITED' });
    expect(answer).toMatchObject({ status: 429, data: { status: 0, code: 'RATE_LIMITED' } });
    expect(answer.headers.get('retry-after')).toBe('1');
  });

  it('to an unconfirmed event is 503 with the seconds to wait', async () => {
    setting.broker.refuse = 1;
    const answer = await setting.send(EVENT);
    expect(answer).toMatchObject({ status: 503, data: { status: 0, code: 'UNAVAILABLE', eventId: '' } });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  });

  it('to an unconfirmed event under a key is 503 with the id that a repeat gets', async () => {
    setting.broker.refuse = 1;
    const keyed = { ...EVENT, uuid: 'k' };
    const answer = await setting.send(keyed);
    expect(answer).toMatchObject({ status: 503, data: { status: 0, code: 'UNAVAILABLE' } });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    const repeat = await setting.send(keyed);
    expect(repeat.data).toMatchObject({ status: 1, code: 'OK', eventId: answer.data['eventId'] });
    expect(answer.data['eventId']).not.toBe('');
  });

  it('to an orderKey beside a wrong parameter names the parameter', async () => {
    const answer = await setting.send({ ...EVENT, sourceID: '', orderKey: 'k' });
    expect(answer).toMatchObject(refused('INVALID_PARAM'));
    expect(answer.data['message']).toContain('sourceID');
  });

  it('to a keyed repeat that is still running is 503', async () => {
    let confirm = (): void => undefined;
    const isPublishing = new Promise<void>((publishing) => {
      setting.broker.beforeConfirm = () => {
        publishing();
        return new Promise((resolve) => (confirm = resolve));
      };
    });
    const first = setting.send({ ...EVENT, uuid: 'k' });
    await isPublishing;
    const answer = await setting.send({ ...EVENT, uuid: 'k' });
    expect(answer).toMatchObject({ status: 503, data: { status: 0, code: 'IN_PROGRESS' } });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    confirm();
    expect((await first).data).toMatchObject({ code: 'OK', eventId: answer.data['eventId'] });
  });

  it('to a repeat of a key is DUPLICATE for the same fields in any order and form, else INVALID_PARAM', async () => {
    const keyed = { ...EVENT, userObject: '测 +', uuid: 'k' };
    const reordered = Object.fromEntries(Object.entries(keyed).reverse());
    const code = async (answer: Promise<Answer>) => (await answer).data['code'];
    expect(await code(setting.send(keyed))).toBe('OK');
    expect(await code(setting.send(reordered))).toBe('DUPLICATE');
    expect(await code(setting.sendJson(keyed))).toBe('DUPLICATE');
    const { uuid, ...keyInHeader } = keyed;
    expect(await code(setting.send(keyInHeader, { headers: { 'Idempotency-Key': uuid } }))).toBe('DUPLICATE');
    for (const more of [{ zz: '1' }, { zz: '' }, { tenantCode: '' }]) {
      const answer = await setting.send({ ...keyed, ...more });
      expect(answer).toMatchObject(refused('INVALID_PARAM'));
      expect(answer.data['message']).toContain('uuid');
    }
  });

  it('to something that broke here is 503 and tells nothing of it', async () => {
    setting.broker.beforeConfirm = () => Promise.reject(new Error('inner secret'));
    const answer = await setting.send(EVENT);
    expect(answer).toMatchObject({ status: 503, data: { status: 0, code: 'UNAVAILABLE' } });
    expect(JSON.stringify(answer.data)).not.toContain('inner secret');
    expect(setting.log.lines.some((line) => line.level === 'error')).toBe(true);
  });

  it('to another method is 405 with the one that is offered', async () => {
    for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
      const response = await fetch(`${setting.url}${SEND_PATH}`, { method });
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
      expect((await toAnswer(response)).data).toMatchObject({ status: 0, code: 'METHOD_NOT_ALLOWED' });
    }
  });

  it('to an unknown service under eventmanager is 404, and everything else is for the app', async () => {
    expect((await fetch(`${setting.url}/event/eventmanager/other.do`)).status).toBe(404);
    expect((await fetch(`${setting.url}/event/eventmanager/`)).status).toBe(404);
    expect((await fetch(`${setting.url}/event/eventmanager`)).status).toBe(418);
    expect((await fetch(`${setting.url}/api/v1/nodes`)).status).toBe(418);
  });
});

describe('an unknown application', () => {
  it('answers BAD_SIGNATURE when it is not to be revealed, also with a body that cannot be read', async () => {
    const hiding = await new SendingSetting(registered, { revealUnknownApp: false }).start();
    try {
      const codes = [];
      for (const appId of ['A', 'NOBODY', 'OFF', '']) {
        const wrong = await hiding.send(EVENT, { appId, key: OTHER_KEY });
        const unreadable = await hiding.send(EVENT, { appId, key: OTHER_KEY, body: 'a=%' });
        codes.push([wrong.data['code'], wrong.data['message'], unreadable.data['code'], unreadable.data['message']]);
      }
      expect(new Set(codes.map((code) => JSON.stringify(code))).size).toBe(1);
      expect(codes[0]?.[0]).toBe('BAD_SIGNATURE');
    } finally {
      await hiding.stop();
    }
  });

  it('is looked up in the store once before it is refused', async () => {
    expect((await setting.send(EVENT, { appId: 'NEW' })).data['code']).toBe('UNKNOWN_APP');
    expect(setting.registry.refreshes).toBe(1);
    setting.registry.registeredMeanwhile({ ...registered, version: 2, nodes: [aNode('NEW')] });
    expect((await setting.send(EVENT, { appId: 'NEW' })).data['code']).toBe('OK');
  });
});

describe('a JSON body', () => {
  it('is signed as if its fields were form fields, with its own length', async () => {
    expect((await setting.sendJson({ ...EVENT, userObject: '{"名":"\\n"}' })).data['code']).toBe('OK');
    expect(setting.broker.events[0]?.userObject?.toString()).toBe('{"名":"\\n"}');
    const fields = Object.entries(EVENT);
    const light = signCall({
      url: `${SEND_PATH}?appId=A&ts=${VECTOR_TS}`,
      fields,
      contentLength: 0,
      key: VECTOR_KEY,
      algorithm: 'HmacSHA1',
    });
    expect((await setting.sendJson(EVENT, { headers: { sign: light } })).data['code']).toBe('OK');
  });

  it.each([
    ['a number', '{"sourceID":1,"eventType":"ADD_AFTER"}', /^sourceID: .*number/],
    ['null', '{"sourceID":"USER","tenantCode":null}', /^tenantCode: .*null/],
    ['an object', '{"userObject":{"a":1}}', /^userObject: .*object/],
    ['an array', '{"userObject":["a"]}', /^userObject: .*array/],
    ['half a surrogate pair', '{"userObject":"\\ud800"}', /^userObject: /],
    ['a name twice', '{"userObject":"a","userObject":"b"}', /^body: .*once/],
    ['a name twice, once nested', '{"userObject":{"userObject":"a"},"userObject":"b"}', /^body: .*once/],
    ['no object', '["a"]', /^body: /],
    ['no JSON', '{"a":', /^body: /],
    ['nothing', '', /^body: /],
  ])('with %s is refused, naming the field', async (_name, body, message) => {
    const answer = await setting.sendJson(EVENT, { body });
    expect(answer).toMatchObject({
      status: 200,
      data: { status: 0, code: 'INVALID_PARAM', message: expect.stringMatching(message) },
    });
  });
});

describe('a body', () => {
  it.each([
    ['application/x-www-form-urlencoded;charset=utf-8', 'OK'],
    ['Application/X-WWW-Form-Urlencoded; Charset="UTF-8"', 'OK'],
    ['application/x-www-form-urlencoded; charset=GBK', 'INVALID_PARAM'],
    ['application/json; charset=utf-16', 'INVALID_PARAM'],
    ['text/plain', 'INVALID_PARAM'],
    ['multipart/form-data; boundary=x', 'INVALID_PARAM'],
  ])('of content type %s answers %s', async (contentType, code) => {
    const answer = await setting.send(EVENT, { headers: { 'Content-Type': contentType } });
    expect(answer.data['code']).toBe(code);
    if (code !== 'OK') expect(answer.data['message']).toMatch(/^Content-Type: /);
  });

  it.each(['userObject=%', 'userObject=%zz', 'userObject=%E6%B5', 'userObject=%ff', '%=1'])(
    '%s is refused, naming the body',
    async (body) => {
      const answer = await setting.send(EVENT, { body });
      expect(answer.data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringMatching(/^body: /) });
    },
  );

  it('of raw bytes that are no UTF-8 is refused, and raw UTF-8 is taken', async () => {
    const [url, init] = setting.request(EVENT);
    const answer = await toAnswer(await fetch(url, { ...init, body: Buffer.from('userObject=\xff', 'latin1') }));
    expect(answer.data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringMatching(/^body: /) });
    const raw = { ...EVENT, userObject: '测试' };
    expect((await setting.send(raw, { body: 'sourceID=USER&eventType=ADD_AFTER&userObject=测试' })).data['code']).toBe(
      'OK',
    );
  });

  it('that is compressed or has too many fields is refused', async () => {
    expect((await setting.send(EVENT, { headers: { 'Content-Encoding': 'gzip' } })).data['message']).toMatch(
      /^Content-Encoding: /,
    );
    expect((await setting.send(EVENT, { body: 'a&'.repeat(1001) })).data['message']).toMatch(/^body: .*1000/);
  });

  it('may have fields that nobody knows, which are signed', async () => {
    expect((await setting.send({ ...EVENT, other: '1', appId: 'ignored', sign: 'ignored' })).data['code']).toBe('OK');
    expect((await setting.send([...Object.entries(EVENT), ['x', '2'], ['x', '1']])).data['code']).toBe('OK');
  });

  it('may call the payload data', async () => {
    expect((await setting.send({ sourceID: 'USER', eventType: 'ADD_AFTER', data: 'y' })).data['code']).toBe('OK');
    expect(setting.broker.events[0]?.userObject?.toString()).toBe('y');
    expect((await setting.send({ ...EVENT, data: 'y' })).data['message']).toMatch(/^data: /);
  });

  it('with a field twice is refused, naming the field', async () => {
    for (const [first, second] of [
      ['1', '2'],
      ['1', '1'],
    ] as const) {
      const answer = await setting.send([
        ['sourceID', 'USER'],
        ['eventType', 'ADD_AFTER'],
        ['userObject', first],
        ['userObject', second],
      ]);
      expect(answer.data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringMatching(/^userObject: /) });
    }
  });

  it('does not take its fields from the query, nor where the query leaves them unsigned', async () => {
    const onlyQuery = await setting.send({ sourceID: 'USER', eventType: 'ADD_AFTER' }, { query: '&userObject=q' });
    expect(onlyQuery.data['code']).toBe('OK');
    expect(setting.broker.events[0]?.userObject).toBeNull();
    const missing = await setting.send({ eventType: 'ADD_AFTER' }, { query: '&sourceID=USER' });
    expect(missing.data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringMatching(/^sourceID: /) });
    const both = await setting.send(EVENT, {
      query: '&userObject=q',
      signed: [
        ['sourceID', 'USER'],
        ['eventType', 'ADD_AFTER'],
      ],
    });
    expect(both.data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringMatching(/^userObject: .*query/) });
  });
});

describe('the headers', () => {
  it('may carry the application, which the query overrules', async () => {
    const path = `${SEND_PATH}?ts=${VECTOR_TS}`;
    const body = new URLSearchParams(EVENT).toString();
    const sign = signCall({
      url: path,
      fields: Object.entries(EVENT),
      contentLength: body.length,
      key: VECTOR_KEY,
      algorithm: 'HmacSHA1',
    });
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded', sign };
    const send = async (query: string, appId: string) =>
      (
        await toAnswer(
          await fetch(setting.url + path + query, { method: 'POST', body, headers: { ...headers, appId } }),
        )
      ).data['code'];
    expect(await send('', 'A')).toBe('OK');
    expect(await send('&appId=A', 'NOBODY')).toBe('OK');
    expect(await send('&appId=NOBODY', 'A')).toBe('UNKNOWN_APP');
    expect(setting.broker.events.map((event) => event.appId)).toEqual(['A', 'A']);
  });

  it('may carry the key and the trace', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await setting.send(EVENT, { headers: { 'Idempotency-Key': 'h', traceparent } });
    await setting.send({ ...EVENT, uuid: 'b' }, { headers: { 'Idempotency-Key': 'h' } });
    await setting.send({ ...EVENT, uuid: '' }, { headers: { 'Idempotency-Key': 'h2' } });
    expect(setting.broker.events.map((event) => event.senderUuid)).toEqual(['h', 'b', 'h2']);
    expect(setting.broker.events[0]?.traceparent).toBe(traceparent);
  });
});

describe('the registrations of a node', () => {
  const listener = {
    id: 'l1',
    eventTypeId: 'type USER ADD_AFTER',
    nodeCode: 'A',
    secret: 'hidden',
    headers: { a: 'hidden' },
    operIndex: 3,
    url: 'http://h/',
    retry: { strategy: 'default', maxAttempts: null, delaysMs: null },
  };
  const other = { ...listener, id: 'l2', eventTypeId: 'type USER OWNED', nodeCode: 'SHORT' };

  beforeEach(async () => {
    setting.registry.registeredMeanwhile({ ...registered, version: 9, listeners: [listener, other] as never });
    await setting.registry.refreshed();
  });

  it('are its own, without secrets', async () => {
    const answer = await setting.info(`nodeCode=A&ts=${VECTOR_TS}`, { headers: { appId: 'A' } });
    expect(answer).toMatchObject({
      status: 200,
      data: {
        status: 1,
        version: 9,
        eventTypes: [{ id: 'type USER ADD_AFTER', sourceId: 'USER', eventTypeCode: 'ADD_AFTER' }],
        listeners: [{ id: 'l1', sourceId: 'USER', eventTypeCode: 'ADD_AFTER', operIndex: 3, url: 'http://h/' }],
      },
    });
    expect(JSON.stringify(answer.data)).not.toContain('hidden');
    const owner = await setting.info(`appId=SHORT&ts=${VECTOR_TS}`, { key: 'pap' });
    expect(owner.data['eventTypes']).toMatchObject([{ eventTypeCode: 'OWNED' }]);
  });

  it('are for the signing node only', async () => {
    expect((await setting.info(`nodeCode=A&ts=${VECTOR_TS}`)).data['code']).toBeUndefined();
    expect((await setting.info(`nodeCode=SHORT&appId=A&ts=${VECTOR_TS}`)).data).toMatchObject({
      status: 0,
      code: 'INVALID_PARAM',
    });
    expect((await setting.info(`nodeCode=SHORT&ts=${VECTOR_TS}`)).data).toMatchObject({
      status: 0,
      code: 'BAD_SIGNATURE',
    });
    expect((await setting.info(`nodeCode=A&ts=1`)).data).toMatchObject({ status: 0, code: 'TIMESTAMP_EXPIRED' });
    expect((await setting.info(`ts=${VECTOR_TS}`)).data).toMatchObject({ status: 0, code: 'UNKNOWN_APP' });
  });

  it('are read with GET', async () => {
    const response = await fetch(`${setting.url}/event/eventmanager/eventinfo/index.do`, { method: 'POST', body: 'x' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET']);
  });
});
