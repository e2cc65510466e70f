import type { DataSource, EntityManager } from 'typeorm';
import { rowsOf } from './sql.js';

const clauses = new WeakMap<DataSource, string>();

/**
 * What ends a SELECT that takes rows from a queue in a table: rows that another transaction holds are passed over on
 * MySQL 8.0.1 and MariaDB 10.6 or newer, and waited for on older ones. SQLite has one writer and needs nothing.
 */
export async function skipLockedClause(manager: EntityManager): Promise<string> {
  const { dataSource } = manager;
  let clause = clauses.get(dataSource);
  if (clause === undefined) {
    clause = dataSource.options.type === 'better-sqlite3' ? '' : await mysqlClause(manager);
    clauses.set(dataSource, clause);
  }
  return clause;
}

/** What ends a SELECT whose rows stay locked until the commit. */
export function forUpdateClause(manager: EntityManager): string {
  return manager.dataSource.options.type === 'better-sqlite3' ? '' : ' FOR UPDATE';
}

async function mysqlClause(manager: EntityManager): Promise<string> {
  const [row] = await rowsOf<{ version: string }>(manager, 'SELECT VERSION() AS version');
  return canSkipLocked(row?.version ?? '') ? ' FOR UPDATE SKIP LOCKED' : ' FOR UPDATE';
}

/** Whether a server of this version knows SKIP LOCKED, such as `10.11.19-MariaDB` or `8.4.3`. */
export function canSkipLocked(version: string): boolean {
  // MariaDB behind a replication prefix says 5.5.5-10.11.19-MariaDB.
  const [major = 0, minor = 0, patch = 0] = version
    .replace(/^5\.5\.5-/, '')
    .split(/[.-]/)
    .map(Number);
  if (/mariadb/i.test(version)) return major > 10 || (major === 10 && minor >= 6);
  return major > 8 || (major === 8 && (minor > 0 || patch >= 1));
}
