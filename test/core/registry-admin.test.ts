import fc from 'fast-check';
import { digest, signCall } from '@event-center/sdk';
import { decodedKeyLength, generateKey } from '../../src/core/registry/app-key.js';
import { EventCenterError } from '../../src/core/errors.js';
import { uuidV7 } from '../../src/core/ids.js';
import { urlRuleBroken } from '../../src/core/registry/listener-rules.js';
import { maskSecrets } from '../../src/core/registry/mask-secrets.js';
import type { ListenerChanges, NewListener } from '../../src/core/registry/listener-admin.js';
import type { RegistryAdminDeps } from '../../src/core/registry/registry-change.js';
import type { Actor } from '../../src/core/ports.js';
import { aRegistryAdmin, type RegistryAdminKit } from '../support/registry-admin.js';

const actor: Actor = { name: 'token:test', requestId: 'r-1' };

async function refusal(call: Promise<unknown>): Promise<EventCenterError> {
  const thrown = await call.then(
    () => null,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(EventCenterError);
  return thrown as EventCenterError;
}

async function refusedFields(call: Promise<unknown>): Promise<[string, string[]]> {
  const error = await refusal(call);
  return [error.code, error.fields.map((field) => field.path)];
}

const last = <T>(items: T[]): T => items.at(-1)!;
const any = { expectedVersion: null };

/** Node A, event type (USER, ADD). */
async function withNodeAndType(over: Partial<RegistryAdminDeps> = {}): Promise<RegistryAdminKit & { typeId: string }> {
  const kit = aRegistryAdmin(over);
  await kit.admin.nodes.create(actor, { nodeCode: 'A' });
  const type = await kit.admin.eventTypes.create(actor, { sourceId: 'USER', eventTypeCode: 'ADD' });
  return { ...kit, typeId: type.id };
}

function aListenerInput(typeId: string, over: Partial<NewListener> = {}): NewListener {
  return { name: 'mail', nodeCode: 'A', eventTypeId: typeId, url: 'http://mail.invalid/hook', ...over };
}

describe('registering nodes', () => {
  it('makes a key of 20 bytes, fills the defaults and starts at version 1', async () => {
    const { admin, store, clock } = aRegistryAdmin();
    const { node, appKey, warnings } = await admin.nodes.create(actor, { nodeCode: 'A-1.x_y' });
    expect(Buffer.from(appKey, 'base64')).toHaveLength(20);
    expect(node.appKey).toBe(appKey);
    expect(appKey).toMatch(/^[A-Za-z0-9+/]{27}=$/);
    expect(warnings).toEqual([]);
    expect(node).toMatchObject({
      version: 1,
      lastTime: clock.now(),
      enabled: true,
      concurrency: 32,
      algorithm: 'HmacSHA1',
    });
    expect(store.data.nodes).toEqual([node]);
  });

  it('refuses a code that is taken, reserved or no code', async () => {
    const { admin } = aRegistryAdmin();
    await admin.nodes.create(actor, { nodeCode: 'A' });
    expect(await refusedFields(admin.nodes.create(actor, { nodeCode: 'A' }))).toEqual(['CONFLICT', ['nodeCode']]);
    for (const nodeCode of ['EVENT_CENTER', 'ALL', 'all', '', ' A', 'a/b', 'Ä', '.', '..', 'x'.repeat(41)]) {
      expect(await refusedFields(admin.nodes.create(actor, { nodeCode }))).toEqual(['INVALID_PARAM', ['nodeCode']]);
    }
  });

  it('names every field that is wrong at once', async () => {
    const { admin, store } = aRegistryAdmin();
    const call = admin.nodes.create(actor, {
      nodeCode: 'A',
      nodeName: '',
      note: 'x'.repeat(4_001),
      clientKey: '===',
      concurrency: 0,
      sendRateLimit: 1.5,
      deliverRateLimit: -1,
    });
    expect(await refusedFields(call)).toEqual([
      'INVALID_PARAM',
      ['nodeName', 'note', 'concurrency', 'sendRateLimit', 'deliverRateLimit', 'clientKey'],
    ]);
    expect(store.data.version).toBe(0);
  });

  it('accepts a short imported key with a warning and refuses one that decodes to nothing', async () => {
    const { admin, store } = aRegistryAdmin();
    const { node, warnings } = await admin.nodes.create(actor, {
      nodeCode: 'A',
      appKey: 'test',
      clientKey: 'c2hvcnQ=',
    });
    expect(node.appKey).toBe('test');
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toMatch(/^appKey: the key decodes to 3 bytes/);
    for (const appKey of ['', '=', '!!', 'a', '=dGVzdA', '***']) {
      expect(await refusedFields(admin.nodes.create(actor, { nodeCode: 'B', appKey }))).toEqual([
        'INVALID_PARAM',
        ['appKey'],
      ]);
    }
    expect(JSON.stringify(store.audits)).not.toContain('c2hvcnQ');
    expect(last(store.audits)).toMatchObject({
      action: 'node.created',
      subjectKind: 'node',
      subjectId: 'A',
      actor: 'token:test',
      requestId: 'r-1',
      detail: { nodeCode: 'A', appKey: '***', clientKey: '***' },
    });
  });

  it('changes only what is given, raises the version and tells the others', async () => {
    const { admin, clock, announced, store } = aRegistryAdmin();
    const created = await admin.nodes.create(actor, {
      nodeCode: 'A',
      note: 'old',
      clientKey: 'c2VjcmV0LXNlY3JldC1zZWNyZXQ=',
    });
    clock.time += 1_000;
    const { node } = await admin.nodes.update(
      actor,
      { nodeCode: 'A', expectedVersion: 1 },
      { note: null, nodeName: undefined, enabled: false },
    );
    expect(node).toEqual({ ...created.node, note: null, enabled: false, version: 2, lastTime: clock.now() });
    expect(announced).toEqual([1, 2]);
    expect(last(store.audits).detail).toEqual({ note: null, enabled: false });
  });

  it('refuses a stale version and changes nothing', async () => {
    const { admin, store } = aRegistryAdmin();
    await admin.nodes.create(actor, { nodeCode: 'A' });
    const stale = { nodeCode: 'A', expectedVersion: 7 };
    for (const call of [
      admin.nodes.update(actor, stale, { note: 'x' }),
      admin.nodes.rotateKey(actor, stale, {}),
      admin.nodes.delete(actor, stale),
    ]) {
      const error = await refusal(call);
      expect(error.code).toBe('VERSION_MISMATCH');
      expect(error.extra).toEqual({ currentVersion: 1 });
    }
    expect(store.data.version).toBe(1);
  });

  it('keeps up to three old keys, each for its own grace time, by default a day', async () => {
    const { admin, clock } = aRegistryAdmin();
    const keys = [(await admin.nodes.create(actor, { nodeCode: 'A' })).appKey];
    const rotate = async (request: { graceMs?: number; appKey?: string }) => {
      const { node, appKey } = await admin.nodes.rotateKey(actor, { nodeCode: 'A', ...any }, request);
      keys.push(appKey);
      return node;
    };
    const began = clock.now();
    const first = { key: keys[0], expiresAt: began + 86_400_000 };
    expect(await rotate({})).toMatchObject({ appKey: keys[1], previousKeys: [first], version: 2 });
    const second = { key: keys[1], expiresAt: began + 10 };
    expect((await rotate({ graceMs: 10 })).previousKeys).toEqual([second, first]);
    const third = { key: keys[2], expiresAt: began + 20 };
    expect((await rotate({ graceMs: 20 })).previousKeys).toEqual([third, second, first]);
    expect(await refusedFields(rotate({}))).toEqual(['CONFLICT', ['graceMs']]);
    clock.time += 10;
    const fourth = { key: keys[3], expiresAt: clock.now() + 5 };
    expect((await rotate({ graceMs: 5 })).previousKeys).toEqual([fourth, third, first]);
    // Back to an earlier key: it is not an earlier one any more.
    const fifth = { key: keys[4], expiresAt: clock.now() + 5 };
    expect((await rotate({ graceMs: 5, appKey: keys[0]! })).previousKeys).toEqual([fifth, fourth, third]);
    expect(await rotate({ graceMs: 0, appKey: 'test' })).toMatchObject({ appKey: 'test', previousKeys: [] });
    expect(await refusedFields(rotate({ appKey: 'test' }))).toEqual(['CONFLICT', ['appKey']]);
    expect(await refusedFields(rotate({ graceMs: -1 }))).toEqual(['INVALID_PARAM', ['graceMs']]);
  });

  it('refuses to delete a node in use, with the list of what uses it', async () => {
    const { admin, typeId, store } = await withNodeAndType();
    const listener = await admin.listeners.create(actor, aListenerInput(typeId));
    const owned = await admin.eventTypes.create(actor, {
      sourceId: 'A',
      eventTypeCode: 'X',
      owner: 'A',
      eventTypeName: 'Ex',
    });
    const error = await refusal(admin.nodes.delete(actor, { nodeCode: 'A', ...any }));
    expect(error.code).toBe('IN_USE');
    expect(error.extra['usedBy']).toEqual([
      { kind: 'listener', id: listener.id, name: 'mail' },
      { kind: 'event-type', id: owned.id, name: 'Ex' },
    ]);
    await admin.listeners.delete(actor, { id: listener.id, ...any });
    await admin.eventTypes.delete(actor, { id: owned.id, ...any });
    await admin.nodes.delete(actor, { nodeCode: 'A', ...any });
    expect(store.data.nodes).toEqual([]);
    expect((await refusal(admin.nodes.delete(actor, { nodeCode: 'A', ...any }))).code).toBe('NOT_FOUND');
  });

  it('stands when telling the others fails', async () => {
    const { admin, store } = aRegistryAdmin({ onChanged: () => Promise.reject(new Error('no broker')) });
    await admin.nodes.create(actor, { nodeCode: 'A' });
    expect(store.data.nodes).toHaveLength(1);
  });
});

describe('registering event types', () => {
  it('refuses codes that are taken, too long, padded or reserved', async () => {
    const { admin } = await withNodeAndType();
    expect(await refusedFields(admin.eventTypes.create(actor, { sourceId: 'USER', eventTypeCode: 'ADD' }))).toEqual([
      'CONFLICT',
      ['eventTypeCode'],
    ]);
    expect(
      await refusedFields(admin.eventTypes.create(actor, { sourceId: '', eventTypeCode: 'x'.repeat(41) })),
    ).toEqual(['INVALID_PARAM', ['sourceId', 'eventTypeCode']]);
    for (const sourceId of [' USER', 'USER ', 'EVENT_CENTER', 'a\u0000b']) {
      expect(await refusedFields(admin.eventTypes.create(actor, { sourceId, eventTypeCode: 'ADD' }))).toEqual([
        'INVALID_PARAM',
        ['sourceId'],
      ]);
    }
  });

  it('counts characters, not their halves', async () => {
    const { admin } = await withNodeAndType();
    await expect(
      admin.eventTypes.create(actor, { sourceId: '🚚'.repeat(40), eventTypeCode: 'ADD' }),
    ).resolves.toMatchObject({ version: 1 });
    expect(
      await refusedFields(admin.eventTypes.create(actor, { sourceId: '🚚'.repeat(41), eventTypeCode: 'ADD' })),
    ).toEqual(['INVALID_PARAM', ['sourceId']]);
  });

  it('wants an owner that is registered, or ALL', async () => {
    const { admin, typeId } = await withNodeAndType();
    for (const owner of ['B', 'EVENT_CENTER', '']) {
      expect(await refusedFields(admin.eventTypes.create(actor, { sourceId: 'S', eventTypeCode: 'C', owner }))).toEqual(
        ['INVALID_PARAM', ['owner']],
      );
      expect(await refusedFields(admin.eventTypes.update(actor, { id: typeId, ...any }, { owner }))).toEqual([
        'INVALID_PARAM',
        ['owner'],
      ]);
    }
    expect((await admin.eventTypes.update(actor, { id: typeId, ...any }, { owner: 'A' })).owner).toBe('A');
  });

  it('wants a schema that compiles', async () => {
    const { admin, typeId, store } = await withNodeAndType();
    const broken = { type: 'nothing' };
    expect(
      await refusedFields(admin.eventTypes.create(actor, { sourceId: 'S', eventTypeCode: 'C', schema: broken })),
    ).toEqual(['INVALID_PARAM', ['schema']]);
    expect(await refusedFields(admin.eventTypes.update(actor, { id: typeId, ...any }, { schema: broken }))).toEqual([
      'INVALID_PARAM',
      ['schema'],
    ]);
    expect(
      await refusedFields(
        admin.eventTypes.update(actor, { id: typeId, ...any }, { schema: { title: 'x'.repeat(70_000) } }),
      ),
    ).toEqual(['INVALID_PARAM', ['schema']]);
    const backtracking = { properties: { a: { pattern: '(a)\\1' } } };
    const error = await refusal(admin.eventTypes.update(actor, { id: typeId, ...any }, { schema: backtracking }));
    expect(error.fields).toMatchObject([
      { path: 'schema', message: expect.stringMatching('the schema at /properties/a/pattern: .*linear time') },
    ]);
    const type = await admin.eventTypes.update(
      actor,
      { id: typeId, expectedVersion: 1 },
      { schema: { type: 'object' } },
    );
    expect(type).toMatchObject({ schema: { type: 'object' }, version: 2 });
    expect(store.data.eventTypes).toEqual([type]);
  });

  it('refuses to delete a type with listeners', async () => {
    const { admin, typeId } = await withNodeAndType();
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId));
    const error = await refusal(admin.eventTypes.delete(actor, { id: typeId, ...any }));
    expect(error.code).toBe('IN_USE');
    expect(error.extra['usedBy']).toEqual([{ kind: 'listener', id, name: 'mail' }]);
  });

  it('lets nobody change the built-in type, and everybody listen to it', async () => {
    const { admin, store } = await withNodeAndType();
    const builtIn = { ...store.data.eventTypes[0]!, id: uuidV7(), sourceId: 'EVENT_CENTER', owner: 'EVENT_CENTER' };
    await store.change(actor, (writer) => writer.saveEventType(builtIn));
    expect((await refusal(admin.eventTypes.update(actor, { id: builtIn.id, ...any }, { note: 'x' }))).code).toBe(
      'CONFLICT',
    );
    expect((await refusal(admin.eventTypes.delete(actor, { id: builtIn.id, ...any }))).code).toBe('CONFLICT');
    await expect(admin.listeners.create(actor, aListenerInput(builtIn.id))).resolves.toMatchObject({
      eventTypeId: builtIn.id,
    });
  });
});

describe('registering listeners', () => {
  it('takes the event type by id or by both codes, and fills the defaults', async () => {
    const { admin, typeId } = await withNodeAndType();
    const byId = await admin.listeners.create(actor, aListenerInput(typeId));
    const byCode = await admin.listeners.create(actor, {
      name: 'log',
      nodeCode: 'A',
      sourceId: 'USER',
      eventTypeCode: 'ADD',
      url: 'https://log.invalid',
    });
    expect(byCode.eventTypeId).toBe(typeId);
    expect([byId.operIndex, byCode.operIndex]).toEqual([1, 2]);
    expect(byId).toMatchObject({
      format: 'iuap',
      method: 'POST',
      headers: {},
      timeoutMs: 15_000,
      fieldsAsHeaders: false,
      enabled: true,
      retry: { strategy: 'default', maxAttempts: null, delaysMs: null },
      version: 1,
    });
  });

  it.each<[Partial<NewListener>, string]>([
    [{ eventTypeId: undefined }, 'eventTypeId'],
    [{ eventTypeId: undefined, sourceId: 'USER' }, 'eventTypeCode'],
    [{ eventTypeId: undefined, eventTypeCode: 'ADD' }, 'sourceId'],
    [{ eventTypeId: undefined, sourceId: 'USER', eventTypeCode: 'NONE' }, 'eventTypeCode'],
    [{ eventTypeId: '00000000-0000-4000-8000-000000000000' }, 'eventTypeId'],
    [{ sourceId: 'USER' }, 'eventTypeId'],
    [{ nodeCode: 'B' }, 'nodeCode'],
    [{ nodeCode: 'EVENT_CENTER' }, 'nodeCode'],
    [{ name: '' }, 'name'],
    [{ url: null }, 'url'],
    [{ implClassName: 'com.x.Y' }, 'implClassName'],
    [{ url: null, implClassName: 'two words' }, 'implClassName'],
    [{ url: '/relative' }, 'url'],
    [{ url: 'ftp://x.invalid' }, 'url'],
    [{ url: 'http://user:word@x.invalid/' }, 'url'],
    [{ operIndex: -1 }, 'operIndex'],
    [{ operIndex: 1.5 }, 'operIndex'],
    [{ tenantCode: 'x'.repeat(41) }, 'tenantCode'],
    [{ filter: { type: 'nothing' } }, 'filter'],
    [{ filter: { a: 1 } }, 'filter'],
    [{ filter: { properties: { a: { value: 1 } } } }, 'filter'],
    [{ filter: { pattern: '(?=a)' } }, 'filter'],
    [{ format: 'xml' }, 'format'],
    [{ headers: { 'a b': '1' } }, 'headers.a b'],
    [{ headers: { 'X-A': 'line\nbreak' } }, 'headers.X-A'],
    [{ headers: { 'Content-Type': 'text/plain' } }, 'headers.Content-Type'],
    [{ headers: { sign: '1' } }, 'headers.sign'],
    [{ headers: { 'x-event-id': '1' } }, 'headers.x-event-id'],
    [{ headers: { 'X-A': '1', 'x-a': '2' } }, 'headers.x-a'],
    [{ headers: { Authorization: '***' } }, 'headers.Authorization'],
    [{ headers: Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`X-${String(index)}`, '1'])) }, 'headers'],
    [{ timeoutMs: 999 }, 'timeoutMs'],
    [{ timeoutMs: 300_001 }, 'timeoutMs'],
    [{ secret: '***' }, 'secret'],
    [{ retry: { maxAttempts: 0 } }, 'retry.maxAttempts'],
    [{ retry: { strategy: 'loop', maxAttempts: 3 } }, 'retry.maxAttempts'],
    [{ retry: { strategy: 'none', delaysMs: [1] } }, 'retry.delaysMs'],
    [{ retry: { delaysMs: [] } }, 'retry.delaysMs'],
    [{ retry: { delaysMs: [1_000, 0] } }, 'retry.delaysMs.1'],
    [{ retry: { delaysMs: [604_800_001] } }, 'retry.delaysMs.0'],
    [{ retry: { delaysMs: Array.from({ length: 21 }, () => 1) } }, 'retry.delaysMs'],
  ])('refuses %j at %s, and declares nothing', async (over, path) => {
    const { admin, typeId, store, prepared } = await withNodeAndType();
    const { version } = store.data;
    expect(await refusedFields(admin.listeners.create(actor, aListenerInput(typeId, over)))).toEqual([
      'INVALID_PARAM',
      [path],
    ]);
    expect([store.data.version, prepared]).toEqual([version, []]);
  });

  it('shows the right form to who writes an equality as filter', async () => {
    const { admin, typeId } = await withNodeAndType();
    const error = await refusal(admin.listeners.create(actor, aListenerInput(typeId, { filter: { a: 1 } })));
    expect(error.fields[0]?.message).toContain('"properties":{"a":{"const":1}}');
    expect(error.fields[0]?.message).toContain('unknown keyword: "a"');
  });

  it('says of a format of the protocol that it is not built', async () => {
    const { admin, typeId } = await withNodeAndType();
    for (const format of ['json', 'standard', 'cloudevents', 'abp', 'feishu', 'dingtalk', 'wecom', 'slack']) {
      const error = await refusal(admin.listeners.create(actor, aListenerInput(typeId, { format })));
      expect([error.code, error.status, error.fields[0]?.path]).toEqual(['NOT_IMPLEMENTED', 422, 'format']);
    }
  });

  it('refuses a taken operIndex and takes the next free one when left out', async () => {
    const { admin, typeId } = await withNodeAndType();
    const first = await admin.listeners.create(actor, aListenerInput(typeId, { operIndex: 10 }));
    const error = await refusal(admin.listeners.create(actor, aListenerInput(typeId, { operIndex: 10 })));
    expect([error.code, error.fields[0]?.path]).toEqual(['CONFLICT', 'operIndex']);
    expect(error.extra['conflictsWith']).toEqual([{ kind: 'listener', id: first.id, name: 'mail' }]);
    const second = await admin.listeners.create(actor, aListenerInput(typeId));
    expect(second.operIndex).toBe(11);
    expect(await refusedFields(admin.listeners.update(actor, { id: second.id, ...any }, { operIndex: 10 }))).toEqual([
      'CONFLICT',
      ['operIndex'],
    ]);
    await admin.nodes.create(actor, { nodeCode: 'B' });
    expect(
      (await admin.listeners.create(actor, aListenerInput(typeId, { nodeCode: 'B', operIndex: 10 }))).operIndex,
    ).toBe(10);
  });

  it('takes the lowest free operIndex once the highest is taken', async () => {
    const { admin, typeId } = await withNodeAndType();
    for (const operIndex of [2_147_483_647, 1, 3]) {
      await admin.listeners.create(actor, aListenerInput(typeId, { operIndex }));
    }
    const { operIndex: lowest } = await admin.listeners.create(actor, aListenerInput(typeId));
    const { operIndex: next } = await admin.listeners.create(actor, aListenerInput(typeId));
    expect([lowest, next]).toEqual([2, 4]);
    const plugin = aListenerInput(typeId, { url: undefined, implClassName: 'com.x.Y' });
    expect(await refusedFields(admin.listeners.create(actor, plugin))).toEqual(['CONFLICT', ['implClassName']]);
  });

  it('sets fields back to their defaults by null', async () => {
    const { admin, typeId, store } = await withNodeAndType();
    const bare = await admin.listeners.create(actor, aListenerInput(typeId));
    const given: Partial<NewListener> = {
      ...{ method: 'PUT', timeoutMs: 2_000, format: 'iuap', headers: { 'X-A': 'b' } },
      retry: { strategy: 'loop', delaysMs: [1_000] },
    };
    const nothing = { method: null, timeoutMs: null, format: null, headers: null, retry: null };
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId, given));
    const reset = await admin.listeners.update(actor, { id, ...any }, nothing);
    const again = await admin.listeners.create(actor, aListenerInput(typeId, nothing));
    const { method, timeoutMs, format, headers, retry } = bare;
    for (const one of [reset, again]) expect(one).toMatchObject({ method, timeoutMs, format, headers, retry });
    expect(reset.headers).toEqual({});
    expect(store.audits.at(-2)?.detail).toEqual(nothing);
  });

  it('does not mix urls and plugins of one node and event type', async () => {
    const { admin, typeId } = await withNodeAndType();
    await admin.listeners.create(actor, aListenerInput(typeId));
    const plugin = aListenerInput(typeId, { url: undefined, implClassName: 'com.x.Y' });
    expect(await refusedFields(admin.listeners.create(actor, plugin))).toEqual(['CONFLICT', ['implClassName']]);
    await admin.nodes.create(actor, { nodeCode: 'B' });
    await admin.listeners.create(actor, { ...plugin, nodeCode: 'B' });
    expect(await refusedFields(admin.listeners.create(actor, aListenerInput(typeId, { nodeCode: 'B' })))).toEqual([
      'CONFLICT',
      ['url'],
    ]);
  });

  it('keeps the kind of a listener', async () => {
    const { admin, typeId } = await withNodeAndType();
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId));
    const becomePlugin = admin.listeners.update(actor, { id, ...any }, { url: null, implClassName: 'com.x.Y' });
    expect(await refusedFields(becomePlugin)).toEqual(['INVALID_PARAM', ['implClassName']]);
    expect(await refusedFields(admin.listeners.update(actor, { id, ...any }, { url: null }))).toEqual([
      'INVALID_PARAM',
      ['url'],
    ]);
  });

  it('declares queue, binding and delays before the listener can be seen', async () => {
    const { admin, typeId, store, prepared } = await withNodeAndType();
    const { version } = store.data;
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId, { retry: { delaysMs: [7, 8] } }));
    expect(prepared).toEqual([
      { need: { queue: { kind: 'url', nodeCode: 'A' }, eventTypeId: typeId, delaysMs: [7, 8] }, atVersion: version },
    ]);
    await admin.listeners.update(actor, { id, ...any }, { note: 'no new delays' });
    expect(prepared).toHaveLength(1);
    await admin.listeners.update(actor, { id, ...any }, { retry: { delaysMs: [9] } });
    expect(last(prepared)).toMatchObject({ need: { delaysMs: [9] }, atVersion: version + 2 });
  });

  it('registers nothing while the broker is away', async () => {
    const { admin, typeId, store, broker } = await withNodeAndType();
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId));
    const before = structuredClone(store.data);
    broker.problem = new EventCenterError('UNAVAILABLE', 'no broker');
    expect((await refusal(admin.listeners.create(actor, aListenerInput(typeId)))).code).toBe('UNAVAILABLE');
    expect((await refusal(admin.listeners.update(actor, { id, ...any }, { retry: { delaysMs: [9] } }))).code).toBe(
      'UNAVAILABLE',
    );
    expect(store.data).toEqual(before);
  });

  it('declares nothing while the store is away', async () => {
    const { admin, typeId, store, prepared } = await withNodeAndType();
    store.isAway = true;
    expect((await refusal(admin.listeners.create(actor, aListenerInput(typeId)))).code).toBe('UNAVAILABLE');
    expect(prepared).toEqual([]);
  });

  it('allows 32 different delays in all', async () => {
    const { admin, typeId } = await withNodeAndType();
    const delays = Array.from({ length: 20 }, (_, index) => index + 1);
    await admin.listeners.create(actor, aListenerInput(typeId, { retry: { delaysMs: delays } }));
    const tooMany = delays.slice(0, 11).map((delay) => delay + 100);
    const { id } = await admin.listeners.create(
      actor,
      aListenerInput(typeId, { retry: { delaysMs: tooMany.slice(0, 10) } }),
    );
    expect(
      await refusedFields(admin.listeners.create(actor, aListenerInput(typeId, { retry: { delaysMs: [111] } }))),
    ).toEqual(['INVALID_PARAM', ['retry.delaysMs']]);
    expect(
      await refusedFields(admin.listeners.update(actor, { id, ...any }, { retry: { delaysMs: tooMany } })),
    ).toEqual(['INVALID_PARAM', ['retry.delaysMs']]);
    await expect(
      admin.listeners.create(actor, aListenerInput(typeId, { retry: { delaysMs: [5_000, 1, 101] } })),
    ).resolves.toBeDefined();
  });

  it('keeps a revision for as long as tenant and filter stay the same', async () => {
    const { admin, typeId, store, clock } = await withNodeAndType();
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId, { tenantCode: 'T1' }));
    const opened = store.data.version;
    await admin.listeners.update(actor, { id, ...any }, { note: 'x', enabled: false, tenantCode: 'T1' });
    expect(store.data.revisions).toMatchObject([
      { listenerId: id, fromVersion: opened, toVersion: null, tenantCode: 'T1', filter: null },
    ]);

    clock.time += 5;
    await admin.listeners.update(actor, { id, ...any }, { filter: { type: 'object' } });
    const reopened = store.data.version;
    await admin.listeners.delete(actor, { id, ...any });
    const closed = store.data.version;
    expect(
      store.data.revisions.map(({ fromVersion, toVersion, closedAt, filter }) => ({
        fromVersion,
        toVersion,
        closedAt,
        filter,
      })),
    ).toEqual([
      { fromVersion: opened, toVersion: reopened, closedAt: clock.now(), filter: null },
      { fromVersion: reopened, toVersion: closed, closedAt: clock.now(), filter: { type: 'object' } },
    ]);
    expect(store.data.listeners).toEqual([]);
  });

  it('disables a listener that is gone, once', async () => {
    const { admin, typeId, store } = await withNodeAndType();
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId));
    await admin.listeners.disable(actor, id);
    const { version } = store.data;
    expect(store.data.listeners[0]).toMatchObject({ enabled: false, version: 2 });
    await admin.listeners.disable(actor, id);
    await admin.listeners.disable(actor, '00000000-0000-4000-8000-000000000000');
    expect(store.data.version).toBe(version);
  });

  it('asks whether the address of a url may be called when it is given, and never again', async () => {
    const asked: string[] = [];
    const addresses = {
      refusalOf: (url: string) => {
        asked.push(url);
        return url.includes('10.0.0.1') ? '10.0.0.1 is a private address' : null;
      },
    };
    const kit = await withNodeAndType({ addresses });
    const inside = 'http://10.0.0.1/hook';
    const refused = await refusal(
      kit.admin.listeners.create(actor, aListenerInput(kit.typeId, { url: inside, name: '' })),
    );
    expect(refused.fields).toEqual([
      { path: 'name', message: expect.stringContaining('expected 1 to') },
      { path: 'url', message: '10.0.0.1 is a private address' },
    ]);
    const { id } = await kit.admin.listeners.create(actor, aListenerInput(kit.typeId));
    const change = (changes: ListenerChanges) => kit.admin.listeners.update(actor, { id, ...any }, changes);
    expect(await refusedFields(change({ url: inside }))).toEqual(['INVALID_PARAM', ['url']]);
    expect(kit.admin.listeners.rulesBroken({ url: inside }).map(({ path }) => path)).toEqual(['url']);

    const row = kit.store.data.listeners.find((one) => one.id === id)!;
    kit.store.data.listeners = [{ ...row, url: inside }];
    asked.length = 0;
    expect((await change({ enabled: false, url: inside })).enabled).toBe(false);
    await kit.admin.listeners.update(actor, { id, ...any }, { enabled: true });
    await kit.admin.listeners.disable(actor, id);
    expect(asked).toEqual([]);
  });

  it('replaces headers and retry as a whole', async () => {
    const { admin, typeId } = await withNodeAndType();
    const { id } = await admin.listeners.create(
      actor,
      aListenerInput(typeId, { headers: { 'X-A': '1' }, retry: { strategy: 'loop', delaysMs: [9] } }),
    );
    const changed = await admin.listeners.update(
      actor,
      { id, ...any },
      { headers: { 'X-B': '2' }, retry: { maxAttempts: 4 } },
    );
    expect(changed).toMatchObject({
      headers: { 'X-B': '2' },
      retry: { strategy: 'default', maxAttempts: 4, delaysMs: null },
    });
    expect(changed.headers).not.toHaveProperty('X-A');
  });

  it('leaves two concurrent listeners with different operIndexes', async () => {
    const { admin, typeId, store } = await withNodeAndType();
    await Promise.all(Array.from({ length: 5 }, () => admin.listeners.create(actor, aListenerInput(typeId))));
    expect(store.data.listeners.map((one) => one.operIndex).sort()).toEqual([1, 2, 3, 4, 5]);
  });
});

describe('the pure rules', () => {
  it('counts the bytes of a key as the signature decodes it', () => {
    expect(decodedKeyLength('test')).toBe(3);
    const call = { url: '/x?ts=1', fields: null, contentLength: 0, algorithm: 'HmacSHA1' as const };
    const canSign = (key: string): boolean => {
      try {
        signCall({ ...call, key });
        return true;
      } catch {
        return false;
      }
    };
    fc.assert(fc.property(fc.string(), (key) => canSign(key) === decodedKeyLength(key) > 0));
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1 }),
        (bytes) => decodedKeyLength(Buffer.from(bytes).toString('base64')) === bytes.length,
      ),
    );
    expect(digest('x', Buffer.from(generateKey(), 'base64'), 'HmacSHA1')).toHaveLength(40);
  });

  it('accepts every url that fetch could call as it stands, and no other', () => {
    fc.assert(
      fc.property(fc.webUrl({ validSchemes: ['http', 'https'], withQueryParameters: true }), (url) => {
        // Apart from characters that must be encoded, which the generator leaves in.
        expect(/["<>\\^`{|}#]|%(?![0-9A-Fa-f]{2})/.test(url) || urlRuleBroken(url) === null).toBe(true);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => urlRuleBroken(text) !== null));
    for (const url of [
      'http://a.invalid/x?y=1',
      'HTTPS://A.invalid:8443',
      'http://[::1]:80/',
      'http://a.invalid/@b?c=d@e',
      'http://a.invalid?x=1',
    ]) {
      expect(urlRuleBroken(url)).toBeNull();
    }
    for (const url of [
      'http://',
      'http:///x',
      'http:a.invalid',
      '//a.invalid',
      'javascript:1',
      'http://@a.invalid',
      'http://u@a.invalid/',
      'http://a.invalid/#f',
      'http://a.invalid/ü',
      'http://a.invalid/a b',
      ' http://a.invalid',
      'http://a.invalid/%zz',
      'http://a.invalid\n',
      'http://a.invalid:99999/',
      `http://a.invalid/${'x'.repeat(2_000)}`,
    ]) {
      expect(urlRuleBroken(url)).not.toBeNull();
    }
  });

  it('never lets a secret into an audit entry', () => {
    const secret = fc.string({ minLength: 12 }).map((text) => `hidden${text}`);
    fc.assert(
      fc.property(secret, fc.constantFrom('appKey', 'clientKey', 'secret'), (value, field) => {
        expect(maskSecrets({ [field]: value, note: 'n' })).toEqual({ [field]: '***', note: 'n' });
      }),
    );
    expect(
      maskSecrets({ headers: { Authorization: 'Bearer x', 'X-Api-Key': 'k', Accept: 'a' }, secret: null }),
    ).toEqual({
      headers: { Authorization: '***', 'X-Api-Key': '***', Accept: 'a' },
      secret: null,
    });
  });
});

describe('a row with secrets that do not open', () => {
  const unreadable = { unreadable: { sealed: 'x', why: 'it was changed' } };

  it('is changed beside them, and mended by new keys', async () => {
    const { admin, store } = await withNodeAndType();
    const ref = { nodeCode: 'A', expectedVersion: null };
    Object.assign(store.data.nodes[0]!, { appKey: unreadable, clientKey: unreadable });
    await admin.nodes.update(actor, ref, { enabled: false });
    expect(store.data.nodes[0]).toMatchObject({ enabled: false, appKey: unreadable, clientKey: unreadable });
    await admin.nodes.update(actor, ref, { clientKey: 'a'.repeat(32) });
    const { appKey } = await admin.nodes.rotateKey(actor, ref, {});
    expect(store.data.nodes[0]).toMatchObject({
      ...{ appKey, clientKey: 'a'.repeat(32), previousKeys: [] },
    });
  });

  it('is deleted', async () => {
    const { admin, store } = await withNodeAndType();
    store.data.nodes[0]!.appKey = unreadable;
    await admin.nodes.delete(actor, { nodeCode: 'A', expectedVersion: null });
    expect(store.data.nodes).toEqual([]);
  });

  it('is a listener as well', async () => {
    const { admin, store, typeId } = await withNodeAndType();
    const { id } = await admin.listeners.create(actor, aListenerInput(typeId));
    const ref = { id, expectedVersion: null };
    Object.assign(store.data.listeners[0]!, { headers: unreadable, secret: unreadable });
    await admin.listeners.update(actor, ref, { enabled: false });
    expect(store.data.listeners[0]).toMatchObject({ enabled: false, headers: unreadable, secret: unreadable });
    await admin.listeners.update(actor, ref, { headers: { 'X-Key': '1' }, secret: null });
    expect(store.data.listeners[0]).toMatchObject({ headers: { 'X-Key': '1' }, secret: null });
  });
});
