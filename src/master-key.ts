import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from './config.js';
import { EventCenterError } from './core/errors.js';

const FILE_NAME = 'master.key';

/** Keys in hex. */
export interface MasterKeys {
  /** Seals, and opens. */
  current: string;
  /** Only open, while the key is being replaced. */
  previous: string[];
}

/**
 * The master keys: the configured ones, else those kept in the data folder, a line each and the current one first. The
 * file is made at the first start. The configuration has already refused to do without a key unless broker and database
 * are the embedded ones.
 * @throws CONFIG_INVALID when there can be no such folder.
 */
export function masterKeysOf(config: Pick<Config, 'dataDir' | 'masterKey' | 'masterKeyPrevious'>): MasterKeys {
  if (config.masterKey !== null) return { current: config.masterKey, previous: config.masterKeyPrevious };
  makeFolder(config.dataDir);
  try {
    writeFileSync(keyFile(config), newKey(), { flag: 'wx', mode: 0o600, flush: true });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  const [current = '', ...previous] = readFileSync(keyFile(config), 'utf8').trim().split(/\s+/);
  return { current, previous };
}

function makeFolder(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  } catch (error) {
    const message = `dataDir (EVENT_CENTER_DATA_DIR): expected a folder, or a place where one can be made: ${(error as Error).message}`;
    throw new EventCenterError('CONFIG_INVALID', message, { cause: error });
  }
}

/**
 * Puts a new key before the one in the data folder, and gives both. A replacement that was begun and not ended is gone on
 * with: then there is a previous key already.
 */
export function beginNewKey(config: Pick<Config, 'dataDir' | 'masterKey' | 'masterKeyPrevious'>): MasterKeys {
  const keys = masterKeysOf(config);
  if (keys.previous.length > 0) return keys;
  const replaced = { current: newKey(), previous: [keys.current] };
  writeKeys(config, replaced);
  return replaced;
}

/** Forgets the previous keys in the data folder, once nothing is sealed under them. */
export function endNewKey(config: Pick<Config, 'dataDir'>, { current }: MasterKeys): void {
  writeKeys(config, { current, previous: [] });
}

/** On disk when it returns; a crash at any moment leaves the old keys or the new ones. */
function writeKeys(config: Pick<Config, 'dataDir'>, { current, previous }: MasterKeys): void {
  const draft = `${keyFile(config)}.tmp`;
  writeFileSync(draft, [current, ...previous].join('\n'), { mode: 0o600, flush: true });
  renameSync(draft, keyFile(config));
  const folder = openSync(config.dataDir, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function keyFile({ dataDir }: Pick<Config, 'dataDir'>): string {
  return join(dataDir, FILE_NAME);
}

function newKey(): string {
  return randomBytes(32).toString('hex');
}
