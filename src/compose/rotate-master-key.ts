import { join } from 'node:path';
import { QueueFile } from '../broker/embedded/queue-file.js';
import type { Config } from '../config.js';
import { EventCenterError } from '../core/errors.js';
import { createLog } from '../log.js';
import { beginNewKey, endNewKey, masterKeysOf } from '../master-key.js';
import { rotateMasterKey as rotate, type RotationReport } from '../store/master-key-rotation.js';
import { SecretBox } from '../store/secrets.js';
import { clock } from './parts.js';
import { DATABASE_WAIT_MS, databaseOf } from './surroundings.js';

/**
 * Seals every secret in the database under the current master key (docs/operations.md, Master key). A key that is kept in
 * the data folder is replaced by a new one, for which no process may run there; the former stays beside it in the file as
 * long as something needs it.
 * @throws CONFIG_INVALID when a process runs on the data folder, or the database belongs to another key; UNAVAILABLE.
 */
export async function rotateMasterKey(config: Config): Promise<RotationReport> {
  if (config.masterKey !== null) return rotateTo(config, masterKeysOf(config));
  const held = new QueueFile(join(config.dataDir, 'broker.sqlite'));
  try {
    const keys = beginNewKey(config);
    const report = await rotateTo(config, keys);
    if (report.unreadable.length === 0) endNewKey(config, keys);
    return report;
  } finally {
    held.close();
  }
}

async function rotateTo(
  config: Config,
  { current, previous }: { current: string; previous: string[] },
): Promise<RotationReport> {
  const log = createLog(config.log.level);
  const database = databaseOf(config, log);
  try {
    await database.waitUntilReady(DATABASE_WAIT_MS);
    if (await database.hasPendingMigrations()) {
      throw new EventCenterError('CONFIG_INVALID', 'the tables are not up to date: run `event-center migrate` first');
    }
    return await rotate({ database, secrets: new SecretBox(current, previous), clock, log });
  } finally {
    await database.close();
  }
}
