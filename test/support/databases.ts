import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrations } from '../../migrations/index.js';
import type { Log } from '../../src/core/ports.js';
import { openDatabase, type Database, type DatabaseOptions } from '../../src/store/database.js';
import { entities } from '../../src/store/entities.js';
import { createOnServer } from './mysql-server.js';

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A database of its own for a test. */
export interface TestDatabase {
  url: string;
  /** Opens it; everything opened is closed by `remove`. */
  open(options?: Partial<DatabaseOptions>): Database;
  /** Opens it with all tables made. */
  openMigrated(options?: Partial<DatabaseOptions>): Promise<Database>;
  remove(): Promise<void>;
}

export async function createSqliteDatabase(): Promise<TestDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-'));
  return testDatabase(`sqlite:${join(folder, 'sub', 'test.sqlite')}`, () => {
    rmSync(folder, { recursive: true, force: true });
    return Promise.resolve();
  });
}

export async function createMysqlDatabase(): Promise<TestDatabase> {
  const { url, drop } = await createOnServer();
  return testDatabase(url, drop);
}

/** Runs a suite over both databases; only over SQLite with EVENT_CENTER_TEST_EMBEDDED_ONLY=1. */
export function describeEachDatabase(name: string, suite: (create: () => Promise<TestDatabase>) => void): void {
  const kinds: [string, () => Promise<TestDatabase>][] = [['SQLite', createSqliteDatabase]];
  if (process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] !== '1') kinds.push(['MariaDB', createMysqlDatabase]);
  for (const [kind, create] of kinds) {
    describe(`${name} on ${kind}`, () => {
      suite(create);
    });
  }
}

function testDatabase(url: string, drop: () => Promise<void>): TestDatabase {
  const opened: Database[] = [];
  const open = (options: Partial<DatabaseOptions> = {}): Database => {
    const database = openDatabase({
      url,
      poolSize: 8,
      queryTimeoutMs: 10_000,
      entities,
      migrations,
      log: silentLog,
      ...options,
    });
    opened.push(database);
    return database;
  };
  return {
    url,
    open,
    openMigrated: async (options) => {
      const database = open(options);
      await database.migrate();
      await database.waitUntilReady(10_000);
      return database;
    },
    remove: async () => {
      await Promise.allSettled(opened.map((database) => database.close()));
      await drop();
    },
  };
}
