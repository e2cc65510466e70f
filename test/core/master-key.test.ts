import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { masterKeysOf } from '../../src/master-key.js';

describe('the data folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ec-master-key-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is named with its variable where it cannot be made', () => {
    const file = join(folder, 'a-file');
    writeFileSync(file, '');
    for (const dataDir of [file, join(file, 'below')]) {
      expect(() => masterKeysOf({ dataDir, masterKey: null, masterKeyPrevious: [] })).toThrow(
        /^dataDir \(EVENT_CENTER_DATA_DIR\): expected a folder/,
      );
    }
  });
});
