import { createHash } from 'node:crypto';
import { uuidV7 } from '../../src/core/ids.js';
import type { ApiToken } from '../../src/core/ports.js';
import { SqlAuditStore } from '../../src/store/audit-store.js';
import { SqlRegistryStore } from '../../src/store/registry-store.js';
import { SecretBox } from '../../src/store/secrets.js';
import { SqlTokenStore } from '../../src/store/token-store.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';

const hash = (text: string) => createHash('sha256').update(text).digest();

function token(changes: Partial<ApiToken> = {}): ApiToken {
  return {
    id: uuidV7(),
    name: 'ops',
    role: 'operator',
    nodeCode: null,
    createdAt: 1_000,
    expiresAt: null,
    revokedAt: null,
    lastUsedAt: null,
    ...changes,
  };
}

describeEachDatabase('the token store', (create) => {
  let test: TestDatabase;
  let store: SqlTokenStore;

  beforeEach(async () => {
    test = await create();
    store = new SqlTokenStore({ database: await test.openMigrated() });
  });
  afterEach(() => test.remove());

  it('finds a token by its hash only, with every field', async () => {
    const full = token({ role: 'admin', nodeCode: 'A', expiresAt: 9_000, lastUsedAt: 8_000 });
    await store.create(full, hash('secret'));
    expect(await store.findByHash(hash('secret'))).toEqual(full);
    expect(await store.findByHash(hash('other'))).toBeNull();
    expect(await store.count()).toBe(1);
  });

  it('lets one live token have a name', async () => {
    const created = await Promise.allSettled([1, 2, 3].map((n) => store.create(token(), hash(`secret ${n}`))));
    expect(created.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of created) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'CONFLICT' });
    }
    await store.create(token({ name: 'OPS' }), hash('another name'));
    expect(await store.count()).toBe(2);
  });

  it('gives a name free when its token is revoked or expired', async () => {
    const first = token({ createdAt: 1 });
    const second = token({ createdAt: 2, expiresAt: 50 });
    await store.create(first, hash('1'));
    expect(await store.revoke(first.id, 10)).toBe(true);
    expect(await store.revoke(first.id, 11)).toBe(false);
    await store.create(second, hash('2'));
    await expect(store.create(token({ createdAt: 49 }), hash('3'))).rejects.toMatchObject({ code: 'CONFLICT' });
    const third = token({ createdAt: 50 });
    await store.create(third, hash('3'));
    expect(await store.list()).toEqual([{ ...first, revokedAt: 10 }, second, third]);
    expect(await store.findByHash(hash('1'))).toMatchObject({ revokedAt: 10 });
  });

  it('ends the tokens of a node that is deleted, and no others', async () => {
    const secrets = new SecretBox('5c'.repeat(32));
    const registry = new SqlRegistryStore({ database: test.open(), secrets, clock: { now: () => 700 } });
    await store.create(token({ name: 'of A', nodeCode: 'A' }), hash('1'));
    await store.create(token({ name: 'of B', nodeCode: 'B' }), hash('2'));
    await store.create(token({ name: 'of all' }), hash('3'));
    const { value } = await registry.change({ name: 'x', requestId: null }, (writer) => writer.revokeTokensOf('A'));
    expect(value).toBe(1);
    expect((await store.list()).map(({ name, revokedAt }) => [name, revokedAt]).sort()).toEqual([
      ['of A', 700],
      ['of B', null],
      ['of all', null],
    ]);
  });

  it('notes when a token was used', async () => {
    const used = token();
    await store.create(used, hash('secret'));
    await store.touch(used.id, 5_000);
    expect(await store.findByHash(hash('secret'))).toEqual({ ...used, lastUsedAt: 5_000 });
    expect(await store.revoke(uuidV7(), 1)).toBe(false);
  });
});

describeEachDatabase('the audit store', (create) => {
  let test: TestDatabase;
  let store: SqlAuditStore;
  const actor = { name: 'token:ops', requestId: null };
  const entry = (n: number) => ({
    action: 'node.created',
    subjectKind: 'node',
    subjectId: `N${n}`,
    detail: { n, 名: [null, 1.5] },
  });

  beforeEach(async () => {
    test = await create();
    store = new SqlAuditStore({ database: await test.openMigrated() });
  });
  afterEach(() => test.remove());

  it('pages newest first, every entry once, while new ones are written', async () => {
    for (let n = 0; n < 7; n += 1) await store.append(actor, entry(n), 1_000 + n);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await store.list({ limit: 3, cursor });
      seen.push(...page.items.map((item) => item.subjectId));
      cursor = page.nextCursor;
      await store.append(actor, entry(100 + seen.length), 9_000);
    } while (cursor !== null);
    expect(seen).toEqual(['N6', 'N5', 'N4', 'N3', 'N2', 'N1', 'N0']);
    expect((await store.list({ limit: 10, cursor: null })).nextCursor).toBeNull();
  });

  it('gives back every field, and cuts what a caller sent too long', async () => {
    await store.append(
      { name: 'system', requestId: 'r'.repeat(500) },
      { ...entry(1), subjectId: 's'.repeat(500) },
      1_234,
    );
    expect((await store.list({ limit: 1, cursor: null })).items).toEqual([
      {
        ...entry(1),
        id: expect.stringMatching(/^00000000-04d2-7/),
        at: 1_234,
        actor: 'system',
        requestId: 'r'.repeat(128),
        subjectId: 's'.repeat(255),
      },
    ]);
  });

  it.each(['', 'nonsense', 'AAAA'])('refuses %j as a cursor', async (cursor) => {
    await expect(store.list({ limit: 1, cursor })).rejects.toMatchObject({
      code: 'INVALID_PARAM',
      fields: [{ path: 'cursor' }],
    });
  });
});
