import type { ListenerAnswer } from '../../src/core/ports.js';
import { aManagementApp, anAnswer, type ManagementKit } from '../support/management.js';
import { until } from '../support/until.js';

let kit: ManagementKit;

beforeEach(async () => {
  kit = await aManagementApp();
});

async function created(path: string, body: object): Promise<any> {
  const res = await kit.api('post', path, { body });
  expect([res.status, res.body.code]).toEqual([201, undefined]);
  return res.body;
}

async function aListener(over: object = {}): Promise<any> {
  await created('/nodes', { nodeCode: 'A' });
  const type = await created('/event-types', { sourceId: 'USER', eventTypeCode: 'ADD' });
  return created('/listeners', {
    name: 'mail',
    nodeCode: 'A',
    eventTypeId: type.id,
    url: 'http://mail.invalid/hook',
    ...over,
  });
}

const NO_SUCH_ID = '00000000-0000-4000-8000-000000000000';

describe('/nodes', () => {
  it('shows a new key once and masks every key afterwards', async () => {
    const clientKey = 'Y2xpZW50LXNlY3JldC1rZXktMTIz';
    const node = await created('/nodes', { nodeCode: 'A', nodeName: 'Orders', clientKey });
    expect(node).toMatchObject({ nodeCode: 'A', clientKey: '***', version: 1, lastTime: '2030-01-01T00:00:00.000Z' });
    expect(Buffer.from(node.appKey, 'base64')).toHaveLength(20);

    const rotated = (await kit.api('post', '/nodes/A/rotate-key')).body;
    expect(rotated.appKey).not.toBe(node.appKey);
    expect(rotated).toMatchObject({
      clientKey: '***',
      previousAppKeyExpiresAt: '2030-01-02T00:00:00.000Z',
      previousKeys: [{ expiresAt: '2030-01-02T00:00:00.000Z' }],
      version: 2,
    });

    const later = await Promise.all([
      kit.api('get', '/nodes/A'),
      kit.api('get', '/nodes'),
      kit.api('patch', '/nodes/A', { body: { note: 'x' } }),
      kit.api('get', '/audit'),
    ]);
    for (const res of later) {
      expect(res.status).toBe(200);
      for (const secret of [node.appKey, rotated.appKey, clientKey]) expect(res.text).not.toContain(secret);
    }
    expect(later[0].body.appKey).toBe('***');
  });

  it('lists until when earlier keys are good, and refuses a rotation that would end one early', async () => {
    await created('/nodes', { nodeCode: 'A' });
    const rotate = (body: object) => kit.api('post', '/nodes/A/rotate-key', { body });
    for (const graceMs of [3_000, 1_000, 2_000]) expect((await rotate({ graceMs })).status).toBe(200);
    const { body: node } = await kit.api('get', '/nodes/A');
    expect(node.previousAppKeyExpiresAt).toBe('2030-01-01T00:00:03.000Z');
    expect(node.previousKeys).toEqual([
      { expiresAt: '2030-01-01T00:00:02.000Z' },
      { expiresAt: '2030-01-01T00:00:01.000Z' },
      { expiresAt: '2030-01-01T00:00:03.000Z' },
    ]);
    const refused = await rotate({ graceMs: 1 });
    expect([refused.status, refused.body.code]).toEqual([409, 'CONFLICT']);
    expect(refused.body.detail).toContain('3 earlier keys that are still good, one of them until 2030-01-01T00:00:01');
    const ended = await rotate({ graceMs: 0 });
    expect(ended.body).toMatchObject({ previousAppKeyExpiresAt: null, previousKeys: [] });
  });

  it('sets fields back to their defaults by null', async () => {
    const given = { algorithm: 'HmacSHA512', contentLength: 'zero', onExhausted: 'stop', concurrency: 7 };
    await created('/nodes', { nodeCode: 'A', ...given });
    const body = { algorithm: null, contentLength: null, onExhausted: null, concurrency: null };
    const res = await kit.api('patch', '/nodes/A', { body });
    expect(res.status).toBe(200);
    const defaults = { algorithm: 'HmacSHA1', contentLength: 'exact', onExhausted: 'continue', concurrency: 32 };
    expect(res.body).toMatchObject(defaults);
    expect(await created('/nodes', { nodeCode: 'B', ...body })).toMatchObject(defaults);
    const kept = await kit.api('patch', '/nodes/A', { body: { enabled: null } });
    expect(kept.body.errors).toEqual([{ path: 'enabled', message: 'expected boolean, found null' }]);
  });

  it('warns of a short imported key', async () => {
    const res = await kit.api('post', '/nodes', { body: { nodeCode: 'A', appKey: 'test' } });
    expect([res.status, res.body.appKey]).toEqual([201, 'test']);
    expect(res.body.warnings).toEqual([expect.stringContaining('appKey: the key decodes to 3 bytes')]);
  });

  it('changes what is given and takes the version in each of its forms', async () => {
    await created('/nodes', { nodeCode: 'A', note: 'old', sendRateLimit: 5 });
    let version = 1;
    for (const header of ['1', '"2"', 'W/"3"', '*']) {
      const res = await kit.api('patch', '/nodes/A', {
        body: { sendRateLimit: null },
        headers: { 'If-Match': header },
      });
      version += 1;
      expect([res.status, res.headers['etag']]).toEqual([200, `"${String(version)}"`]);
      expect(res.body).toMatchObject({ note: 'old', sendRateLimit: null, version });
    }
    const stale = await kit.api('patch', '/nodes/A', { body: { note: 'x' }, headers: { 'If-Match': '"1"' } });
    expect([stale.status, stale.body.code, stale.body.currentVersion]).toEqual([412, 'VERSION_MISMATCH', 5]);
    const odd = await kit.api('patch', '/nodes/A', { body: { note: 'x' }, headers: { 'If-Match': 'abc' } });
    expect([odd.status, odd.body.errors[0].path]).toEqual([422, 'If-Match']);
    expect((await kit.api('delete', '/nodes/A', { headers: { 'If-Match': '4' } })).status).toBe(412);
    expect((await kit.api('delete', '/nodes/A', { headers: { 'If-Match': '5' } })).status).toBe(204);
    expect((await kit.api('get', '/nodes/A')).status).toBe(404);
  });

  it('tells the version as an entity tag and lets nobody keep answers', async () => {
    await created('/nodes', { nodeCode: 'A' });
    const { headers } = await kit.api('get', '/nodes/A');
    expect(headers).toMatchObject({ etag: '"1"', 'cache-control': 'no-store' });
  });

  it.each<[object, string, string]>([
    [{}, 'nodeCode', 'is required (expected string)'],
    [{ nodeCode: 7 }, 'nodeCode', 'expected string, found number'],
    [{ nodeCode: 'a b' }, 'nodeCode', 'expected 1 to 40 of A-Z a-z 0-9 . _ - (and not just . or ..)'],
    [{ nodeCode: 'A', colour: 1 }, 'colour', 'there is no such field'],
    [
      { nodeCode: 'A', algorithm: 'HmacMD5' },
      'algorithm',
      expect.stringMatching(/^expected one of HmacSHA1, .*, found "HmacMD5"$/),
    ],
    [{ nodeCode: 'A', concurrency: 1.5 }, 'concurrency', 'expected whole number, found 1.5'],
    [{ nodeCode: 'A', enabled: 'Y' }, 'enabled', 'expected boolean, found string'],
    [{ nodeCode: 'A', concurrency: 0 }, 'concurrency', 'expected a whole number from 1 to 1000, found 0'],
    [[], 'body', 'expected object, found array'],
  ])('refuses %j at %s', async (body, path, message) => {
    const res = await kit.api('post', '/nodes', { body });
    expect([res.status, res.body.code, res.body.errors]).toEqual([422, 'INVALID_PARAM', [{ path, message }]]);
    expect(kit.store.data.version).toBe(0);
  });

  it.each([
    ['limit=0', 'expected at least 1, found 0'],
    ['limit=501', 'expected at most 500, found 501'],
    ['limit=many', 'expected a whole number'],
    ['limit=1.5', 'expected a whole number'],
    ['limit=0x10', 'expected a whole number'],
    ['limit=1e2', 'expected a whole number'],
    ['limit=', 'expected a whole number'],
  ])('refuses the page ?%s', async (query, message) => {
    const { status, body } = await kit.api('get', `/nodes?${query}`);
    expect([status, body.errors]).toEqual([422, [{ path: 'limit', message }]]);
  });

  it('says of fixed fields where they can be changed', async () => {
    await created('/nodes', { nodeCode: 'A' });
    const res = await kit.api('patch', '/nodes/A', { body: { nodeCode: 'B', appKey: 'x', version: 1 } });
    expect(res.body.errors).toEqual([
      { path: 'nodeCode', message: 'cannot be changed; register another node' },
      { path: 'appKey', message: 'cannot be changed here; use POST /nodes/{nodeCode}/rotate-key' },
      { path: 'version', message: 'there is no such field' },
    ]);
  });

  it('pages by code, also while nodes come and go, and filters', async () => {
    for (const nodeCode of ['B', 'a', 'D', 'C']) await created('/nodes', { nodeCode, enabled: nodeCode !== 'C' });
    const first = (await kit.api('get', '/nodes?limit=2')).body;
    expect(first.items.map((node: any) => node.nodeCode)).toEqual(['B', 'C']);
    await created('/nodes', { nodeCode: 'A' });
    await kit.api('delete', '/nodes/C');
    const second = (await kit.api('get', `/nodes?limit=2&cursor=${first.nextCursor}`)).body;
    expect(second.items.map((node: any) => node.nodeCode)).toEqual(['D', 'a']);
    expect(second.nextCursor).toBeNull();
    await kit.api('patch', '/nodes/D', { body: { enabled: false } });
    expect((await kit.api('get', '/nodes?enabled=false')).body.items.map((node: any) => node.nodeCode)).toEqual(['D']);
  });

  it.each([
    ['limit=0', 'limit'],
    ['limit=501', 'limit'],
    ['limit=x', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['cursor=x', 'cursor'],
    ['enabled=yes', 'enabled'],
    ['nodecode=A', 'nodecode'],
  ])('refuses the query %s', async (query, path) => {
    const res = await kit.api('get', `/nodes?${query}`);
    expect([res.status, res.body.code, res.body.errors[0].path]).toEqual([422, 'INVALID_PARAM', path]);
  });

  it('tells what uses a node that shall be deleted', async () => {
    const listener = await aListener();
    const res = await kit.api('delete', '/nodes/A');
    expect([res.status, res.body.code]).toEqual([409, 'IN_USE']);
    expect(res.body.usedBy).toEqual([{ kind: 'listener', id: listener.id, name: 'mail' }]);
  });

  it('refuses a rotation with a bad grace time and of an unknown node', async () => {
    await created('/nodes', { nodeCode: 'A' });
    const bad = await kit.api('post', '/nodes/A/rotate-key', { body: { graceMs: -1 } });
    expect([bad.status, bad.body.errors[0].path]).toEqual([422, 'graceMs']);
    expect((await kit.api('post', '/nodes/B/rotate-key')).body.code).toBe('NOT_FOUND');
  });
});

describe('/event-types', () => {
  it('are made, read, changed, listed and deleted', async () => {
    const type = await created('/event-types', { sourceId: 'USER', eventTypeCode: 'ADD', schema: { type: 'object' } });
    expect(type).toMatchObject({ owner: 'ALL', schema: { type: 'object' }, note: null, version: 1 });
    await created('/event-types', { sourceId: 'ORDER', eventTypeCode: 'ADD' });
    expect((await kit.api('get', `/event-types/${type.id.toUpperCase()}`)).body).toEqual(type);
    const changed = await kit.api('patch', `/event-types/${type.id}`, { body: { schema: null, sourceName: 'User' } });
    expect(changed.body).toMatchObject({ schema: null, sourceName: 'User', version: 2 });
    expect((await kit.api('get', '/event-types?sourceId=USER')).body.items).toEqual([changed.body]);
    expect((await kit.api('get', '/event-types?eventTypeCode=ADD&owner=ALL')).body.items).toHaveLength(2);
    expect((await kit.api('get', '/event-types?owner=A')).body.items).toEqual([]);
    expect((await kit.api('delete', `/event-types/${type.id}`)).status).toBe(204);
    expect((await kit.api('get', `/event-types/${type.id}`)).body.code).toBe('NOT_FOUND');
  });

  it('are refused by field', async () => {
    const type = await created('/event-types', { sourceId: 'USER', eventTypeCode: 'ADD' });
    const twice = await kit.api('post', '/event-types', { body: { sourceId: 'USER', eventTypeCode: 'ADD' } });
    expect([twice.status, twice.body.code, twice.body.errors[0].path]).toEqual([409, 'CONFLICT', 'eventTypeCode']);
    for (const [body, path] of [
      [{ owner: 'NOBODY' }, 'owner'],
      [{ schema: { type: 'x' } }, 'schema'],
      [{ schema: 'x' }, 'schema'],
      [{ sourceId: 'X' }, 'sourceId'],
    ] as const) {
      const res = await kit.api('patch', `/event-types/${type.id}`, { body });
      expect([res.status, res.body.errors.map((error: any) => error.path)]).toEqual([422, [path]]);
    }
    expect((await kit.api('get', '/event-types/not-a-uuid')).body.errors[0].path).toBe('id');
    const { eventTypeId } = await aListenerOn(type.id);
    const inUse = await kit.api('delete', `/event-types/${String(eventTypeId)}`);
    expect([inUse.status, inUse.body.usedBy.length]).toEqual([409, 1]);
  });
});

async function aListenerOn(eventTypeId: string): Promise<any> {
  await created('/nodes', { nodeCode: 'A' });
  return created('/listeners', { name: 'mail', nodeCode: 'A', eventTypeId, url: 'http://mail.invalid' });
}

describe('/listeners', () => {
  it('are made, read, changed, listed and deleted, without ever showing a secret', async () => {
    const listener = await aListener({
      secret: 'whsec-hidden',
      headers: { Authorization: 'Bearer hidden', 'X-Team': 'mail' },
      filter: { required: ['id'] },
      retry: { strategy: 'loop', delaysMs: [1_000] },
    });
    expect(listener).toMatchObject({
      operIndex: 1,
      secret: '***',
      headers: { Authorization: '***', 'X-Team': 'mail' },
      filter: { required: ['id'] },
      retry: { strategy: 'loop', maxAttempts: null, delaysMs: [1_000] },
      timeoutMs: 15_000,
      format: 'iuap',
    });
    expect((await kit.api('get', `/listeners/${listener.id}`)).body).toEqual(listener);
    const changed = await kit.api('patch', `/listeners/${listener.id}`, { body: { enabled: false, tenantCode: 'T1' } });
    expect(changed.body).toEqual({ ...listener, enabled: false, tenantCode: 'T1', version: 2 });
    expect((await kit.api('get', '/audit')).text).not.toContain('hidden');
    expect(kit.store.data.listeners[0]).toMatchObject({
      secret: 'whsec-hidden',
      headers: { Authorization: 'Bearer hidden' },
    });
    expect((await kit.api('delete', `/listeners/${listener.id}`)).status).toBe(204);
    expect((await kit.api('get', `/listeners/${listener.id}`)).status).toBe(404);
    expect((await kit.api('delete', `/listeners/${listener.id}`)).body.code).toBe('NOT_FOUND');
  });

  it('are filtered by node, type, kind and whether they are enabled', async () => {
    const mail = await aListener();
    await created('/nodes', { nodeCode: 'B' });
    const plugin = await created('/listeners', {
      name: 'plugin',
      nodeCode: 'B',
      sourceId: 'USER',
      eventTypeCode: 'ADD',
      implClassName: 'com.x.Y',
      enabled: false,
    });
    const ids = async (query: string) =>
      (await kit.api('get', `/listeners?${query}`)).body.items.map((one: any) => one.id);
    expect((await ids('')).sort()).toEqual([mail.id, plugin.id].sort());
    expect(await ids('nodeCode=B')).toEqual([plugin.id]);
    expect(await ids('kind=url')).toEqual([mail.id]);
    expect(await ids('enabled=true')).toEqual([mail.id]);
    expect(await ids(`eventTypeId=${String(mail.eventTypeId)}&enabled=false`)).toEqual([plugin.id]);
    expect(await ids(`eventTypeId=${NO_SUCH_ID}`)).toEqual([]);
  });

  it('are refused with field and code', async () => {
    const listener = await aListener();
    const base = { name: 'x', nodeCode: 'A', eventTypeId: listener.eventTypeId };
    const refusals: [object, number, string, string][] = [
      [base, 422, 'INVALID_PARAM', 'url'],
      [{ ...base, url: 'http://a.invalid', implClassName: 'Y' }, 422, 'INVALID_PARAM', 'implClassName'],
      [{ ...base, implClassName: 'Y' }, 409, 'CONFLICT', 'implClassName'],
      [{ ...base, url: 'http://a.invalid', operIndex: 1 }, 409, 'CONFLICT', 'operIndex'],
      [{ ...base, url: 'http://a.invalid', format: 'slack' }, 422, 'NOT_IMPLEMENTED', 'format'],
      [{ ...base, url: 'http://a.invalid', format: 'xml' }, 422, 'INVALID_PARAM', 'format'],
      [{ ...base, url: 'http://a.invalid', retry: { delays: [1] } }, 422, 'INVALID_PARAM', 'retry.delays'],
      [{ ...base, url: 'http://a.invalid', retry: { delaysMs: ['1'] } }, 422, 'INVALID_PARAM', 'retry.delaysMs.0'],
      [{ ...base, url: 'http://a.invalid', headers: { Host: 'x' } }, 422, 'INVALID_PARAM', 'headers.Host'],
      [{ ...base, url: 'http://a.invalid', headers: { 'X-A': 1 } }, 422, 'INVALID_PARAM', 'headers.X-A'],
      [{ ...base, nodeCode: 'Z', url: 'http://a.invalid' }, 422, 'INVALID_PARAM', 'nodeCode'],
      [{ ...base, eventTypeId: 'x', url: 'http://a.invalid' }, 422, 'INVALID_PARAM', 'eventTypeId'],
    ];
    for (const [body, status, code, path] of refusals) {
      const res = await kit.api('post', '/listeners', { body });
      expect([res.status, res.body.code, res.body.errors[0].path]).toEqual([status, code, path]);
    }
    for (const field of ['nodeCode', 'eventTypeId', 'sourceId', 'eventTypeCode']) {
      const res = await kit.api('patch', `/listeners/${listener.id}`, { body: { [field]: 'x' } });
      expect(res.body.errors).toEqual([{ path: field, message: 'cannot be changed; register another listener' }]);
    }
    const kind = await kit.api('patch', `/listeners/${listener.id}`, { body: { url: null, implClassName: 'Y' } });
    expect([kind.status, kind.body.errors[0].path]).toEqual([422, 'implClassName']);
    const stale = await kit.api('patch', `/listeners/${listener.id}`, {
      body: { note: 'x' },
      headers: { 'If-Match': '9' },
    });
    expect(stale.status).toBe(412);
  });
});

describe('a refused body', () => {
  const pathsOf = async (method: 'post' | 'patch', path: string, body: object): Promise<string[]> => {
    const res = await kit.api(method, path, { body });
    expect([res.status, res.body.code]).toEqual([422, 'INVALID_PARAM']);
    return res.body.errors.map((error: any) => error.path as string).sort();
  };

  it('is told everything that is wrong at once: unknown fields, wrong kinds and broken rules', async () => {
    const listener = await aListener();
    const wrong = { foo: 1, name: '', timeoutMs: 5, operIndex: 'x', retry: { foo: 1, delaysMs: [-1] } };
    const named = ['foo', 'name', 'operIndex', 'retry.delaysMs.0', 'retry.foo', 'timeoutMs'];
    expect(await pathsOf('post', '/listeners', { ...wrong, nodeCode: 'A', url: 'http://a.invalid' })).toEqual(named);
    expect(await pathsOf('patch', `/listeners/${listener.id}`, wrong)).toEqual(named);
    expect(await pathsOf('patch', '/nodes/A', { foo: 1, concurrency: 0, note: 5, nodeName: '' })).toEqual([
      ...['concurrency', 'foo', 'nodeName', 'note'],
    ]);
    expect(await pathsOf('post', '/nodes', { foo: 1, nodeCode: 'a b', appKey: '' })).toEqual([
      ...['appKey', 'foo', 'nodeCode'],
    ]);
    expect(await pathsOf('post', '/nodes/A/rotate-key', { foo: 1, graceMs: -1 })).toEqual(['foo', 'graceMs']);
    expect(await pathsOf('post', '/event-types', { foo: 1, sourceId: ' ', schema: { type: 'x' } })).toEqual([
      ...['eventTypeCode', 'foo', 'schema', 'sourceId'],
    ]);
    const past = { foo: 1, name: ' ', role: 'king', expiresAt: '2020-01-01T00:00:00Z' };
    expect(await pathsOf('post', '/tokens', past)).toEqual(['expiresAt', 'foo', 'name', 'role']);
    expect(await pathsOf('post', '/replays', { foo: 1, filter: { bar: 1 } })).toEqual(['filter', 'filter.bar', 'foo']);
  });

  it('is not told what follows only from another mistake', async () => {
    const listener = await aListener();
    const base = { name: 'x', nodeCode: 'A', eventTypeId: listener.eventTypeId };
    expect(await pathsOf('post', '/listeners', { ...base, uri: 'http://a.invalid' })).toEqual(['uri', 'url']);
    expect(await pathsOf('post', '/listeners', { ...base, implClassName: 5 })).toEqual(['implClassName']);
    expect(await pathsOf('patch', `/listeners/${listener.id}`, { foo: 1, url: null })).toEqual(['foo']);
    expect(await pathsOf('patch', `/listeners/${listener.id}`, { foo: 1, format: 'slack' })).toEqual(['foo']);
    expect(await pathsOf('patch', `/listeners/${listener.id}`, { foo: 1, headers: { 'X-A': 1, Host: 'x' } })).toEqual([
      ...['foo', 'headers.Host', 'headers.X-A'],
    ]);
    expect(await pathsOf('patch', '/nodes/A', { foo: 1, nodeName: 'fine' })).toEqual(['foo']);
  });
});

describe('/listeners/{id}/test', () => {
  it('sends a sample by the code of real deliveries and tells what came back', async () => {
    const listener = await aListener();
    kit.caller.answer = anAnswer({ kind: 'refused', status: 500, error: 'status 500', response: 'oops' });
    const res = await kit.api('post', `/listeners/${listener.id}/test`, {
      role: 'operator',
      body: { userObject: { a: 1 }, tenantCode: 'T' },
    });
    expect(res.body).toEqual({ ok: false, status: 500, durationMs: 12, error: 'status 500', response: 'oops' });
    const [call] = kit.caller.calls;
    expect(call).toMatchObject({ attempt: 1, listener: { id: listener.id }, node: { nodeCode: 'A' } });
    expect(call!.event).toMatchObject({ sourceId: 'USER', eventType: 'ADD', tenantCode: 'T', senderUuid: null });
    expect(call!.event.userObject!.toString()).toBe('{"a":1}');
    expect(kit.audit.records).toMatchObject([
      { action: 'listener.tested', subjectId: listener.id, detail: { status: 500 } },
    ]);
  });

  it('has a sample of its own, a fresh event id each time, and sends a text as it is', async () => {
    const listener = await aListener({ enabled: false });
    expect((await kit.api('post', `/listeners/${listener.id}/test`)).body.ok).toBe(true);
    await kit.api('post', `/listeners/${listener.id}/test`, { body: { userObject: 'plain' } });
    await kit.api('post', `/listeners/${listener.id}/test`, { body: { userObject: null } });
    expect(kit.caller.calls.map((call) => call.event.userObject?.toString())).toEqual([
      '{"test":true}',
      'plain',
      undefined,
    ]);
    expect(new Set(kit.caller.calls.map((call) => call.event.eventId)).size).toBe(3);
  });

  it('refuses unknown listeners, plugins and unknown fields', async () => {
    expect((await kit.api('post', `/listeners/${NO_SUCH_ID}/test`)).body.code).toBe('NOT_FOUND');
    const plugin = await aListener({ url: undefined, implClassName: 'com.x.Y' });
    expect((await kit.api('post', `/listeners/${plugin.id}/test`)).body.code).toBe('CONFLICT');
    const odd = await kit.api('post', `/listeners/${plugin.id}/test`, { body: { payload: 1 } });
    expect([odd.status, odd.body.errors[0].path]).toEqual([422, 'payload']);
  });
});

describe('tests that run at the same time', () => {
  /** Begins as many tests, which are answered when the test says so. */
  const begin = (id: unknown, count: number) =>
    Array.from({ length: count }, () => kit.api('post', `/listeners/${String(id)}/test`, { role: 'operator' }));

  const anotherListener = ({ nodeCode, eventTypeId, url }: any): Promise<any> =>
    created('/listeners', { name: 'other', nodeCode, eventTypeId, url });

  it('are 4 of one listener, and others wait for none of them', async () => {
    const listener = await aListener();
    const other = await anotherListener(listener);
    let end = (_: ListenerAnswer): void => undefined;
    kit.caller.answer = new Promise((resolve) => (end = resolve));
    const running = begin(listener.id, 4);
    await until('they run', () => kit.caller.calls.length === 4);
    const [refused] = await Promise.all(begin(listener.id, 1));
    expect(refused).toMatchObject({
      status: 429,
      body: { code: 'RATE_LIMITED', detail: 'of a listener 4 tests may run at a time; wait until one has ended' },
    });
    expect(refused!.headers['retry-after']).toBe('2');
    const others = begin(other.id, 1);
    await until('it runs', () => kit.caller.calls.length === 5);
    end(anAnswer());
    for (const answer of await Promise.all([...running, ...others])) expect(answer.status).toBe(200);
    const [again] = await Promise.all(begin(listener.id, 1));
    expect(again!.status).toBe(200);
  });

  it('are 32 in a process', async () => {
    const listeners = [await aListener()];
    while (listeners.length < 9) listeners.push(await anotherListener(listeners[0]));
    let end = (_: ListenerAnswer): void => undefined;
    kit.caller.answer = new Promise((resolve) => (end = resolve));
    const running = listeners.slice(0, 8).flatMap(({ id }) => begin(id, 4));
    await until('they run', () => kit.caller.calls.length === 32);
    const [refused] = await Promise.all(begin(listeners[8]!.id, 1));
    expect(refused).toMatchObject({
      status: 429,
      body: { code: 'RATE_LIMITED', detail: 'in a process 32 tests may run at a time; wait until one has ended' },
    });
    end(anAnswer());
    for (const answer of await Promise.all(running)) expect(answer.status).toBe(200);
  });
});

describe('every write of the registry', () => {
  it('leaves an audit entry of who asked what', async () => {
    const listener = await aListener();
    await kit.api('patch', '/nodes/A', { body: { note: 'n' }, headers: { 'X-Request-Id': 'my-request' } });
    await kit.api('post', '/nodes/A/rotate-key', { body: { graceMs: 5 } });
    await kit.api('patch', `/event-types/${String(listener.eventTypeId)}`, { body: { note: 'n' } });
    await kit.api('patch', `/listeners/${listener.id}`, { body: { note: 'n' } });
    await kit.api('delete', `/listeners/${listener.id}`);
    await kit.api('delete', `/event-types/${String(listener.eventTypeId)}`);
    await kit.api('delete', '/nodes/A');
    const { items } = (await kit.api('get', '/audit?limit=500')).body;
    expect(items.map((record: any) => record.action)).toEqual([
      'node.deleted',
      'event-type.deleted',
      'listener.deleted',
      'listener.updated',
      'event-type.updated',
      'node.key-rotated',
      'node.updated',
      'listener.created',
      'event-type.created',
      'node.created',
    ]);
    expect(items[6]).toMatchObject({
      actor: 'token:admin',
      requestId: 'my-request',
      subjectKind: 'node',
      subjectId: 'A',
      detail: { note: 'n' },
    });
    const page = (await kit.api('get', '/audit?limit=3')).body;
    expect([page.items.length, page.nextCursor]).toEqual([3, '3']);
    expect((await kit.api('get', '/audit?limit=3&cursor=3')).body.items[0].action).toBe('listener.updated');
  });

  it('answers 503 and changes nothing while the database or the broker is away', async () => {
    const listener = await aListener();
    kit.store.isAway = true;
    const away = await kit.api('patch', '/nodes/A', { body: { note: 'x' } });
    expect([away.status, away.body.code, away.headers['retry-after']]).toEqual([503, 'UNAVAILABLE', '2']);
    expect((await kit.api('get', '/nodes/A')).status).toBe(200);
    kit.store.isAway = false;
    const { version } = kit.store.data;
    kit.broker.problem = Object.assign(new Error('broken in an unknown way'));
    const body = { name: 'x', nodeCode: 'A', eventTypeId: listener.eventTypeId, url: 'http://a.invalid' };
    expect((await kit.api('post', '/listeners', { body })).status).toBe(500);
    expect(kit.store.data.version).toBe(version);
  });
});

describe('secrets that do not open', () => {
  it('are named, and neither shown nor hidden behind a mask that says nothing', async () => {
    const unreadable = { unreadable: { sealed: 'as-it-stands', why: 'it was changed' } };
    const listener = await aListener();
    Object.assign(kit.store.data.nodes[0]!, { appKey: unreadable, previousKeys: unreadable });
    Object.assign(kit.store.data.listeners[0]!, { headers: unreadable });
    kit.store.data.version += 1;
    const node = await kit.api('get', '/nodes/A');
    expect([node.status, node.body.unreadable]).toEqual([200, ['appKey', 'previousKeys']]);
    const shown = await kit.api('get', `/listeners/${listener.id}`);
    expect([shown.status, shown.body.unreadable, shown.body.headers]).toEqual([200, ['headers'], {}]);
    expect(node.text + shown.text).not.toContain('as-it-stands');
    const mended = await kit.api('patch', `/listeners/${listener.id}`, { body: { headers: { 'X-A': 'b' } } });
    expect([mended.status, mended.body.unreadable, mended.body.headers]).toEqual([200, undefined, { 'X-A': 'b' }]);
  });
});
