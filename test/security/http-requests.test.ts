import { gzipSync } from 'node:zlib';
import { request } from 'undici';
import { Flow } from '../support/flow.js';
import { rawConnection, rawExchange, rawRequestText } from '../support/raw-http.js';
import { until } from '../support/until.js';

const SEND = '/event/eventmanager/sendEventMsg.do';

let flow: Flow;
beforeAll(async () => {
  flow = await Flow.start('the embedded broker and SQLite');
});
afterAll(() => flow.close());

const url = (): string => flow.centre.url;
const bearer = (): string => `Authorization: Bearer ${flow.centre.token}`;
const ask = (line: string, headers: string[] = [], body = '') =>
  rawExchange(url(), rawRequestText(line, headers, body));

/** A good sender is still served. */
const expectServed = async (): Promise<void> => {
  await flow.send(await flow.eventType());
};

describe('a request that is none', () => {
  const post = (...headers: string[]): string => [`POST ${SEND} HTTP/1.1`, 'Host: h', ...headers].join('\r\n');
  const body = '\r\n\r\n0\r\n\r\n';

  it.each<[what: string, bytes: string | Buffer, status: number | null]>([
    ['text', 'hello\r\n\r\n', 400],
    ['a TLS handshake', Buffer.from('16030100c8010000c40303', 'hex'), 400],
    ['an HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['HTTP/0.9', 'GET /healthz\r\n\r\n', 505],
    ['HTTP/3.7', 'GET /healthz HTTP/3.7\r\nHost: h\r\n\r\n', 400],
    ['a request without a host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['a fragment behind its path', 'GET /metrics#x HTTP/1.1\r\nHost: h\r\n\r\n', 400],
    ['two hosts', 'GET /healthz HTTP/1.1\r\nHost: h\r\nhOST: i\r\n\r\n', 400],
    ['the same host twice', 'GET /api/v1/nodes HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n', 400],
    ['two content types', `${post('Content-Type: application/json', 'content-type: text/plain')}\r\n\r\n`, 400],
    ['two tokens', `${post('Authorization: Bearer a', 'authorization: Bearer b')}\r\n\r\n`, 400],
    ['the same content type twice', `${post('Content-Type: a/b', 'X: y', 'Content-Type: a/b')}\r\n\r\n`, 400],
    ['bare line feeds', 'GET /healthz HTTP/1.1\nHost: h\nConnection: close\n\n', 400],
    ['a folded header', 'GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n', 400],
    ['a NUL in its path', 'GET /healthz\0 HTTP/1.1\r\nHost: h\r\n\r\n', 400],
    ['a NUL in a header', 'GET /healthz HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n', 400],
    ['two different lengths', `${post('Content-Length: 3', 'Content-Length: 4')}\r\n\r\nabcd`, 400],
    ['the same length twice', `${post('Content-Length: 3', 'Content-Length: 3')}\r\n\r\nabc`, 400],
    ['a length with a sign', `${post('Content-Length: +3')}\r\n\r\nabc`, 400],
    ['a space before a colon', `${post('Content-Length : 3')}\r\n\r\nabc`, 400],
    ['a length beside chunks', post('Content-Length: 3', 'Transfer-Encoding: chunked') + body, 400],
    ['chunks beside a length', post('Transfer-Encoding: chunked', 'Content-Length: 3') + body, 400],
    ['an unknown coding', post('Transfer-Encoding: xchunked') + body, 501],
    ['a coding before chunked', post('Transfer-Encoding: gzip, chunked') + body, 501],
    ['chunked twice', post('Transfer-Encoding: chunked, chunked') + body, 400],
    ['a chunk without a size', `${post('Transfer-Encoding: chunked')}\r\n\r\nzz\r\n`, 400],
    ['a chunk with a huge extension', `${post('Transfer-Encoding: chunked')}\r\n\r\n1;${'x'.repeat(40_000)}\r\n`, 413],
    ['a tunnel', 'CONNECT elsewhere.test:80 HTTP/1.1\r\nHost: h\r\n\r\n', null],
    ['another expectation', `${post('Expect: 200-maybe', 'Content-Length: 1', 'Connection: close')}\r\n\r\na`, 417],
  ])('is refused and its connection closed: %s', async (_, bytes, status) => {
    const answer = await rawExchange(url(), bytes);
    expect(answer.status).toBe(status);
    expect(answer.text).not.toMatch(/"status":1|\n\s+at /);
    await expectServed();
  });
});

describe('the head of a request', () => {
  const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `x${index}: y`);

  it('may have 200 headers; with one more it is refused instead of being cut', async () => {
    expect((await ask('GET /healthz', many(198))).status).toBe(200);
    expect((await ask('GET /healthz', many(199))).status).toBe(431);
    expect((await ask('GET /healthz', many(1_000))).status).toBe(431);
  });

  it('is refused beyond 16 KiB, in its line or in a header', async () => {
    expect((await ask(`GET /${'y'.repeat(20_000)}`)).status).toBe(431);
    expect((await ask('GET /healthz', [`x: ${'y'.repeat(20_000)}`])).status).toBe(431);
    expect((await ask(`POST ${SEND}?${'y'.repeat(20_000)}`)).status).toBe(431);
  });

  it('costs no time with long headers that are parsed', async () => {
    const began = performance.now();
    const long = [`Accept: ${'a/b;q=1,'.repeat(1_800)}`, bearer()];
    expect((await ask('GET /api/v1/nodes', long)).status).toBe(200);
    const ifMatch = [`If-Match: "${'9'.repeat(15_000)}"`, 'Content-Type: application/json', bearer()];
    expect((await ask(`PATCH /api/v1/nodes/${flow.sender.appId}`, ifMatch, '{}')).status).toBe(422);
    const tags = [`If-None-Match: ${'W/"a",'.repeat(2_500)}`];
    expect((await ask('GET /event/eventmanager/eventinfo/index.do?ts=1', tags)).status).toBe(200);
    expect((await ask('GET /api/v1/nodes', [`Authorization: ${'Bearer '.repeat(2_000)}`])).status).toBe(401);
    expect(performance.now() - began).toBeLessThan(5_000);
  });

  it.each(['..', '%2e%2e', '..%2f..%2f..%2fpackage.json', '%00', '%E6%zz', '\\..\\..', '__proto__', 'constructor'])(
    'leads to nothing but what is offered, with %s in its path',
    async (piece) => {
      for (const path of [`/docs/${piece}`, `/${piece}/package.json`, `/event/eventmanager/${piece}`]) {
        const answer = await ask(`GET ${path}`);
        expect([path, answer.status]).toEqual([path, 404]);
        expect(answer.text).not.toMatch(/"dependencies"|\n\s+at |node_modules/);
      }
      expect((await ask(`GET /api/v1/nodes/${piece}`, [bearer()])).status).toBe(404);
    },
  );

  it.each(['TRACE', 'PUT', 'PROPFIND', 'M-SEARCH', 'PURGE'])('finds nothing with the method %s', async (method) => {
    expect((await ask(`${method} ${SEND}`)).status).toBe(405);
    expect((await ask(`${method} /api/v1/nodes`, [bearer(), `X-Secret: of the caller`])).text).not.toContain('caller');
  });
});

describe('every answer', () => {
  const origin = ['Origin: http://evil.test', 'Access-Control-Request-Method: POST'];

  it.each([
    'GET /healthz',
    'GET /readyz',
    'GET /metrics',
    'GET /openapi.json',
    'GET /docs',
    'GET /docs/swagger-ui.css',
    'GET /nowhere',
    'OPTIONS /api/v1/nodes',
    'GET /api/v1/nodes',
    'POST /api/v1/nodes',
    'POST /api/v1/events',
    `POST ${SEND}`,
    `POST ${SEND}?appId=a&ts=1`,
    `OPTIONS ${SEND}`,
    'GET /event/eventmanager/eventinfo/index.do',
    'POST /event/eventmanager/lease.do',
    'GET /event/eventmanager/nowhere',
  ])('tells browsers to keep out, and nothing of what runs here: %s', async (line) => {
    for (const authorized of [[], [bearer()]]) {
      const { headers, text } = await ask(line, [...origin, ...authorized]);
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
      expect([headers['x-powered-by'], headers['server']]).toEqual([undefined, undefined]);
      expect(text).not.toMatch(/\n\s+at |node_modules|\.js:\d+/i);
      if (!line.includes('/event/')) {
        expect(headers['content-security-policy']).toMatch(/default-src 'self'.*frame-ancestors 'none'/);
        expect(headers).toMatchObject({ 'x-frame-options': 'SAMEORIGIN', 'referrer-policy': 'no-referrer' });
      }
    }
  });
});

describe('the body of a request', () => {
  const JSON_TYPE = 'Content-Type: application/json';

  it('may not come before its sender is known and its length right', async () => {
    const expecting = (line: string, headers: string[]) => ask(line, [...headers, 'Expect: 100-continue']);
    const large = 'Content-Length: 1000000000';
    const refused = [
      await expecting('POST /api/v1/nodes', [JSON_TYPE, 'Content-Length: 2']),
      await expecting('POST /api/v1/events', [JSON_TYPE, 'Content-Length: 2']),
      await expecting('POST /api/v1/nodes', [JSON_TYPE, large, bearer()]),
      await expecting('POST /api/v1/events', [JSON_TYPE, large, bearer()]),
      await expecting(`POST ${SEND}`, [large]),
      await expecting('GET /healthz', ['Content-Length: 2']),
    ];
    expect(refused.map(({ status }) => status)).toEqual([401, 401, 413, 413, 413, 200]);
    expect(refused.filter(({ text }) => text.includes('100 Continue'))).toEqual([]);
    const taken = await ask('POST /api/v1/nodes', [JSON_TYPE, bearer(), 'Expect: 100-continue'], '{}');
    expect(taken.text).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 422 /);
  });

  it.each(['POST /api/v1/nodes', 'GET /healthz', 'GET /nowhere', `POST ${SEND}`, 'POST /event/eventmanager/nowhere'])(
    'that nobody wants and that does not end is cut off: %s',
    async (line) => {
      const socket = rawConnection(url());
      const block = `100000\r\n${'x'.repeat(0x100000)}\r\n`;
      const pump = (): void => {
        if (!socket.destroyed) socket.write(block, () => setImmediate(pump));
      };
      socket.on('data', () => undefined);
      socket.write(`${line} HTTP/1.1\r\nHost: h\r\n${JSON_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n`);
      pump();
      await until('the server cuts it off', () => socket.destroyed, 15_000);
      expect(socket.bytesRead).toBeGreaterThan(0);
      expect(socket.bytesWritten).toBeLessThan(512 * 1024 * 1024);
    },
  );

  it('is no larger for being compressed', async () => {
    const bomb = gzipSync(JSON.stringify({ nodeCode: 'x', note: 'x'.repeat(30 * 1024 * 1024) }));
    for (const path of ['/nodes', '/events']) {
      const headers = { authorization: `Bearer ${flow.centre.token}`, 'content-type': 'application/json' };
      const answer = await request(`${url()}/api/v1${path}`, {
        method: 'POST',
        headers: { ...headers, 'content-encoding': 'gzip' },
        body: bomb,
      });
      await answer.body.dump();
      expect(answer.statusCode).toBe(413);
    }
    const sent = await ask(`POST ${SEND}?appId=${flow.sender.appId}&ts=1`, ['Content-Encoding: gzip'], 'x');
    expect(sent.text).toContain('"code":"INVALID_PARAM"');
  });

  it.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonx'])(
    'is not taken for JSON by the management API when it says that it is %s',
    async (type) => {
      const answer = await ask('POST /api/v1/nodes', [`Content-Type: ${type}`, bearer()], '{"nodeCode":"CSRF"}');
      expect(answer.status).toBe(415);
    },
  );
});

describe('JSON that is nested deeply', () => {
  const DEPTH = 100_000;
  const array = (depth = DEPTH): string => '['.repeat(depth) + ']'.repeat(depth);
  const object = (depth = DEPTH): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  const post = (path: string, body: string, method = 'POST') =>
    ask(`${method} /api/v1${path}`, ['Content-Type: application/json', bearer()], body);

  it('is refused by every call that takes a body, wherever it stands', async () => {
    const { text } = await flow.client.get('/openapi.json');
    const { paths } = JSON.parse(text) as { paths: Record<string, Record<string, { requestBody?: unknown }>> };
    const calls = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, { requestBody }]) => requestBody !== undefined && path.startsWith('/api/v1/'))
        .map(([method]) => [method.toUpperCase(), path.replace('/api/v1', '').replace(/\{\w+\}/g, flow.sender.appId)]),
    );
    expect(calls.length).toBeGreaterThan(10);
    for (const [method, path] of calls as [string, string][]) {
      for (const body of [array(), object(), `{"note":${array()}}`, `{"schema":${object()},"filter":1}`]) {
        const began = performance.now();
        const answer = await post(path, body, method);
        expect([method, path, [207, 400, 404, 413, 422].includes(answer.status ?? 0)]).toEqual([method, path, true]);
        expect(performance.now() - began).toBeLessThan(5_000);
      }
    }
  });

  it('names the field in which it stands', async () => {
    const answer = await post('/nodes', `{"nodeCode":"D","note":${array(101)}}`);
    expect(answer.text).toContain('"path":"note","message":"it is nested too deeply: expected at most 100 levels"');
  });

  it('is carried as a payload like any other, and delivered, recorded and read again', async () => {
    const [open, checked] = [await flow.eventType(), await flow.eventType({ schema: { type: ['array', 'object'] } })];
    const listener = await flow.listener(await flow.node(), open, { filter: { type: 'array' } });
    const eventId = await flow.send(open, { userObject: array() });
    expect((await flow.settled(eventId)).userObject).toBe(array());
    expect(flow.callsOf(eventId, listener).map((call) => call.fields['userObject'])).toEqual([array()]);
    await flow.send(checked, { userObject: object(50_000) });
    const published = await post(
      '/events',
      `{"sourceId":"${open.sourceId}","eventType":"${open.eventTypeCode}","userObject":${array()}}`,
    );
    expect(published.status).toBe(202);
  });

  it('does not satisfy a schema that follows it all the way down', async () => {
    const schema = { $ref: '#/$defs/x', $defs: { x: { type: 'array', items: { $ref: '#/$defs/x' } } } };
    const type = await flow.eventType({ schema });
    expect(await flow.trySend(type, { userObject: array() })).toMatchObject({ status: 0, code: 'SCHEMA_MISMATCH' });
    expect(await flow.trySend(type, { userObject: array(50) })).toMatchObject({ status: 1 });
  });
});

describe('names that every object has', () => {
  it('are no fields of a body and no parameters of a query', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString']) {
      const { status, body } = await flow.client.call('GET', `/nodes?${name}=x`);
      expect([status, body.errors[0].path]).toEqual([422, name]);
      const raw = await ask(
        'POST /api/v1/nodes',
        ['Content-Type: application/json', bearer()],
        `{"nodeCode":"P","${name}":{"enabled":false,"isAdmin":true}}`,
      );
      expect(raw.status).toBe(422);
    }
    expect(((await flow.client.all('/nodes')) as { enabled: boolean }[]).every((node) => node.enabled)).toBe(true);
  });

  it('are signed and otherwise ignored in a send, and match no filter', async () => {
    const type = await flow.eventType();
    const filter = { type: 'object', required: ['constructor'] };
    const listener = await flow.listener(await flow.node(), type, { filter });
    const fields = { userObject: '{"a":1}', __proto__x: 'x', constructor: 'y', ['__proto__']: 'z' };
    const eventId = await flow.send(type, fields);
    expect((await flow.settled(eventId)).deliveries).toEqual([]);
    const own = await flow.send(type, { userObject: '{"constructor":1}' });
    expect((await flow.settled(own)).state).toBe('succeeded');
    expect(flow.callsOf(own, listener)).toHaveLength(1);
    expect(flow.callsOf(eventId, listener)).toHaveLength(0);
  });
});

describe('lists', () => {
  const LISTS = ['/nodes', '/event-types', '/listeners', '/events', '/deliveries', '/failures', '/tokens', '/audit'];
  const statusOf = async (path: string): Promise<number> => (await flow.client.call('GET', path)).status;

  it.each(['0', '-1', '501', '1e9', '9'.repeat(400), 'NaN', 'Infinity', '', '1.5', '5&limit=6', '%00'])(
    'refuse the limit %s',
    async (limit) => {
      for (const list of LISTS) expect([list, await statusOf(`${list}?limit=${limit}`)]).toEqual([list, 422]);
    },
  );

  it('take only cursors that they have given, unchanged', async () => {
    for (let left = 3; left > 0; left -= 1) await flow.send(await flow.eventType());
    await until('they are recorded', async () => (await flow.client.all('/events')).length >= 3);
    for (const list of ['/event-types', '/events', '/audit']) {
      const { nextCursor } = await flow.client.must('GET', `${list}?limit=1`);
      expect(await statusOf(`${list}?limit=1&cursor=${nextCursor}`)).toBe(200);
      for (const wrong of [
        `${nextCursor}A`,
        `${nextCursor}=`,
        `A${nextCursor}`,
        `${nextCursor}%00`,
        'W10',
        'AA',
        '.',
      ]) {
        expect([list, wrong, await statusOf(`${list}?cursor=${wrong}`)]).toEqual([list, wrong, 422]);
      }
      expect(await statusOf(`${list}?cursor=${'A'.repeat(1_001)}`)).toBe(422);
    }
  });

  it('take filters as texts, whatever a database or a pattern would make of them', async () => {
    const type = await flow.eventType();
    await flow.settled(await flow.send(type));
    for (const text of [
      '%',
      '_',
      "' OR 1=1 -- ",
      '\\',
      '*',
      '.*',
      `${type.sourceId}%`,
      '\u0000',
      '"; DROP TABLE x; --',
    ]) {
      const query = `sourceId=${encodeURIComponent(text)}`;
      expect([text, (await flow.client.must('GET', `/events?${query}`)).items]).toEqual([text, []]);
      expect(await statusOf(`/nodes/${encodeURIComponent(text)}`)).toBe(404);
    }
    expect((await flow.client.must('GET', `/events?sourceId=${type.sourceId}`)).items).toHaveLength(1);
  });
});

describe('patterns of schemas and filters', () => {
  it.each(['^(a+)+$', '^(a|aa)+$', '^([a-zA-Z]+)*$', '(.*a){20}$'])('take linear time: %s', async (pattern) => {
    const type = await flow.eventType({ schema: { type: 'string', pattern } });
    const began = performance.now();
    const answer = await flow.trySend(type, { userObject: JSON.stringify(`${'a'.repeat(50_000)}!`) });
    expect(answer.code).toBe('SCHEMA_MISMATCH');
    expect(performance.now() - began).toBeLessThan(5_000);
  });
});
