import request from 'supertest';
import { aManagementApp, type ManagementKit } from '../support/management.js';

let kit: ManagementKit;

beforeEach(async () => {
  kit = await aManagementApp();
});

const ID = '0190aaaa-0000-7000-8000-000000000000';

/** Every call with the least role that may make it. */
const CALLS: [method: 'get' | 'post' | 'patch' | 'delete', path: string, role: 'viewer' | 'operator' | 'admin'][] = [
  ['get', '/nodes', 'viewer'],
  ['post', '/nodes', 'admin'],
  ['get', '/nodes/A', 'viewer'],
  ['patch', '/nodes/A', 'admin'],
  ['delete', '/nodes/A', 'admin'],
  ['post', '/nodes/A/rotate-key', 'admin'],
  ['get', '/event-types', 'viewer'],
  ['post', '/event-types', 'admin'],
  ['get', `/event-types/${ID}`, 'viewer'],
  ['patch', `/event-types/${ID}`, 'admin'],
  ['delete', `/event-types/${ID}`, 'admin'],
  ['get', '/listeners', 'viewer'],
  ['post', '/listeners', 'admin'],
  ['get', `/listeners/${ID}`, 'viewer'],
  ['patch', `/listeners/${ID}`, 'admin'],
  ['delete', `/listeners/${ID}`, 'admin'],
  ['post', `/listeners/${ID}/test`, 'operator'],
  ['get', '/events', 'viewer'],
  ['post', '/events', 'operator'],
  ['get', `/events/${ID}`, 'viewer'],
  ['get', '/deliveries', 'viewer'],
  ['get', `/deliveries/${ID}/${ID}`, 'viewer'],
  ['post', `/deliveries/${ID}/${ID}/retry`, 'operator'],
  ['post', `/deliveries/${ID}/${ID}/cancel`, 'operator'],
  ['get', '/failures', 'viewer'],
  ['post', '/replays', 'operator'],
  ['get', `/replays/${ID}`, 'viewer'],
  ['delete', `/replays/${ID}`, 'operator'],
  ['get', '/stats', 'viewer'],
  ['get', '/tokens', 'admin'],
  ['post', '/tokens', 'admin'],
  ['delete', `/tokens/${ID}`, 'admin'],
  ['get', '/audit', 'admin'],
];

describe('every call', () => {
  it.each(CALLS)('%s %s is for %s and above', async (method, path, least) => {
    const roles = ['viewer', 'operator', 'admin'] as const;
    for (const role of roles) {
      const { status, body } = await kit.api(method, path, { role });
      const isAllowed = roles.indexOf(role) >= roles.indexOf(least);
      expect([role, status === 403]).toEqual([role, !isAllowed]);
      if (!isAllowed) expect(body).toMatchObject({ code: 'FORBIDDEN', detail: expect.stringContaining(least) });
    }
    const anonymous = await kit.api(method, path, { role: null });
    expect([anonymous.status, anonymous.body.code, anonymous.headers['www-authenticate']]).toEqual([
      401,
      'UNAUTHENTICATED',
      'Bearer',
    ]);
  });

  it('is in the list above', async () => {
    const { paths } = (await request(kit.app).get('/openapi.json')).body;
    const documented = Object.entries<object>(paths)
      .filter(([path]) => path.startsWith('/api/v1'))
      .flatMap(([path, item]) => Object.keys(item).map((method) => `${method} ${path.slice(7)}`));
    const listed = CALLS.map(([method, path]) => `${method} ${path}`);
    const matches = documented.filter((one) =>
      listed.some((call) => new RegExp(`^${one.replace(/\{\w+\}/g, '[^/]+')}$`).test(call)),
    );
    expect(matches.sort()).toEqual(documented.sort());
    expect(CALLS).toHaveLength(documented.length);
  });
});

describe('tokens', () => {
  it('are made, used, listed without their text, and revoked', async () => {
    const made = await kit.api('post', '/tokens', {
      body: { name: 'ci', role: 'operator', expiresAt: '2030-06-01T00:00:00+02:00' },
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      name: 'ci',
      role: 'operator',
      expiresAt: '2030-05-31T22:00:00.000Z',
      revokedAt: null,
    });
    const use = () => request(kit.app).get('/api/v1/nodes').set('Authorization', `bearer ${made.body.token}`);
    expect((await use()).status).toBe(200);
    const listed = await kit.api('get', '/tokens');
    expect(listed.body.items.map((token: any) => token.name)).toEqual(['admin', 'operator', 'viewer', 'ci']);
    expect(listed.text).not.toContain(made.body.token);
    expect((await kit.api('delete', `/tokens/${made.body.id}`)).status).toBe(204);
    expect((await use()).status).toBe(401);
    expect((await kit.api('delete', `/tokens/${made.body.id}`)).body.code).toBe('NOT_FOUND');
    expect(kit.audit.records.map((record) => [record.action, record.actor])).toEqual([
      ['token.created', 'token:admin'],
      ['token.revoked', 'token:admin'],
    ]);
  });

  it.each([
    [{ role: 'viewer' }, 422, 'name'],
    [{ name: 'x' }, 422, 'role'],
    [{ name: 'x', role: 'root' }, 422, 'role'],
    [{ name: 'x', role: 'viewer', expiresAt: 'tomorrow' }, 422, 'expiresAt'],
    [{ name: 'x', role: 'viewer', expiresAt: '2029-01-01T00:00:00Z' }, 422, 'expiresAt'],
    [{ name: ' ', role: 'viewer' }, 422, 'name'],
  ])('refuses %j', async (body, status, path) => {
    const res = await kit.api('post', '/tokens', { body });
    expect([res.status, res.body.errors[0].path]).toEqual([status, path]);
  });

  it('have names that differ', async () => {
    expect((await kit.api('post', '/tokens', { body: { name: 'admin', role: 'viewer' } })).body.code).toBe('CONFLICT');
  });

  it.each([
    '',
    'Bearer',
    'Bearer x',
    `Basic ${Buffer.from('a:b').toString('base64')}`,
    `Bearer ${'x'.repeat(600)}`,
    `Bearer ec_${'a'.repeat(43)}`,
  ])('are not "%s"', async (authorization) => {
    const res = await request(kit.app).get('/api/v1/nodes').set('Authorization', authorization);
    expect([res.status, res.body.code]).toEqual([401, 'UNAUTHENTICATED']);
  });

  it('of before keep reading while the database is away', async () => {
    await kit.api('get', '/nodes');
    kit.tokens.isAway = true;
    kit.store.isAway = true;
    kit.clock.time += 60_000;
    expect((await kit.api('get', '/nodes')).status).toBe(200);
    expect((await kit.api('get', '/nodes', { role: 'viewer' })).status).toBe(503);
  });
});

describe('a refusal', () => {
  it('is a problem document with the id of the request', async () => {
    const res = await kit.api('get', '/nodes/NONE', { headers: { 'X-Request-Id': 'from-the-caller' } });
    expect(res.headers['content-type']).toBe('application/problem+json');
    expect(res.headers['x-request-id']).toBe('from-the-caller');
    expect(res.body).toEqual({
      type: 'urn:event-center:problem:not-found',
      title: 'There is no such thing',
      status: 404,
      detail: 'there is no node NONE',
      instance: '/api/v1/nodes/NONE',
      code: 'NOT_FOUND',
      requestId: 'from-the-caller',
    });
    const odd = await kit.api('get', '/nodes/NONE', { headers: { 'X-Request-Id': 'a b<script>' } });
    expect(odd.body.requestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(odd.headers['x-request-id']).toBe(odd.body.requestId);
  });

  it('comes for unknown paths and undecodable ones', async () => {
    for (const path of ['/api/v1/nothing', '/api/v1/nodes/%ff', '/api/v1/Nodes', '/api/v1/nodes/', '/nothing']) {
      const res = await request(kit.app).get(path).set('Authorization', `Bearer ${kit.secrets.admin}`);
      expect([path, res.status, res.body.code, res.headers['content-type']]).toEqual([
        path,
        404,
        'NOT_FOUND',
        'application/problem+json',
      ]);
    }
  });

  it('names the methods of a path', async () => {
    const put = await kit.api('put', '/nodes/A');
    expect([put.status, put.body.code, put.headers['allow']]).toEqual([
      405,
      'METHOD_NOT_ALLOWED',
      'DELETE, GET, HEAD, PATCH',
    ]);
    expect((await kit.api('delete', '/events')).headers['allow']).toBe('GET, HEAD, POST');
    const options = await kit.api('options', '/nodes');
    expect([options.status, options.headers['allow'], options.headers['access-control-allow-origin']]).toEqual([
      204,
      'GET, HEAD, POST',
      undefined,
    ]);
    expect((await kit.api('options', '/events')).headers['allow']).toBe('GET, HEAD, POST');
    expect((await kit.api('head', '/nodes')).status).toBe(200);
  });

  it('comes for a body that is too large, malformed, or not JSON', async () => {
    const post = (type: string, body: string) =>
      request(kit.app)
        .post('/api/v1/nodes')
        .set('Authorization', `Bearer ${kit.secrets.admin}`)
        .set('Content-Type', type)
        .send(body);
    const answers: [request.Response, number, string][] = [
      [await post('application/json', '{"nodeCode":"hidden'), 400, 'MALFORMED_BODY'],
      [await post('application/json', `{"note":"${'x'.repeat(1024 * 1024)}"}`), 413, 'PAYLOAD_TOO_LARGE'],
      [await post('text/plain', '{"nodeCode":"A"}'), 415, 'UNSUPPORTED_MEDIA_TYPE'],
      [await post('application/x-www-form-urlencoded', 'nodeCode=A'), 415, 'UNSUPPORTED_MEDIA_TYPE'],
      [await post('application/json; charset=latin1', '{"nodeCode":"A"}'), 415, 'UNSUPPORTED_MEDIA_TYPE'],
      [await post('application/json', '"A"'), 422, 'INVALID_PARAM'],
      [await post('application/json', ''), 422, 'INVALID_PARAM'],
    ];
    for (const [res, status, code] of answers) {
      expect([res.status, res.body.code, res.headers['content-type']]).toEqual([
        status,
        code,
        'application/problem+json',
      ]);
      expect(res.text).not.toContain('hidden');
    }
    const zipped = await request(kit.app)
      .post('/api/v1/nodes')
      .set('Authorization', `Bearer ${kit.secrets.admin}`)
      .set('Content-Type', 'application/json')
      .set('Content-Encoding', 'rot13')
      .send('{}');
    expect([zipped.status, zipped.body.code]).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    expect(kit.store.data.version).toBe(0);
    expect(kit.logged).toEqual([]);
  });

  it('of an unknown kind tells the request id and nothing else, and is logged', async () => {
    kit.journal.problem = new Error('SELECT password FROM users');
    const res = await kit.api('get', '/events');
    expect(res.status).toBe(500);
    expect(res.body).toEqual({
      type: 'urn:event-center:problem:internal',
      title: 'Something broke on our side',
      status: 500,
      detail: 'something broke on our side; ask with the request id',
      instance: '/api/v1/events',
      code: 'INTERNAL',
      requestId: res.headers['x-request-id'],
    });
    expect(kit.logged).toMatchObject([
      { event: 'management.failed', fields: { requestId: res.body.requestId, error: kit.journal.problem } },
    ]);
  });

  it('comes with the usual headers, and nothing says what serves it', async () => {
    const { headers } = await kit.api('get', '/nodes');
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'SAMEORIGIN',
      'referrer-policy': 'no-referrer',
    });
    expect(headers['x-powered-by']).toBeUndefined();
    expect(headers['strict-transport-security']).toBeUndefined();
  });
});

it('lets operators publish, by no other spelling of the path, and says who publishes', async () => {
  const res = await kit.api('post', '/events', { role: 'operator', body: { sourceId: 'USER', eventType: 'ADD' } });
  expect([res.status, kit.published]).toEqual([202, [{ path: '/api/v1/events', actor: 'token:operator' }]]);
  for (const path of ['/events', '/events/', '/Events', '/EVENTS', '//events', '/%65vents']) {
    const refused = await kit.api('post', path, { role: 'viewer', body: {} });
    expect([path, refused.status]).toEqual([path, path === '/events' ? 403 : 404]);
  }
  expect(kit.published).toHaveLength(1);
});
