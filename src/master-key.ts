import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.js';

const FILE_NAME = 'master.key';

/**
 * The master key in hex: the configured one, else the one kept in the data folder, made at the first start. The
 * configuration has already refused to do without one unless broker and database are the embedded ones.
 */
export function masterKeyOf(config: Config): string {
  if (config.masterKey !== null) return config.masterKey;
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const file = join(config.dataDir, FILE_NAME);
  try {
    writeFileSync(file, randomBytes(32).toString('hex'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  return readFileSync(file, 'utf8').trim();
}
