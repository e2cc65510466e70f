import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import type { RegistryData } from '../../src/core/model.js';
import { SecretBox } from '../../src/store/secrets.js';
import { SnapshotFile } from '../../src/store/snapshot-file.js';
import { silentLog } from '../support/databases.js';

const secrets = new SecretBox('a'.repeat(64));
const otherSecrets = new SecretBox('b'.repeat(64));

function dataAt(version: number): RegistryData {
  const node = { nodeCode: 'A', appKey: 'key in clear', note: '审批 🚀' } as RegistryData['nodes'][number];
  return { version, nodes: [node], eventTypes: [], listeners: [], revisions: [] };
}

describe('a sealed secret', () => {
  it('opens in its own context, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(secrets.open(secrets.seal(text, 'table.column:1'), 'table.column:1')).toBe(text);
      }),
    );
  });

  it('differs each time, names its format and hides the text', () => {
    const sealed = secrets.seal('in clear', 'c');
    expect(sealed).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]+$/);
    expect(sealed).not.toBe(secrets.seal('in clear', 'c'));
  });

  it.each([
    ['under another key', () => otherSecrets.open(secrets.seal('x', 'c'), 'c')],
    ['in another context', () => secrets.open(secrets.seal('x', 'c'), 'd')],
    [
      'when it was changed',
      () =>
        secrets.open(
          secrets.seal('xxxx', 'c').replace(/.$/, (end) => (end === 'A' ? 'E' : 'A')),
          'c',
        ),
    ],
    ['when it was cut', () => secrets.open(secrets.seal('x', 'c').slice(0, 20), 'c')],
    ['when it never was one', () => secrets.open('plain', 'c')],
  ])('does not open %s', (_when, open) => {
    expect(open).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });
});

describe('the snapshot file', () => {
  let dataDir: string;
  let file: SnapshotFile;
  const warnings: string[] = [];
  const log = {
    ...silentLog,
    warn: (event: string, fields?: Record<string, unknown>) =>
      void warnings.push(`${event} ${String(fields?.['reason'])}`),
  };

  beforeEach(() => {
    dataDir = join(mkdtempSync(join(tmpdir(), 'event-center-')), 'data');
    file = new SnapshotFile({ dataDir, secrets, log });
    warnings.length = 0;
  });
  afterEach(() => {
    rmSync(join(dataDir, '..'), { recursive: true, force: true });
  });

  it('gives back what was saved last, in clear nowhere on disk, for its owner only', async () => {
    expect(await file.loadSnapshot()).toBeNull();
    await Promise.all([1, 2, 3].map((version) => file.saveSnapshot(dataAt(version))));
    expect(await new SnapshotFile({ dataDir, secrets, log }).loadSnapshot()).toEqual(dataAt(3));
    expect(readdirSync(dataDir)).toEqual(['registry.snapshot']);
    expect(readFileSync(join(dataDir, 'registry.snapshot'), 'utf8')).not.toContain('clear');
    expect(statSync(join(dataDir, 'registry.snapshot')).mode & 0o077).toBe(0);
    expect(warnings).toEqual([]);
  });

  it('is null, with the reason in the log, when it was damaged or sealed under another key', async () => {
    await new SnapshotFile({ dataDir, secrets: otherSecrets, log }).saveSnapshot(dataAt(1));
    expect(await file.loadSnapshot()).toBeNull();
    writeFileSync(join(dataDir, 'registry.snapshot'), 'v1.half a');
    expect(await file.loadSnapshot()).toBeNull();
    expect(warnings).toEqual([
      expect.stringContaining('needs another master key'),
      expect.stringContaining('its form is not known'),
    ]);
  });
});
