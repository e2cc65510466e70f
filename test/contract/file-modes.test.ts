import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrations } from '../../migrations/index.js';
import { QueueFile } from '../../src/broker/embedded/queue-file.js';
import { openDatabase } from '../../src/store/database.js';
import { entities } from '../../src/store/entities.js';
import { SecretBox } from '../../src/store/secrets.js';
import { SnapshotFile } from '../../src/store/snapshot-file.js';
import { silentLog } from '../support/databases.js';

describe('files with payloads and secrets', () => {
  let folder: string;
  let mask: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'event-center-'));
    chmodSync(folder, 0o777);
    mask = process.umask(0);
  });
  afterEach(() => {
    process.umask(mask);
    rmSync(folder, { recursive: true, force: true });
  });

  const modes = () =>
    Object.fromEntries(readdirSync(folder).map((name) => [name, statSync(join(folder, name)).mode.toString(8)]));

  it('are for this user only, also in a folder that is open to all', async () => {
    const url = `sqlite:${join(folder, 'event-center.sqlite')}`;
    const database = openDatabase({ url, poolSize: 1, queryTimeoutMs: 5_000, entities, migrations, log: silentLog });
    const queues = new QueueFile(join(folder, 'broker.sqlite'));
    try {
      await database.migrate();
      await database.waitUntilReady(5_000);
      await database.hasPendingMigrations();
      queues.createQueue('q');
      const snapshot = new SnapshotFile({ dataDir: folder, secrets: new SecretBox('a'.repeat(64)), log: silentLog });
      await snapshot.saveSnapshot({ version: 0, nodes: [], eventTypes: [], listeners: [], revisions: [] });
      const found = modes();
      expect(Object.keys(found)).toEqual(
        expect.arrayContaining([
          ...['broker.sqlite', 'broker.sqlite-wal', 'registry.snapshot'],
          ...['event-center.sqlite', 'event-center.sqlite-shm', 'event-center.sqlite-wal'],
        ]),
      );
      expect(Object.values(found).filter((mode) => mode !== '100600')).toEqual([]);
    } finally {
      queues.close();
      await database.close();
    }
  });
});
