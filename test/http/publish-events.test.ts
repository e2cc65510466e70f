import express, { type ErrorRequestHandler } from 'express';
import fc from 'fast-check';
import request from 'supertest';
import { EventCenterError } from '../../src/core/errors.js';
import { publishEvents } from '../../src/http/publish-events.js';
import { readEventTexts } from '../../src/http/user-object-text.js';
import { AcceptingSetting, aNode, anEventType, VECTOR_TS } from '../support/accepting.js';

const MAX_PAYLOAD = 1024;
const EVENT = { sourceId: 'USER', eventType: 'ADD' };

function newSetting(data: Parameters<typeof anEventType>[2] = {}, nodeCode: string | null = null) {
  const setting = new AcceptingSetting({ nodes: [aNode('A')], eventTypes: [anEventType('USER', 'ADD', data)] });
  const app = express();
  const callerOf = () => ({ actor: { name: 'token:t', requestId: null }, nodeCode });
  app.post('/api/v1/events', ...publishEvents({ acceptor: setting.acceptor, callerOf, maxBodyBytes: MAX_PAYLOAD }));
  const answerError: ErrorRequestHandler = (error: unknown, _req, res, _next) => {
    if (error instanceof EventCenterError) {
      res.status(error.status).json({ code: error.code, errors: error.fields, ...error.extra });
    } else res.status((error as { status?: number }).status ?? 500).json({});
  };
  app.use(answerError);
  return {
    ...setting,
    setting,
    publish: (body: unknown) =>
      request(app)
        .post('/api/v1/events')
        .type('json')
        .send(body as object),
  };
}

describe('POST /api/v1/events', () => {
  it('answers 202 with the id of one event', async () => {
    const { setting, publish } = newSetting();
    const answer = await publish({ ...EVENT, tenantCode: 't', userObject: { a: [1, null] }, uuid: 'k' });
    expect([answer.status, answer.body]).toEqual([202, { eventId: setting.broker.events[0]?.eventId, code: 'OK' }]);
    expect(setting.broker.events).toMatchObject([
      { appId: 'EVENT_CENTER', tenantCode: 't', senderUuid: 'k', acceptedAt: VECTOR_TS },
    ]);
    expect(
      (await publish({ ...EVENT, tenantCode: 't', userObject: { a: [1, null] }, idempotencyKey: 'k' })).body.code,
    ).toBe('DUPLICATE');
    expect(setting.log.lines[0]?.fields['actor']).toBe('token:t');
  });

  it.each([
    ['a text as it is', '{"a": 1.0}', '{"a": 1.0}'],
    ['an object as JSON', { a: '测' }, '{"a":"测"}'],
    ['a number', 1.5, '1.5'],
    ['false', false, 'false'],
    ['an array', [], '[]'],
    ['null as none', null, undefined],
    ['nothing', undefined, undefined],
  ])('sends %s', async (_name, userObject, expected) => {
    const { setting, publish } = newSetting();
    expect((await publish({ ...EVENT, userObject })).status).toBe(202);
    expect(setting.broker.events[0]?.userObject?.toString()).toBe(expected);
  });

  it.each<[string, unknown, number, string, string]>([
    ['a missing field', { sourceId: 'USER' }, 422, 'INVALID_PARAM', 'eventType'],
    ['a wrong type', { ...EVENT, sourceId: 1 }, 422, 'INVALID_PARAM', 'sourceId'],
    ['an unknown field', { ...EVENT, tenant: 't' }, 422, 'INVALID_PARAM', 'tenant'],
    ['an empty orderKey', { ...EVENT, orderKey: '' }, 422, 'NOT_IMPLEMENTED', 'orderKey'],
    ['two different keys', { ...EVENT, uuid: 'a', idempotencyKey: 'b' }, 422, 'INVALID_PARAM', 'idempotencyKey'],
    ['half a surrogate pair', { ...EVENT, userObject: '\ud800' }, 422, 'INVALID_PARAM', 'userObject'],
    ['a fraction of a millisecond', { ...EVENT, deliverAt: 1.5 }, 422, 'INVALID_PARAM', 'deliverAt'],
    ['a wrong time', { ...EVENT, deliverAt: 'soon' }, 422, 'INVALID_PARAM', 'deliverAt'],
    ['an unknown node', { ...EVENT, appId: 'NOBODY' }, 422, 'INVALID_PARAM', 'appId'],
    ['no object', '"x"', 400, '', ''],
    ['no events', [], 422, 'INVALID_PARAM', 'body'],
    ['too many events', Array.from({ length: 501 }, () => EVENT), 422, 'INVALID_PARAM', 'body'],
  ])('refuses %s', async (_name, body, status, code, path) => {
    const { setting, publish } = newSetting();
    const answer = await publish(body);
    expect(answer.status).toBe(status);
    if (code !== '') expect(answer.body).toMatchObject({ code, errors: [expect.objectContaining({ path })] });
    expect(setting.broker.messages).toEqual([]);
    if (Array.isArray(body) || code === '') return;
    expect(setting.log.lines.map((line) => [line.event, line.fields['code']])).toEqual([['event.refused', code]]);
  });

  it.each<[object, string, string]>([
    [{ sourceId: undefined }, 'sourceId', 'is required (expected string)'],
    [{ sourceId: '' }, 'sourceId', 'expected at least 1 characters, found 0'],
    [{ eventType: 'x'.repeat(41) }, 'eventType', 'expected at most 40 characters, found 41'],
    [{ eventType: null }, 'eventType', 'expected string, found null'],
    [{ deliverAt: 1.5 }, 'deliverAt', 'expected string or whole number, found 1.5'],
    [{ deliverAt: true }, 'deliverAt', 'expected string or number, found boolean'],
    [{ deliverAt: '\ud800' }, 'deliverAt', 'expected text that can be written as UTF-8'],
    [{ tenant: 't' }, 'tenant', 'there is no such field'],
  ])('says of %j at %s what is wrong', async (over, path, message) => {
    const { publish } = newSetting();
    expect((await publish({ ...EVENT, ...over })).body.errors).toEqual([{ path, message }]);
  });

  it('names a bounded number of fields, however many and long they are', async () => {
    const { publish } = newSetting();
    const many = Object.fromEntries(Array.from({ length: 300_000 }, (_, index) => [`f${index}`, 0]));
    const { status, body, text } = await publish({ ...many, ['x'.repeat(100_000)]: 0 });
    expect([status, body.code, body.errors.length]).toEqual([422, 'INVALID_PARAM', 50]);
    const long = await publish({ ...EVENT, ['x'.repeat(100_000)]: 0 });
    expect(long.body.errors).toEqual([{ path: `${'x'.repeat(200)}…`, message: 'there is no such field' }]);
    expect(Math.max(text.length, long.text.length)).toBeLessThan(10_000);
  });

  it('refuses what the signed route refuses, with the status of the management API', async () => {
    const { setting, publish } = newSetting({ schema: { type: 'object' } });
    expect((await publish({ ...EVENT, eventType: 'NONE' })).body.code).toBe('UNKNOWN_EVENT_TYPE');
    expect(await publish({ ...EVENT, userObject: [] })).toMatchObject({
      status: 422,
      body: { code: 'SCHEMA_MISMATCH' },
    });
    expect(await publish({ ...EVENT, userObject: { a: 'x'.repeat(MAX_PAYLOAD) } })).toMatchObject({
      status: 413,
      body: { code: 'PAYLOAD_TOO_LARGE' },
    });
    setting.broker.refuse = 1;
    expect(await publish({ ...EVENT, userObject: {} })).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE' } });
    expect((await publish({ ...EVENT, orderKey: 'k' })).body.code).toBe('NOT_IMPLEMENTED');
  });

  it('tells the id of a keyed event that was not confirmed, which a repeat gets too', async () => {
    const { setting, publish } = newSetting();
    const keyed = { ...EVENT, uuid: 'k' };
    setting.broker.refuse = 2;
    const alone = await publish(keyed);
    const [item] = (await publish([keyed])).body.items;
    const { body: repeat } = await publish(keyed);
    expect([alone.status, alone.body.code, alone.body.eventId]).toEqual([503, 'UNAVAILABLE', repeat.eventId]);
    expect(item).toMatchObject({ status: 503, code: 'UNAVAILABLE', eventId: repeat.eventId });
    setting.broker.refuse = 1;
    expect((await publish(EVENT)).body).not.toHaveProperty('eventId');
  });

  it('schedules by ms or RFC 3339', async () => {
    const { setting, publish } = newSetting();
    await publish({ ...EVENT, deliverAt: VECTOR_TS + 5 });
    await publish({ ...EVENT, deliverAt: new Date(VECTOR_TS + 6).toISOString() });
    expect(setting.broker.scheduled.map((event) => event.deliverAt)).toEqual([VECTOR_TS + 5, VECTOR_TS + 6]);
  });

  it('takes key and trace of one event from the headers', async () => {
    const { setting, publish } = newSetting();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await publish(EVENT).set('Idempotency-Key', 'h').set('traceparent', traceparent);
    expect(setting.broker.events).toMatchObject([{ senderUuid: 'h', traceparent }]);
  });

  it('refuses a body that is no JSON by its type', async () => {
    const { publish } = newSetting();
    expect((await publish('a=b').type('text/plain')).body.code).toBe('UNSUPPORTED_MEDIA_TYPE');
  });

  it('answers each event of an array on its own, in order, a bounded number at a time', async () => {
    const { setting, publish } = newSetting();
    let running = 0;
    let most = 0;
    setting.broker.beforeConfirm = async () => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
    };
    const inputs = Array.from({ length: 500 }, (_, n) =>
      n % 100 === 7 ? { ...EVENT, eventType: 'NONE' } : { ...EVENT, userObject: n },
    );
    const answer = await publish(inputs);
    expect(answer.status).toBe(207);
    const items = answer.body.items as { status: number; code: string; eventId: string | null }[];
    const payloads = new Map(setting.broker.events.map((event) => [event.eventId, event.userObject?.toString()]));
    items.forEach((item, n) => {
      if (n % 100 === 7) expect(item).toMatchObject({ status: 422, code: 'UNKNOWN_EVENT_TYPE', eventId: null });
      else expect([item.status, item.code, payloads.get(item.eventId as string)]).toEqual([202, 'OK', String(n)]);
    });
    expect(items).toHaveLength(500);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(32);
  });

  it('reports broken items without failing the others', async () => {
    const { setting, publish } = newSetting();
    let calls = 0;
    setting.broker.beforeConfirm = () => ((calls += 1) === 1 ? Promise.reject(new Error('inner')) : Promise.resolve());
    const answer = await publish([EVENT, EVENT, 7]);
    expect(answer.body.items).toMatchObject([
      { status: 500, code: 'INTERNAL' },
      { status: 202, code: 'OK' },
      { status: 422, code: 'INVALID_PARAM' },
    ]);
    expect(JSON.stringify(answer.body)).not.toContain('inner');
  });
});

describe('the text of userObject', () => {
  const published = async (body: string) => {
    const { setting, publish } = newSetting();
    const answer = await publish(body);
    return { answer, texts: setting.broker.events.map((event) => event.userObject?.toString()) };
  };
  const HARD =
    '{"big":12345678901234567890,"f":1.0,"e":1E400,"a":1,"a":2,"s":"\\u6d4b, }]\\"","o":[{"userObject":0.10}]}';

  it('keeps every digit, every name and every escape', async () => {
    const { answer, texts } = await published(`{"sourceId":"USER","userObject": ${HARD} ,"eventType":"ADD"}`);
    expect([answer.status, texts]).toEqual([202, [HARD]]);
  });

  it('keeps them in an array too', async () => {
    const item = (userObject: string) => `{"userObject":${userObject},"sourceId":"USER","eventType":"ADD"}`;
    const none = '{"sourceId":"USER","eventType":"ADD"}';
    const { answer, texts } = await published(
      `[ 7, ${item(HARD)},${none},[{"userObject":3}], ${item('2.50')}, ${item('"x"')}]`,
    );
    expect(answer.body.items.map((each: { status: number }) => each.status)).toEqual([422, 202, 202, 422, 202, 202]);
    expect(texts).toEqual([HARD, undefined, '2.50', 'x']);
  });

  it('is found by an escaped name', async () => {
    const { texts } = await published('{"sourceId":"USER","eventType":"ADD","\\u0075serObject":1.0}');
    expect(texts).toEqual(['1.0']);
  });

  it.each(['userObject', 'sourceId'])('is refused when %s stands twice', async (name) => {
    const fields = `"sourceId":"USER","eventType":"ADD","userObject":1,"${name}":"USER"`;
    const one = await published(`{${fields}}`);
    expect(one.answer.body).toMatchObject({ code: 'INVALID_PARAM', errors: [{ path: name }] });
    const many = await published(`[{${fields}},{"sourceId":"USER","eventType":"ADD"}]`);
    expect(many.answer.body.items).toMatchObject([
      { code: 'INVALID_PARAM', errors: [{ path: name }] },
      { status: 202 },
    ]);
  });

  it('is bound by its bytes as it stands', async () => {
    const { answer } = await published(
      `{"sourceId":"USER","eventType":"ADD","userObject":[1${' '.repeat(MAX_PAYLOAD)}]}`,
    );
    expect(answer.body.code).toBe('PAYLOAD_TOO_LARGE');
  });

  it('is what was written, for any JSON', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.json(), fc.constantFrom('', ' ', '\n\t'))), (values) => {
        const items = values.map(([json, space]) => `{"a":${json},"userObject":${space}${json}${space},"z":[]}`);
        expect(readEventTexts(`[${items.join(',')}]`).map((text) => text.userObject)).toEqual(
          values.map(([json]) => json),
        );
        for (const [index, item] of items.entries()) {
          expect(readEventTexts(item)).toEqual([{ userObject: values[index]?.[0], repeated: null }]);
        }
      }),
    );
  });
});

describe('events of one array under one key', () => {
  it('follow one another: a repeat is a duplicate, another body is refused', async () => {
    const { setting, publish } = newSetting();
    let running = 0;
    let most = 0;
    setting.broker.beforeConfirm = async () => {
      most = Math.max(most, (running += 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
      running -= 1;
    };
    const keyed = { ...EVENT, userObject: { a: 1 }, uuid: 'k' };
    const answer = await publish([
      keyed,
      { userObject: { a: 1 }, eventType: 'ADD', sourceId: 'USER', idempotencyKey: 'k' },
      { ...keyed, userObject: { a: 2 } },
      { ...keyed, tenantCode: 't' },
      { ...keyed, appId: 'A' },
      { ...keyed, uuid: '' },
      { ...keyed, uuid: '' },
    ]);
    expect(answer.body.items.map((item: { code: string }) => item.code)).toEqual([
      'OK',
      'DUPLICATE',
      'INVALID_PARAM',
      'INVALID_PARAM',
      'OK',
      'OK',
      'OK',
    ]);
    expect(setting.broker.messages).toHaveLength(4);
    expect(most).toBeGreaterThan(1);
  });
});
