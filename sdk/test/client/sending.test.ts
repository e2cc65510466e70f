import { createHmac } from 'node:crypto';
import { EventCenterClient, InvalidOptionError, RefusedError, UnavailableError } from '../../src/index.js';
import type { EventCenterClientOptions } from '../../src/index.js';
import { expectedSign, ScriptedCentre } from './scripted-centre.js';

const KEY = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=';
const EVENT = { sourceId: 'ERP', eventType: 'ORDER_CREATED' };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UNAVAILABLE = { status: 503, data: { status: 0, code: 'UNAVAILABLE', message: 'no confirm' } };

let centre: ScriptedCentre;
let clients: EventCenterClient[];

beforeEach(async () => {
  centre = await ScriptedCentre.start();
  clients = [];
});

afterEach(async () => {
  for (const client of clients) client.close();
  await centre.close();
});

function clientWith(options: Partial<EventCenterClientOptions> = {}): EventCenterClient {
  const client = new EventCenterClient({
    baseUrl: centre.url,
    appId: 'SHOP',
    appKey: KEY,
    retryDelayMs: 5,
    maxRetryDelayMs: 20,
    ...options,
  });
  clients.push(client);
  return client;
}

async function rejectionOf(promise: Promise<unknown>): Promise<any> {
  return promise.then(
    (value) => {
      throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

describe.each([
  ['node:http', {}],
  ['a given fetch', { fetch }],
])('sending over %s', (_name, transport) => {
  it('signs the form, makes a uuid and returns the event', async () => {
    const sent = await clientWith(transport).send({
      ...EVENT,
      tenantCode: 'T1',
      userObject: { name: 'Ärger & Söhne+' },
    });

    const [call] = centre.calls;
    expect(sent).toEqual({
      eventId: `event-of-${call!.fields['uuid']}`,
      code: 'OK',
      uuid: call!.fields['uuid'],
      attempts: 1,
    });
    expect(sent.uuid).toMatch(UUID);
    expect(call!.method).toBe('POST');
    expect(call!.target).toMatch(/^\/event\/eventmanager\/sendEventMsg\.do\?appId=SHOP&ts=\d+$/);
    expect(call!.headers['sign']).toBe(expectedSign(call!, KEY));
    expect(call!.headers['content-length']).toBe(String(Buffer.byteLength(call!.body)));
    expect(call!.fields).toEqual({
      sourceID: 'ERP',
      eventType: 'ORDER_CREATED',
      tenantCode: 'T1',
      userObject: '{"name":"Ärger & Söhne+"}',
      uuid: sent.uuid,
    });
  });

  it('repeats under the same uuid with a fresh ts and sign until the centre says yes', async () => {
    centre.answer(UNAVAILABLE, 'close', 'cut', { status: 502, body: '<html>' }, 'accept');
    const now = jest.spyOn(Date, 'now');
    let clock = 1_700_000_000_000;
    now.mockImplementation(() => (clock += 1000));
    const sent = await clientWith(transport).send({ ...EVENT, userObject: 'as it is' });
    now.mockRestore();

    expect(sent.attempts).toBe(5);
    expect(centre.calls).toHaveLength(5);
    expect(new Set(centre.calls.map((call) => call.fields['uuid']))).toEqual(new Set([sent.uuid]));
    expect(new Set(centre.calls.map((call) => call.ts)).size).toBe(5);
    for (const call of centre.calls) expect(call.headers['sign']).toBe(expectedSign(call, KEY));
  });

  it('gives up after its attempts with the uuid that makes a later repeat safe', async () => {
    centre.answerBy(() => UNAVAILABLE);
    const error = await rejectionOf(clientWith({ ...transport, maxAttempts: 3 }).send({ ...EVENT, uuid: 'order-1' }));

    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ code: 'UNAVAILABLE', status: 503, uuid: 'order-1' });
    expect(error.message).toContain('3 attempts');
    expect(error.message).toContain('no confirm');
    expect(centre.calls).toHaveLength(3);
  });

  it('ends an attempt that hangs at the time-out, and repeats it', async () => {
    centre.answer('hang', 'accept');
    expect(await clientWith({ ...transport, timeoutMs: 80 }).send(EVENT)).toMatchObject({ code: 'OK', attempts: 2 });

    centre.answerBy(() => 'hang');
    const error = await rejectionOf(clientWith({ ...transport, timeoutMs: 40, maxAttempts: 2 }).send(EVENT));
    expect(error).toMatchObject({ name: 'UnavailableError', code: 'TIMEOUT', status: null });
    expect(error.uuid).toMatch(UUID);
  });

  it('says unavailable when nobody listens', async () => {
    const { url } = centre;
    await centre.close();
    const error = await rejectionOf(clientWith({ ...transport, baseUrl: url, maxAttempts: 2 }).send(EVENT));
    expect(error).toMatchObject({ name: 'UnavailableError', code: 'UNAVAILABLE', status: null });
    expect(error.message).toContain('ECONNREFUSED');
    centre = await ScriptedCentre.start();
  });

  it('ends at the signal of its caller', async () => {
    centre.answerBy(() => 'hang');
    const controller = new AbortController();
    const sending = rejectionOf(clientWith(transport).send(EVENT, { signal: controller.signal }));
    setTimeout(() => controller.abort(), 30);
    expect(await sending).toMatchObject({ name: 'UnavailableError', code: 'ABORTED' });

    const never = await rejectionOf(clientWith(transport).send(EVENT, { signal: controller.signal }));
    expect(never).toMatchObject({ code: 'ABORTED' });
    expect(centre.calls).toHaveLength(1);
  });

  it('does not follow a redirect', async () => {
    centre.answer({ status: 307, headers: { location: '/elsewhere' }, body: '' });
    const error = await rejectionOf(clientWith(transport).send(EVENT));
    expect(error).toMatchObject({ name: 'RefusedError', code: 'UNEXPECTED_ANSWER' });
    expect(error.message).toContain('redirect');
    expect(centre.calls).toHaveLength(1);
  });
});

describe('what the centre answers', () => {
  it.each(['BAD_SIGNATURE', 'UNKNOWN_APP', 'UNKNOWN_EVENT_TYPE', 'SCHEMA_MISMATCH', 'NOT_OWNER', 'INVALID_PARAM'])(
    'is refused with %s, and not repeated',
    async (code) => {
      centre.answer({ data: { status: 0, code, message: 'because of the rule' } });
      const error = await rejectionOf(clientWith().send(EVENT));
      expect(error).toBeInstanceOf(RefusedError);
      expect(error).not.toBeInstanceOf(UnavailableError);
      expect(error).toMatchObject({ code, status: 200, eventId: null, message: 'because of the rule' });
      expect(centre.calls).toHaveLength(1);
    },
  );

  it('is refused with 413 for a body that is too large', async () => {
    centre.answer({ status: 413, data: { status: 0, code: 'PAYLOAD_TOO_LARGE', message: 'too large' } });
    expect(await rejectionOf(clientWith().send(EVENT))).toMatchObject({ code: 'PAYLOAD_TOO_LARGE', status: 413 });
    expect(centre.calls).toHaveLength(1);
  });

  it('is the first eventId for a repeat', async () => {
    centre.answer({ data: { status: 1, code: 'DUPLICATE', eventId: 'first' } });
    expect(await clientWith().send({ ...EVENT, uuid: 'k' })).toEqual({
      eventId: 'first',
      code: 'DUPLICATE',
      uuid: 'k',
      attempts: 1,
    });
  });

  it('waits as long as a 429 and an IN_PROGRESS ask for', async () => {
    centre.answer(
      { status: 429, data: { status: 0, code: 'RATE_LIMITED', message: 'slower' }, headers: { 'retry-after': '1' } },
      'accept',
    );
    expect(await clientWith({ maxRetryDelayMs: 5_000 }).send(EVENT)).toMatchObject({ attempts: 2 });
    expect(centre.calls[1]!.at - centre.calls[0]!.at).toBeGreaterThanOrEqual(990);
  });

  it('waits no longer than the longest delay, whatever Retry-After says', async () => {
    const later = { ...UNAVAILABLE, headers: { 'retry-after': '3600' } };
    centre.answer(later, 'accept');
    expect(await clientWith({ maxRetryDelayMs: 50 }).send(EVENT)).toMatchObject({ attempts: 2 });
    expect(centre.calls[1]!.at - centre.calls[0]!.at).toBeGreaterThanOrEqual(49);
    expect(centre.calls[1]!.at - centre.calls[0]!.at).toBeLessThan(2_000);
  });

  it('is unavailable and not repeated when 200 is somebody else speaking', async () => {
    centre.answer({ body: '<html>welcome</html>' });
    const error = await rejectionOf(clientWith().send(EVENT));
    expect(error).toMatchObject({ name: 'UnavailableError', code: 'UNEXPECTED_ANSWER', status: 200 });
    expect(error.uuid).toMatch(UUID);
    expect(error.message).toContain('contextPath');
    expect(centre.calls).toHaveLength(1);
  });

  it('is refused when a 404 is somebody else speaking', async () => {
    centre.answer({ status: 404, body: 'not found' });
    expect(await rejectionOf(clientWith().send(EVENT))).toMatchObject({ name: 'RefusedError', status: 404 });
  });
});

describe('a clock that is off', () => {
  const EXPIRED = { status: 0, code: 'TIMESTAMP_EXPIRED', message: 'ts is too far away' };

  it('is told by the answer, once, and remembered', async () => {
    const centreNow = Date.now() + 3_600_000;
    const date = new Date(centreNow).toUTCString();
    centre.answerBy((call) =>
      Math.abs(Number(call.ts) - centreNow) > 300_000 ? { data: EXPIRED, headers: { date } } : 'accept',
    );
    const client = clientWith();

    expect(await client.send(EVENT)).toMatchObject({ code: 'OK', attempts: 1 });
    expect(centre.calls).toHaveLength(2);
    expect(centre.calls[0]!.fields['uuid']).toBe(centre.calls[1]!.fields['uuid']);
    await client.send(EVENT);
    expect(centre.calls).toHaveLength(3);
  });

  it('is refused when the answer does not show a difference', async () => {
    centre.answerBy(() => ({ data: EXPIRED }));
    expect(await rejectionOf(clientWith().send(EVENT))).toMatchObject({ code: 'TIMESTAMP_EXPIRED' });
    expect(centre.calls).toHaveLength(1);
  });

  it('is refused when the centre does not take its own time either', async () => {
    centre.answerBy(() => ({ data: EXPIRED, headers: { date: new Date(Date.now() + 3_600_000).toUTCString() } }));
    expect(await rejectionOf(clientWith().send(EVENT))).toMatchObject({ code: 'TIMESTAMP_EXPIRED' });
    expect(centre.calls).toHaveLength(2);
  });
});

describe('what is sent', () => {
  it('is JSON, except for a text', async () => {
    const client = clientWith();
    const payloads = [{ a: [1, null] }, 'not JSON', '{"a":1}', 12, true, null, [1, 2], ''];
    for (const userObject of payloads) await client.send({ ...EVENT, userObject });
    await client.send(EVENT);
    expect(centre.calls.map((call) => call.fields['userObject'])).toEqual([
      '{"a":[1,null]}',
      'not JSON',
      '{"a":1}',
      '12',
      'true',
      'null',
      '[1,2]',
      '',
      undefined,
    ]);
  });

  it('carries the time of delivery, the tenant and the trace', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await clientWith().send({ ...EVENT, deliverAt: new Date(1_900_000_000_000), tenantCode: 'T', traceparent });
    await clientWith().send({ ...EVENT, deliverAt: 1_900_000_000_001, traceparent: 'nonsense\r\nx: y' });
    expect(centre.calls[0]!.fields).toMatchObject({ deliverAt: '1900000000000', tenantCode: 'T' });
    expect(centre.calls[0]!.headers['traceparent']).toBe(traceparent);
    expect(centre.calls[1]!.fields['deliverAt']).toBe('1900000000001');
    expect(centre.calls[1]!.headers['traceparent']).toBeUndefined();
  });

  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  it.each<[string, Record<string, unknown>]>([
    ['sourceId', { sourceId: '' }],
    ['sourceId', { sourceId: 7 }],
    ['sourceId', { sourceId: 'x'.repeat(41) }],
    ['eventType', { eventType: undefined }],
    ['eventType', { eventType: '\ud800' }],
    ['tenantCode', { tenantCode: 'x'.repeat(41) }],
    ['userObject', { userObject: undefined }],
    ['userObject', { userObject: () => 1 }],
    ['userObject', { userObject: 1n }],
    ['userObject', { userObject: Number.NaN }],
    ['userObject', { userObject: cycle }],
    ['userObject', { userObject: 'half \udc00' }],
    ['uuid', { uuid: '' }],
    ['uuid', { uuid: 'x'.repeat(129) }],
    ['uuid', { uuid: 'line\nbreak' }],
    ['deliverAt', { deliverAt: new Date('nonsense') }],
    ['deliverAt', { deliverAt: -1 }],
    ['deliverAt', { deliverAt: 1.5 }],
    ['deliverAt', { deliverAt: '2030-01-01' }],
  ])('is refused at %s before anything is sent: %p', async (field, wrong) => {
    const error = await rejectionOf(clientWith().send({ ...EVENT, ...wrong }));
    expect(error).toBeInstanceOf(InvalidOptionError);
    expect(error).toMatchObject({ field, code: 'INVALID_PARAM' });
    expect(error.message).toMatch(new RegExp(`^${field}: `));
    expect(centre.calls).toHaveLength(0);
  });

  it('counts characters as code points', async () => {
    await clientWith().send({ sourceId: '𝔸'.repeat(40), eventType: 'T' });
    expect(centre.calls).toHaveLength(1);
  });
});

describe('sendMany', () => {
  const many = Array.from({ length: 30 }, (_, index) => ({ ...EVENT, uuid: `k${index}` }));

  it('gives the results in the order of the events, whatever becomes of each', async () => {
    centre.answerBy(({ fields }) => {
      if (fields['uuid'] === 'k3') return { data: { status: 0, code: 'UNKNOWN_EVENT_TYPE', message: 'unknown' } };
      return fields['uuid'] === 'k5' ? UNAVAILABLE : 'accept';
    });
    const events = [...many];
    events[7] = { ...EVENT, uuid: '' };
    const results = await clientWith({ maxAttempts: 2 }).sendMany(events);

    expect(results).toHaveLength(30);
    for (const [index, result] of results.entries()) {
      if (index === 3) expect(result).toMatchObject({ ok: false, error: { code: 'UNKNOWN_EVENT_TYPE' } });
      else if (index === 5) expect(result).toMatchObject({ ok: false, error: { code: 'UNAVAILABLE', uuid: 'k5' } });
      else if (index === 7) expect(result).toMatchObject({ ok: false, error: { field: 'uuid' } });
      else expect(result).toMatchObject({ ok: true, eventId: `event-of-k${index}`, uuid: `k${index}` });
    }
  });

  it('has no more on their way than it may, over as many connections', async () => {
    centre.delayMs = 10;
    await clientWith().sendMany(many, { concurrency: 4 });
    expect(centre.mostOpen).toBe(4);
    expect(centre.connections).toBe(4);
    await expect(clientWith().sendMany(many, { concurrency: 0 })).rejects.toMatchObject({ field: 'concurrency' });
    expect(await clientWith().sendMany([])).toEqual([]);
  });
});

describe('a client', () => {
  it('keeps its connection', async () => {
    const client = clientWith();
    for (let count = 0; count < 5; count += 1) await client.send(EVENT);
    expect(centre.connections).toBe(1);
  });

  it('uses the given path, context and algorithm', async () => {
    const client = clientWith({ baseUrl: `${centre.url}/behind/`, contextPath: '/ec/v2', algorithm: 'HmacSHA256' });
    await client.send({ ...EVENT, uuid: 'k' });
    const [call] = centre.calls;
    expect(call!.target).toMatch(/^\/behind\/ec\/v2\/eventmanager\/sendEventMsg\.do\?/);
    const signed = `SignProp{ts=${call!.ts}, remoteUserName='null', queryString='ts${call!.ts}', requestUrl='/behind/ec/v2/eventmanager/sendEventMsg.do', ip='null', contentLength='${call!.body.length}', paramsStr='eventTypeORDER_CREATEDsourceIDERPuuidk'}`;
    expect(call!.headers['sign']).toBe(createHmac('sha256', Buffer.from(KEY, 'base64')).update(signed).digest('hex'));
  });

  it.each([
    ['baseUrl', { baseUrl: '' }],
    ['baseUrl', { baseUrl: 'ftp://host' }],
    ['baseUrl', { baseUrl: 'http://user:word@host' }],
    ['baseUrl', { baseUrl: 'http://host/?a=b' }],
    ['appId', { appId: '' }],
    ['appKey', { appKey: '====' }],
    ['contextPath', { contextPath: 'event' }],
    ['algorithm', { algorithm: 'HmacMD5' as never }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['maxAttempts', { maxAttempts: 0 }],
    ['retryDelayMs', { retryDelayMs: -1 }],
    ['maxRetryDelayMs', { maxRetryDelayMs: 1.5 }],
  ])('refuses a wrong %s: %p', (field, options) => {
    expect(() => clientWith(options)).toThrow(InvalidOptionError);
    expect(() => clientWith(options)).toThrow(expect.objectContaining({ field }));
  });

  it('asks for its registrations with a signed GET', async () => {
    const data = { status: 1, version: 7, eventTypes: [{ id: 't' }], listeners: [{ id: 'l' }] };
    centre.answer({ data });
    const { version, eventTypes, listeners } = await clientWith().registrations();
    expect({ version, eventTypes, listeners }).toEqual({
      version: 7,
      eventTypes: [{ id: 't' }],
      listeners: [{ id: 'l' }],
    });
    const [call] = centre.calls;
    expect(call!.method).toBe('GET');
    expect(call!.target).toBe(`/event/eventmanager/eventinfo/index.do?appId=SHOP&ts=${call!.ts}&nodeCode=SHOP`);
    const signed = `SignProp{ts=${call!.ts}, remoteUserName='null', queryString='ts${call!.ts}nodeCodeSHOP', requestUrl='/event/eventmanager/eventinfo/index.do', ip='null', contentLength='0', paramsStr='null'}`;
    expect(call!.headers['sign']).toBe(createHmac('sha1', Buffer.from(KEY, 'base64')).update(signed).digest('hex'));

    centre.answer({ data: { status: 1 } });
    await expect(clientWith().registrations()).rejects.toMatchObject({ code: 'UNEXPECTED_ANSWER' });
  });
});

describe('fromEnv', () => {
  const variables = () => ({ EVENT_CENTER_URL: centre.url, EVENT_CENTER_APP_ID: 'SHOP', EVENT_CENTER_APP_KEY: KEY });

  it('sends as the environment says', async () => {
    const client = EventCenterClient.fromEnv({
      ...variables(),
      EVENT_CENTER_CONTEXT_PATH: '/ec',
      EVENT_CENTER_ALGORITHM: '',
    });
    clients.push(client);
    await client.send(EVENT);
    expect(centre.calls[0]!.target).toMatch(/^\/ec\/eventmanager\/sendEventMsg\.do\?appId=SHOP&/);
    expect(centre.calls[0]!.headers['sign']).toBe(expectedSign(centre.calls[0]!, KEY));
  });

  it('names every variable that is missing, and the one that is wrong', () => {
    const missing = { EVENT_CENTER_APP_ID: '', EVENT_CENTER_URL: 'http://host' };
    expect(() => EventCenterClient.fromEnv(missing)).toThrow('EVENT_CENTER_APP_ID, EVENT_CENTER_APP_KEY: must be set');
    expect(() => EventCenterClient.fromEnv({ ...variables(), EVENT_CENTER_ALGORITHM: 'MD5' })).toThrow(
      /^EVENT_CENTER_ALGORITHM: expected one of HmacSHA1/,
    );
    expect(() => EventCenterClient.fromEnv({ ...variables(), EVENT_CENTER_URL: 'nowhere' })).toThrow(
      /^EVENT_CENTER_URL: /,
    );
  });
});
