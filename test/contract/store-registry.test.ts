import { uuidV7 } from '../../src/core/ids.js';
import type { EventType, Listener, ListenerRevision, Node } from '../../src/core/model.js';
import type { Actor, RegistryWriter } from '../../src/core/ports.js';
import { SqlAuditStore } from '../../src/store/audit-store.js';
import type { Database } from '../../src/store/database.js';
import { SqlRegistryStore } from '../../src/store/registry-store.js';
import { SecretBox } from '../../src/store/secrets.js';
import { rowsOf } from '../../src/store/sql.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';

const MASTER_KEY = '0123456789abcdef'.repeat(4);
const actor: Actor = { name: 'token:ops', requestId: 'request-1' };
const clock = { now: () => 1_700_000_000_000 };

const plainNode: Node = {
  nodeCode: 'A',
  nodeName: null,
  note: null,
  appKey: 'YXBwLWtleQ==',
  previousKeys: [],
  clientKey: null,
  algorithm: 'HmacSHA1',
  contentLength: 'exact',
  enabled: true,
  onExhausted: 'continue',
  concurrency: 32,
  sendRateLimit: null,
  deliverRateLimit: null,
  version: 1,
  lastTime: 1_700_000_000_001,
};
const fullNode: Node = {
  nodeCode: 'a.b_C-1',
  nodeName: '审批 🚀',
  note: 'line 1\nline 2 \u0000 '.repeat(200),
  appKey: 'app key in clear',
  previousKeys: [
    { key: 'previous key in clear', expiresAt: 4_102_444_800_000 },
    { key: 'earlier key in clear', expiresAt: 4_102_444_700_000 },
  ],
  clientKey: 'client key in clear',
  algorithm: 'HmacSHA512',
  contentLength: 'zero',
  enabled: false,
  onExhausted: 'stop',
  concurrency: 7,
  sendRateLimit: 1_000_000,
  deliverRateLimit: 3,
  version: 2_000_000,
  lastTime: 1_700_000_000_002,
};
const plainType: EventType = {
  id: uuidV7(1),
  sourceId: 'USER',
  sourceName: null,
  eventTypeCode: 'ADD_AFTER',
  eventTypeName: null,
  owner: 'ALL',
  note: null,
  schema: null,
  version: 1,
  lastTime: 1,
};
const fullType: EventType = {
  id: uuidV7(2),
  sourceId: '用户',
  sourceName: '用户',
  eventTypeCode: '新增',
  eventTypeName: '新增之后',
  owner: 'A',
  note: '',
  schema: { type: 'object', required: ['id'], properties: { id: { type: 'number', minimum: 1.5 } }, nothing: null },
  version: 4,
  lastTime: 5,
};
const plainListener: Listener = {
  id: uuidV7(1),
  eventTypeId: plainType.id,
  name: 'first',
  namei18n: null,
  implClassName: null,
  url: 'http://127.0.0.1/receive',
  owner: null,
  note: null,
  operIndex: 0,
  nodeCode: 'A',
  enabled: true,
  tenantCode: null,
  filter: null,
  format: 'iuap',
  method: 'POST',
  headers: {},
  timeoutMs: 15_000,
  secret: null,
  fieldsAsHeaders: false,
  retry: { strategy: 'default', maxAttempts: null, delaysMs: null },
  version: 1,
  lastTime: 1,
};
const fullListener: Listener = {
  id: uuidV7(2),
  eventTypeId: fullType.id,
  name: '第二',
  namei18n: 'second.name',
  implClassName: 'com.example.Plugin',
  url: null,
  owner: 'product',
  note: 'note',
  operIndex: 2_147_483_647,
  nodeCode: 'a.b_C-1',
  enabled: false,
  tenantCode: 'tenant',
  filter: { const: { deep: [1, null, true, 'x'] } },
  format: 'iuap',
  method: 'PUT',
  headers: { authorization: 'Bearer header in clear' },
  timeoutMs: 300_000,
  secret: 'listener secret in clear',
  fieldsAsHeaders: true,
  retry: { strategy: 'loop', maxAttempts: 9, delaysMs: [5, 1_000] },
  version: 3,
  lastTime: 4,
};
const revision: ListenerRevision = {
  listenerId: fullListener.id,
  listenerName: '第二',
  eventTypeId: fullType.id,
  nodeCode: 'a.b_C-1',
  kind: 'plugin',
  operIndex: 2,
  fromVersion: 1,
  toVersion: null,
  closedAt: null,
  tenantCode: 'tenant',
  filter: { const: 1 },
};

const unreadable = (place: string) => ({
  unreadable: { sealed: expect.any(String), why: expect.stringContaining(place) },
});

describeEachDatabase('the registry store', (create) => {
  let test: TestDatabase;
  let database: Database;
  let store: SqlRegistryStore;

  beforeEach(async () => {
    test = await create();
    database = await test.openMigrated();
    store = new SqlRegistryStore({ database, secrets: new SecretBox(MASTER_KEY), clock });
  });
  afterEach(() => test.remove());

  const saveAll = () =>
    store.change(actor, async (writer) => {
      for (const node of [plainNode, fullNode]) await writer.saveNode(node);
      for (const type of [plainType, fullType]) await writer.saveEventType(type);
      for (const listener of [plainListener, fullListener]) await writer.saveListener(listener);
      await writer.openRevision(revision);
    });
  const tableText = async (table: string) =>
    JSON.stringify(
      (await database.run((manager) => rowsOf<Record<string, unknown>>(manager, `SELECT * FROM ${table}`))).map((row) =>
        Object.values(row).map((value) => (Buffer.isBuffer(value) ? value.toString('latin1') : value)),
      ),
    );

  it('begins at version 0 with the built-in event type', async () => {
    const data = await store.load();
    expect(data).toMatchObject({ version: 0, nodes: [], listeners: [], revisions: [] });
    expect(data.eventTypes.map((type) => [type.sourceId, type.eventTypeCode])).toEqual([
      ['EVENT_CENTER', 'DELIVERY_EXHAUSTED'],
    ]);
  });

  it('gives back every field as it was saved', async () => {
    expect(await saveAll()).toEqual({ value: undefined, version: 1 });
    const data = await store.load();
    expect(data.version).toBe(1);
    expect(data.nodes).toEqual([plainNode, fullNode]);
    expect(data.eventTypes.filter((type) => type.owner !== 'EVENT_CENTER')).toEqual([plainType, fullType]);
    expect(data.listeners).toEqual([plainListener, fullListener]);
    expect(data.revisions).toEqual([revision]);
    expect(await store.readVersion()).toBe(1);
  });

  it('overwrites by id, sees its own writes, and finds by every key', async () => {
    await saveAll();
    await store.change(actor, async (writer) => {
      await writer.saveNode({ ...fullNode, nodeCode: 'A', clientKey: null });
      expect(await writer.findNode('A')).toEqual({ ...fullNode, nodeCode: 'A', clientKey: null });
      expect(await writer.findNode('a')).toBeNull();
      await writer.saveEventType({ ...plainType, schema: { type: 'string' } });
      expect(await writer.findEventType(plainType.id)).toEqual({ ...plainType, schema: { type: 'string' } });
      expect(await writer.findEventTypeByCode('用户', '新增')).toEqual(fullType);
      expect(await writer.findEventTypeByCode('user', 'ADD_AFTER')).toBeNull();
      await writer.saveListener({ ...plainListener, operIndex: 9 });
      expect(await writer.findListener(plainListener.id)).toEqual({ ...plainListener, operIndex: 9 });
      expect(await writer.findListener(uuidV7())).toBeNull();
      expect(await writer.eventTypesOwnedBy('A')).toEqual([fullType]);
      expect(await writer.listenersOfNode('a.b_C-1')).toEqual([fullListener]);
      expect(await writer.listenersOfEventType(plainType.id)).toEqual([{ ...plainListener, operIndex: 9 }]);
      expect(await writer.listenerDelaysMs()).toEqual([5, 1_000]);
    });
    expect((await store.load()).nodes).toHaveLength(2);
  });

  it('deletes', async () => {
    await saveAll();
    await store.change(actor, async (writer) => {
      await writer.deleteNode('A');
      await writer.deleteListener(plainListener.id);
      await writer.deleteEventType(plainType.id);
    });
    const data = await store.load();
    expect(data.nodes).toEqual([fullNode]);
    expect(data.listeners).toEqual([fullListener]);
    expect(data.eventTypes.map((type) => type.id)).not.toContain(plainType.id);
  });

  it('refuses a code or an operindex that another row has, as CONFLICT, and overwrites nothing', async () => {
    await saveAll();
    const before = await store.load();
    const saves: ((writer: RegistryWriter) => Promise<void>)[] = [
      (writer) => writer.saveEventType({ ...plainType, id: uuidV7() }),
      (writer) => writer.saveListener({ ...plainListener, id: uuidV7() }),
    ];
    for (const save of saves) await expect(store.change(actor, save)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await store.load()).toEqual(before);
  });

  it('keeps codes apart that differ in case only', async () => {
    await store.change(actor, async (writer) => {
      await writer.saveNode(plainNode);
      await writer.saveNode({ ...plainNode, nodeCode: 'a' });
      await writer.saveEventType(plainType);
      await writer.saveEventType({ ...plainType, id: uuidV7(), eventTypeCode: 'add_after' });
    });
    expect((await store.load()).nodes.map((node) => node.nodeCode)).toEqual(['A', 'a']);
  });

  it('keeps no secret in clear', async () => {
    await saveAll();
    const stored = (await tableText('pub_event_node')) + (await tableText('pub_eventlistener'));
    expect(stored).toContain('com.example.Plugin');
    expect(stored).not.toMatch(/in clear/);
  });

  it('loads a secret that was moved or changed as unreadable, and everything beside it', async () => {
    await saveAll();
    for (const statement of [
      "UPDATE pub_event_node SET client_key = app_key WHERE node_code = 'A'",
      "UPDATE pub_event_node SET app_key = 'v1.nothing', previous_keys = '' WHERE node_code = 'a.b_C-1'",
      "UPDATE pub_eventlistener SET secret = headers, headers = 'x' WHERE secret IS NOT NULL",
    ]) {
      await database.run((manager) => manager.query(statement));
    }
    const { nodes, listeners } = await store.load();
    expect(nodes).toEqual([
      { ...plainNode, clientKey: unreadable('pub_event_node.client_key:A') },
      {
        ...fullNode,
        appKey: unreadable('pub_event_node.app_key:a.b_C-1'),
        previousKeys: unreadable('pub_event_node.previous_keys:a.b_C-1'),
      },
    ]);
    expect(listeners).toEqual([
      plainListener,
      {
        ...fullListener,
        headers: unreadable(`pub_eventlistener.headers:${fullListener.id}`),
        secret: unreadable(`pub_eventlistener.secret:${fullListener.id}`),
      },
    ]);
  });

  it('keeps an unreadable secret as it stands, beside what was changed', async () => {
    await saveAll();
    await database.run((manager) =>
      manager.query("UPDATE pub_event_node SET app_key = 'v1.x.y' WHERE node_code = 'A'"),
    );
    await store.change(actor, async (writer) => {
      await writer.saveNode({ ...((await writer.findNode('A')) as Node), note: 'changed' });
    });
    expect(await tableText('pub_event_node')).toContain('"v1.x.y"');
    expect((await store.load()).nodes[0]).toMatchObject({ note: 'changed', appKey: { unreadable: {} } });
  });

  it('refuses every other master key from the first look on, without a change', async () => {
    await store.load();
    const other = new SqlRegistryStore({ database, secrets: new SecretBox('f'.repeat(64)), clock });
    const refusal = { code: 'CONFIG_INVALID', message: expect.stringContaining('EVENT_CENTER_MASTER_KEY') };
    await expect(other.load()).rejects.toMatchObject(refusal);
    await expect(other.readVersion()).rejects.toMatchObject(refusal);
    await expect(other.change(actor, (writer) => writer.saveNode(plainNode))).rejects.toMatchObject(refusal);
    expect(await store.load()).toMatchObject({ version: 0, nodes: [] });
  });

  it('takes another key once the check was emptied, with every secret unreadable', async () => {
    await saveAll();
    await database.run((manager) => manager.query('UPDATE pub_registry SET key_check = NULL'));
    const other = new SqlRegistryStore({ database, secrets: new SecretBox('f'.repeat(64)), clock });
    expect((await other.load()).nodes[0]).toEqual({ ...plainNode, appKey: unreadable('pub_event_node.app_key:A') });
    await other.change(actor, (writer) => writer.saveNode(plainNode));
    expect((await other.load()).nodes[0]).toEqual(plainNode);
    await expect(store.load()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('lets one of several first processes decide which master key it is', async () => {
    const masters = ['a', 'b', 'c', 'd'];
    const looks = await Promise.allSettled(
      masters.map(async (digit) => {
        const secrets = new SecretBox(digit.repeat(64));
        const registry = new SqlRegistryStore({ database: await test.openMigrated(), secrets, clock });
        await (digit < 'c' ? registry.load() : registry.change(actor, (writer) => writer.saveNode(plainNode)));
      }),
    );
    expect(looks.map((look) => look.status).sort()).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
  });

  it('runs changes of several processes one after another, with versions 1 to n', async () => {
    const second = new SqlRegistryStore({
      database: await test.openMigrated(),
      secrets: new SecretBox(MASTER_KEY),
      clock,
    });
    await store.change(actor, (writer) => writer.saveNode({ ...plainNode, concurrency: 0 }));
    const raise = (registry: SqlRegistryStore) =>
      registry.change(actor, async (writer) => {
        const node = (await writer.findNode('A')) as Node;
        await new Promise((resolve) => setImmediate(resolve));
        await writer.saveNode({ ...node, concurrency: node.concurrency + 1 });
        return writer.version;
      });
    const changes = await Promise.all(
      Array.from({ length: 20 }, (_, index) => raise(index % 2 === 0 ? store : second)),
    );
    expect(changes.map((change) => change.version).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 2),
    );
    expect(changes.every((change) => change.value === change.version)).toBe(true);
    expect((await store.load()).nodes[0]?.concurrency).toBe(20);
  });

  it('loads a change as a whole or not at all', async () => {
    await store.change(actor, (writer) => writer.saveNode({ ...plainNode, version: 1 }));
    const second = new SqlRegistryStore({
      database: await test.openMigrated(),
      secrets: new SecretBox(MASTER_KEY),
      clock,
    });
    const versions = Array.from({ length: 14 }, (_, index) => index + 2);
    const changes = versions.map(() =>
      second.change(actor, (writer) => writer.saveNode({ ...plainNode, version: writer.version })),
    );
    for (let seen = 1; seen < 15;) {
      const data = await store.load();
      expect(data.nodes[0]?.version).toBe(data.version);
      seen = data.version;
    }
    await Promise.all(changes);
  });

  it('leaves nothing of a change that throws, neither rows nor version nor audit', async () => {
    await saveAll();
    const before = await store.load();
    const broken = store.change(actor, async (writer) => {
      await writer.saveNode({ ...plainNode, nodeCode: 'B' });
      await writer.deleteListener(plainListener.id);
      await writer.audit({ action: 'node.created', subjectKind: 'node', subjectId: 'B', detail: {} });
      throw new Error('the topology cannot be declared');
    });
    await expect(broken).rejects.toThrow('the topology cannot be declared');
    expect(await store.load()).toEqual(before);
    expect((await new SqlAuditStore({ database }).list({ limit: 10, cursor: null })).items).toEqual([]);
  });

  it('writes the audit entry with the change, at the time of the clock', async () => {
    const entry = {
      action: 'node.created',
      subjectKind: 'node',
      subjectId: 'A',
      detail: { nodeCode: 'A', appKey: '***' },
    };
    await store.change(actor, async (writer) => {
      await writer.saveNode(plainNode);
      await writer.audit(entry);
    });
    const { items } = await new SqlAuditStore({ database }).list({ limit: 10, cursor: null });
    expect(items).toEqual([
      { ...entry, id: expect.any(String), at: clock.now(), actor: 'token:ops', requestId: 'request-1' },
    ]);
  });

  it('closes only the open revision of a listener, at the version of the change', async () => {
    await saveAll();
    await store.change(actor, async (writer) => {
      await writer.closeRevision(fullListener.id, 5_000);
      await writer.openRevision({ ...revision, fromVersion: writer.version, tenantCode: null, filter: null });
    });
    await store.change(actor, (writer) => writer.closeRevision(fullListener.id, 6_000));
    expect(
      (await store.load()).revisions.map(({ fromVersion, toVersion, closedAt }) => [fromVersion, toVersion, closedAt]),
    ).toEqual([
      [1, 2, 5_000],
      [2, 3, 6_000],
    ]);
  });

  it('prunes revisions that were closed long ago, and tells which', async () => {
    await saveAll();
    await store.change(actor, async (writer) => {
      await writer.closeRevision(fullListener.id, 5_000);
      await writer.openRevision({ ...revision, fromVersion: writer.version });
    });
    expect(await store.pruneRevisions(5_000)).toEqual([]);
    expect(await store.pruneRevisions(5_001)).toEqual([{ ...revision, toVersion: 2, closedAt: 5_000 }]);
    expect((await store.load()).revisions).toEqual([{ ...revision, fromVersion: 2 }]);
    expect(await store.readVersion()).toBe(2);
  });
});
