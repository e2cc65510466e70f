import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasCode } from '../core/errors.js';
import type { RegistryData } from '../core/model.js';
import type { Log } from '../core/ports.js';
import type { SecretBox } from './secrets.js';

const CONTEXT = 'registry.snapshot';

/**
 * The last registry of this process in `<dataDir>/registry.snapshot`, encrypted, so that a restart works while the
 * database is away.
 */
export class SnapshotFile {
  readonly #path: string;
  readonly #secrets: SecretBox;
  readonly #log: Log;
  #saving: Promise<void> = Promise.resolve();

  constructor(deps: { dataDir: string; secrets: SecretBox; log: Log }) {
    this.#path = join(deps.dataDir, 'registry.snapshot');
    this.#secrets = deps.secrets;
    this.#log = deps.log;
  }

  /** On disk when it resolves; a crash at any moment leaves the old one or the new one. One save at a time. */
  saveSnapshot(data: RegistryData): Promise<void> {
    const saved = this.#saving.then(() => this.#save(data));
    this.#saving = saved.catch(() => undefined);
    return saved;
  }

  /** Null when there is none, or (logged) when it cannot be read: another master key, a damaged file. */
  async loadSnapshot(): Promise<RegistryData | null> {
    try {
      return JSON.parse(this.#secrets.open(await readFile(this.#path, 'utf8'), CONTEXT)) as RegistryData;
    } catch (error) {
      if (isMissing(error)) return null;
      const reason = hasCode(error, 'CONFIG_INVALID') ? error.message : String(error);
      this.#log.warn('registry.snapshot-unreadable', { path: this.#path, reason });
      return null;
    }
  }

  async #save(data: RegistryData): Promise<void> {
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o700 });
    // Its own name, because several processes may share the folder.
    const draft = `${this.#path}.${process.pid}.tmp`;
    try {
      await writeDurably(draft, this.#secrets.seal(JSON.stringify(data), CONTEXT));
      await rename(draft, this.#path);
      await syncFolder(dirname(this.#path));
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    }
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
