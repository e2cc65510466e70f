import { EventCenterError } from '../../src/core/errors.js';
import type { RegistryData } from '../../src/core/model.js';
import { RegistryMirror } from '../../src/core/registry/registry-mirror.js';
import { AjvSchemaCompiler } from '../../src/schema/ajv.js';
import { MemoryRegistryStore } from '../support/memory-registry-store.js';
import { countingIncidents } from '../support/redelivering.js';
import { aNode } from '../support/registry-fixtures.js';

const otherKey = new EventCenterError('CONFIG_INVALID', 'this database needs another master key');

const NEVER_COMES = Number.MAX_SAFE_INTEGER;

function aMirror() {
  const store = new MemoryRegistryStore();
  const logged: string[] = [];
  const clock = { time: 1_000, now: () => clock.time };
  const note = (level: string) => (event: string, fields?: Record<string, unknown>) =>
    void logged.push(
      [level, event, ...['id', 'field'].flatMap((name) => (fields?.[name] as string | undefined) ?? [])].join(' '),
    );
  const metrics = countingIncidents();
  const kept: { data: RegistryData | null } = { data: null };
  const mirror = new RegistryMirror({
    store,
    keeper: { saveSnapshot: () => Promise.resolve(), loadSnapshot: () => Promise.resolve(kept.data) },
    schemas: new AjvSchemaCompiler(),
    clock,
    log: { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') },
    metrics,
    pollMs: 60_000,
    waitMs: 0,
  });
  return { mirror, store, clock, logged, kept, unknown: () => metrics.incidents.get('registry.version-unknown') ?? 0 };
}

describe('the registry in memory', () => {
  let kit: ReturnType<typeof aMirror>;

  beforeEach(() => {
    kit = aMirror();
  });
  afterEach(() => kit.mirror.stop());

  it('does not begin with another master key, whatever it had kept', async () => {
    kit.kept.data = structuredClone(kit.store.data);
    kit.store.readVersion = () => Promise.reject(otherKey);
    await expect(kit.mirror.start()).rejects.toBe(otherKey);
  });

  it('says why it cannot be loaded, and logs an error, when a store that was away turns out to need another key', async () => {
    kit.store.isAway = true;
    await kit.mirror.start();
    expect(kit.logged).toEqual(['warn registry.store-away']);
    kit.store.readVersion = () => Promise.reject(otherKey);
    await expect(kit.mirror.refreshed()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(kit.mirror.refreshed()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect([kit.mirror.loaded, kit.mirror.storeProblem]).toEqual([false, otherKey.message]);
    expect(kit.logged).toEqual(['warn registry.store-away', 'error registry.not-loaded']);
  });

  it('tells when it was last known to be up to date', async () => {
    expect(kit.mirror.checkedAt).toBeNull();
    await kit.mirror.start();
    expect(kit.mirror.checkedAt).toBe(1_000);
    kit.clock.time = 2_000;
    await kit.mirror.refreshed();
    kit.clock.time = 3_000;
    kit.store.isAway = true;
    await kit.mirror.refreshed();
    expect(kit.mirror.checkedAt).toBe(2_000);
  });

  it('names secrets that do not open, and logs each once', async () => {
    const unreadable = { unreadable: { sealed: 'x', why: 'it was changed' } };
    const change = (data: Partial<RegistryData>) =>
      Object.assign(kit.store.data, data, { version: kit.store.data.version + 1 });
    change({ nodes: [aNode('A', { appKey: unreadable }), aNode('B')] });
    await kit.mirror.start();
    change({ nodes: [aNode('A', { appKey: unreadable, clientKey: unreadable })] });
    await kit.mirror.refreshed();
    expect(kit.mirror.unreadable.map(({ id, field }) => `${id} ${field}`)).toEqual(['A appKey', 'A clientKey']);
    expect(kit.logged).toEqual([
      'error registry.secret-unreadable A appKey',
      'error registry.secret-unreadable A clientKey',
    ]);
    change({ nodes: [aNode('A')] });
    await kit.mirror.refreshed();
    expect(kit.mirror.unreadable).toEqual([]);
  });

  it('waits for no version that the store does not know, and tells it once a minute', async () => {
    kit.store.data.version = 5;
    await kit.mirror.start();
    for (let n = 0; n < 3; n += 1) expect((await kit.mirror.forVersion(NEVER_COMES)).version).toBe(5);
    expect([kit.unknown(), kit.logged]).toEqual([3, ['warn registry.version-unknown']]);
    kit.clock.time += 60_000;
    await kit.mirror.forVersion(NEVER_COMES);
    expect([kit.unknown(), kit.logged]).toEqual([4, Array(2).fill('warn registry.version-unknown')]);
    await expect(kit.mirror.atLeast(NEVER_COMES)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('goes by the older registry of a store that was restored', async () => {
    kit.store.data.version = 9;
    await kit.mirror.start();
    kit.store.data = { ...kit.store.data, version: 3, nodes: [aNode('A')] };
    const snapshot = await kit.mirror.forVersion(10);
    expect([snapshot.version, snapshot.node('A')?.nodeCode]).toEqual([3, 'A']);
  });

  it('believes no answer to a question from before the event came, because the version may be committed after it', async () => {
    await kit.mirror.start();
    let answer!: (version: number) => void;
    const read = kit.store.readVersion.bind(kit.store);
    kit.store.readVersion = () => new Promise((resolve) => (answer = resolve));
    const asked = kit.mirror.refreshed();
    kit.store.readVersion = read;
    kit.store.data = { ...kit.store.data, version: 1, nodes: [aNode('NEW')] };
    const snapshot = kit.mirror.forVersion(1);
    answer(0);
    await asked;
    expect((await snapshot).node('NEW')).not.toBeNull();
    expect([(await snapshot).version, kit.unknown()]).toEqual([1, 0]);
  });

  it('has no answer for a version that is not known while the store is away, whatever it had kept', async () => {
    kit.kept.data = { ...structuredClone(kit.store.data), version: 4 };
    kit.store.isAway = true;
    await kit.mirror.start();
    expect((await kit.mirror.forVersion(4)).version).toBe(4);
    await expect(kit.mirror.forVersion(5)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(kit.unknown()).toBe(0);
  });
});
