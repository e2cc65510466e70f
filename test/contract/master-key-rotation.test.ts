import { randomUUID } from 'node:crypto';
import type { Node } from '../../src/core/model.js';
import type { Database } from '../../src/store/database.js';
import { rotateMasterKey } from '../../src/store/master-key-rotation.js';
import { SqlRegistryStore } from '../../src/store/registry-store.js';
import { SecretBox } from '../../src/store/secrets.js';
import { execute, rowsOf } from '../../src/store/sql.js';
import { describeEachDatabase, silentLog, type TestDatabase } from '../support/databases.js';
import { aListener, aNode } from '../support/registry-fixtures.js';

const [OLD, NEW, THIRD] = ['a'.repeat(64), 'b'.repeat(64), 'c'.repeat(64)] as const;
const clock = { now: () => 1_700_000_000_000 };
const actor = { name: 'token:test', requestId: null };

const full = aNode('A', {
  appKey: 'a key of the node',
  clientKey: 'a client key',
  previousKeys: [{ key: 'an earlier key', expiresAt: 2_000_000_000_000 }],
});
const plain = aNode('B', { appKey: 'another key' });
const listeners = [1, 2].map((operIndex) =>
  aListener(randomUUID(), {
    ...{ eventTypeId: randomUUID(), operIndex, headers: { 'x-api-key': 'a header' } },
    secret: operIndex === 1 ? 'a listener secret' : null,
  }),
);

describeEachDatabase('a new master key', (create) => {
  let test: TestDatabase;
  let database: Database;

  beforeEach(async () => {
    test = await create();
    database = await test.openMigrated();
  });
  afterEach(() => test.remove());

  const storeWith = (current: string, ...previous: string[]) =>
    new SqlRegistryStore({ database, secrets: new SecretBox(current, previous), clock });
  const rotate = (current: string, ...previous: string[]) =>
    rotateMasterKey({ database, secrets: new SecretBox(current, previous), clock, log: silentLog });
  const saveAll = (store: SqlRegistryStore) =>
    store.change(actor, async (writer) => {
      for (const node of [full, plain]) await writer.saveNode(node);
      for (const listener of listeners) await writer.saveListener(listener);
    });
  /** Key ids of everything sealed that stands anywhere in the database, with how often. */
  const keyIdsInDatabase = async (): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const { name } of await tables(database)) {
      const rows = await database.run((manager) => rowsOf<Record<string, unknown>>(manager, `SELECT * FROM ${name}`));
      for (const value of rows.flatMap((row) => Object.values(row))) {
        const keyId = /^v1\.([0-9a-f]{8})\./.exec(String(value))?.[1];
        if (keyId !== undefined) counts[keyId] = (counts[keyId] ?? 0) + 1;
      }
    }
    return counts;
  };
  const idOf = (key: string) => new SecretBox(key).keyId;
  const audits = () =>
    database.run((manager) =>
      rowsOf<{ subject: string; detail: string }>(
        manager,
        "SELECT subject_id AS subject, detail FROM pub_audit_log WHERE action = 'master-key.rotated'",
      ),
    );

  it('reads what the old one sealed, and leaves the old one sealing until the rotation, for those without the new', async () => {
    await saveAll(storeWith(OLD));
    const both = storeWith(NEW, OLD);
    expect((await both.load()).nodes).toEqual([full, plain]);
    await both.change(actor, (writer) => writer.saveNode({ ...plain, clientKey: 'written by the new process' }));
    expect((await storeWith(OLD).load()).nodes[1]).toMatchObject({ clientKey: 'written by the new process' });
    expect(await keyIdsInDatabase()).toEqual({ [idOf(OLD)]: 9 });
  });

  it('seals every secret after the rotation, with none left under the old one', async () => {
    await saveAll(storeWith(OLD));
    const { version } = await storeWith(OLD).load();
    expect(await rotate(NEW, OLD)).toEqual({ keyId: idOf(NEW), resealed: 7, current: 0, unreadable: [] });
    expect(await keyIdsInDatabase()).toEqual({ [idOf(NEW)]: 8 });
    const data = await storeWith(NEW).load();
    expect(data.version).toBe(version + 1);
    expect(data.nodes).toEqual([full, plain]);
    expect([...data.listeners].sort((a, b) => a.operIndex - b.operIndex)).toEqual(listeners);
    await storeWith(NEW, OLD).change(actor, (writer) => writer.saveNode({ ...plain, clientKey: 'later' }));
    expect(await keyIdsInDatabase()).toEqual({ [idOf(NEW)]: 9 });
    await expect(storeWith(OLD).load()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('EVENT_CENTER_MASTER_KEY_PREVIOUS'),
    });
  });

  it('is noted in the audit log once, without a secret', async () => {
    await saveAll(storeWith(OLD));
    await rotate(NEW, OLD);
    expect(await rotate(NEW, OLD)).toEqual({ keyId: idOf(NEW), resealed: 0, current: 7, unreadable: [] });
    const [entry, ...more] = await audits();
    expect(more).toEqual([]);
    expect(entry?.subject).toBe(idOf(NEW));
    expect(JSON.parse(entry?.detail ?? '')).toEqual({ resealed: 7, current: 0, unreadable: 0, formerKeyId: idOf(OLD) });
  });

  it('goes on where a rotation was broken off', async () => {
    await saveAll(storeWith(OLD));
    await rotate(NEW, OLD);
    // As if it had ended before its second row.
    const sealed = new SecretBox(OLD).seal('another key', 'pub_event_node.app_key:B');
    await database.run((manager) =>
      execute(manager, "UPDATE pub_event_node SET app_key = ? WHERE node_code = 'B'", [sealed]),
    );
    expect((await storeWith(NEW, OLD).load()).nodes).toEqual([full, plain]);
    expect(await rotate(NEW, OLD)).toMatchObject({ resealed: 1, current: 6 });
    expect((await storeWith(NEW).load()).nodes).toEqual([full, plain]);
  });

  it('names what none of the keys opens, leaves it, and goes on with the rest', async () => {
    await saveAll(storeWith(OLD));
    const strange = new SecretBox(THIRD).seal('x', 'pub_event_node.app_key:B');
    const moved = new SecretBox(OLD).seal('x', 'pub_event_node.app_key:C');
    await database.run((manager) =>
      execute(manager, "UPDATE pub_event_node SET app_key = ?, client_key = ? WHERE node_code = 'B'", [strange, moved]),
    );
    const { unreadable, ...counts } = await rotate(NEW, OLD);
    expect(counts).toEqual({ keyId: idOf(NEW), resealed: 6, current: 0 });
    expect(unreadable).toEqual([
      expect.stringMatching(/pub_event_node\.app_key:B .*another master key/),
      expect.stringMatching(/pub_event_node\.client_key:B .*belongs to another place/),
    ]);
    const nodes = (await storeWith(NEW).load()).nodes;
    expect(nodes[0]).toEqual(full);
    expect(nodes[1]).toMatchObject({ appKey: { unreadable: { sealed: strange } } });
  });

  it('does nothing to a database that belongs to none of the keys', async () => {
    await saveAll(storeWith(OLD));
    await expect(rotate(NEW, THIRD)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect(await keyIdsInDatabase()).toEqual({ [idOf(OLD)]: 8 });
    expect(await audits()).toEqual([]);
  });

  it('takes more rows than one transaction, while others change the registry', async () => {
    const nodes = Array.from({ length: 230 }, (_, at) => aNode(`N${String(at)}`, { appKey: `key ${String(at)}` }));
    const old = storeWith(OLD);
    await old.change(actor, async (writer) => {
      for (const node of nodes) await writer.saveNode(node);
    });
    const both = storeWith(NEW, OLD);
    const rotated = new AbortController();
    const changes = (async () => {
      let changed = 0;
      for (; !rotated.signal.aborted; changed += 1) {
        const nodeCode = `N${String((changed * 7) % 230)}`;
        await both.change(actor, async (writer) => {
          const node = (await writer.findNode(nodeCode)) as Node;
          await writer.saveNode({ ...node, clientKey: 'changed meanwhile' });
        });
      }
      return changed;
    })();
    const report = await rotate(NEW, OLD).finally(() => {
      rotated.abort();
    });
    expect(await changes).toBeGreaterThan(0);
    expect(report.unreadable).toEqual([]);
    expect(report.resealed + report.current).toBeGreaterThanOrEqual(230);
    expect(Object.keys(await keyIdsInDatabase())).toEqual([idOf(NEW)]);
    const { nodes: found } = await storeWith(NEW).load();
    expect(new Map(found.map((node) => [node.nodeCode, node.appKey]))).toEqual(
      new Map(nodes.map((node) => [node.nodeCode, node.appKey])),
    );
  });
});

function tables(database: Database): Promise<{ name: string }[]> {
  const sql = database.isSqlite
    ? "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'pub%'"
    : 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()';
  return database.run((manager) => rowsOf<{ name: string }>(manager, sql));
}
