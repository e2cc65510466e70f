import { escape } from 'mysql2';
import type { EntityManager } from 'typeorm';
import { RefusedRowError } from './database-errors.js';
import { packetLimitOf } from './session.js';

/** What can stand in a parameter of a statement on both databases. */
export type SqlValue = string | number | Buffer | null;

/** SQLite takes 32766 parameters in a statement; MySQL's packets are bounded too (16 MiB by default, doubled for bytes). */
const MOST_PARAMETERS = 32_766;
const MOST_ROWS = 1_000;
const MOST_BYTES = 4 * 1024 * 1024;

/** Rows to write with one or a few statements. */
export interface Insert {
  table: string;
  columns: string[];
  rows: SqlValue[][];
  /**
   * What to do with a row whose unique key is there already: `error` (RefusedRowError), `keep` the stored row, or
   * `replace` columns of the stored row, for which the `key` must be named; with `ifNewerBy` only when this column's
   * new value is greater than the stored one (it is replaced too). A row that is refused for its values is an error
   * in every case. MySQL looks at all unique keys of the table, so let no second one collide.
   */
  onDuplicate: 'error' | 'keep' | { key: string[]; replace: string[]; ifNewerBy?: string };
}

/** The rows a query gives, as the driver makes them: no transformers, `Buffer` for bytes, BIGINT as number. */
export function rowsOf<Row>(manager: EntityManager, sql: string, parameters: SqlValue[] = []): Promise<Row[]> {
  return manager.query<Row[]>(sql, parameters);
}

/** Runs a statement; gives the number of rows it matched (an UPDATE to equal values counts). */
export async function execute(manager: EntityManager, sql: string, parameters: SqlValue[] = []): Promise<number> {
  const runner = manager.queryRunner;
  if (runner === undefined)
    throw new Error('the manager has no connection: use the one that the database gives to work');
  const result = await runner.query(sql, parameters, true);
  return result.affected ?? 0;
}

/** `?, ?, ?` for an IN list. */
export function placeholders(count: number): string {
  return new Array(count).fill('?').join(', ');
}

/**
 * Inserts rows in chunks that both databases take. Sort them by primary key, so that concurrent writers lock in the
 * same order. Inside a transaction it is all or nothing; outside, chunks commit one by one.
 */
export async function insertRows(manager: EntityManager, insert: Insert): Promise<void> {
  const isSqlite = manager.dataSource.options.type === 'better-sqlite3';
  const into = `INSERT INTO ${insert.table} (${insert.columns.join(', ')}) VALUES `;
  const tail = isSqlite ? sqliteTail(insert) : mysqlTail(insert);
  for (const rows of chunksOf(insert, packetLimitOf(manager.dataSource))) {
    if (rows.length === 1) expectFits(manager, rows[0] as SqlValue[]);
    if (isSqlite) {
      const row = `(${placeholders(insert.columns.length)})`;
      await manager.query(`${into}${new Array(rows.length).fill(row).join(', ')}${tail}`, rows.flat());
    } else {
      // mysql2 writes nested arrays as (…), (…): much faster than a placeholder per value.
      await manager.query(`${into}?${tail}`, [rows]);
    }
  }
}

/** Rows of a table whose `column` is below `before`; those only for which `condition` holds, where there is one. */
export interface OldRows {
  table: string;
  column: string;
  condition?: string;
  before: number;
  limit: number;
}

/** Deletes up to `limit` of these rows, oldest first; gives how many there were. */
export function deleteOldest(manager: EntityManager, what: OldRows): Promise<number> {
  const { table, column, condition, before, limit } = what;
  const and = condition === undefined ? '' : ` AND ${condition}`;
  const oldest = `WHERE ${column} < ?${and} ORDER BY ${column} LIMIT ?`;
  const isSqlite = manager.dataSource.options.type === 'better-sqlite3';
  const sql = isSqlite
    ? `DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} ${oldest})`
    : `DELETE FROM ${table} ${oldest}`;
  return execute(manager, sql, [before, limit]);
}

function sqliteTail({ onDuplicate }: Insert): string {
  if (onDuplicate === 'error') return '';
  if (onDuplicate === 'keep') return ' ON CONFLICT DO NOTHING';
  const { key, replace, ifNewerBy } = onDuplicate;
  const columns = ifNewerBy === undefined ? replace : [...replace, ifNewerBy];
  const set = columns.map((column) => `${column} = excluded.${column}`).join(', ');
  const where = ifNewerBy === undefined ? '' : ` WHERE excluded.${ifNewerBy} > ${ifNewerBy}`;
  return ` ON CONFLICT (${key.join(', ')}) DO UPDATE SET ${set}${where}`;
}

function mysqlTail({ table, columns, onDuplicate }: Insert): string {
  if (onDuplicate === 'error') return '';
  // INSERT IGNORE would swallow refused values too.
  if (onDuplicate === 'keep') return ` ON DUPLICATE KEY UPDATE ${columns[0]} = ${table}.${columns[0]}`;
  const { replace, ifNewerBy } = onDuplicate;
  if (ifNewerBy === undefined) {
    return ` ON DUPLICATE KEY UPDATE ${replace.map((column) => `${column} = VALUES(${column})`).join(', ')}`;
  }
  // Assignments run from left to right and see each other, so the column that decides comes last.
  const set = [...replace, ifNewerBy].map(
    (column) => `${column} = IF(VALUES(${ifNewerBy}) > ${ifNewerBy}, VALUES(${column}), ${column})`,
  );
  return ` ON DUPLICATE KEY UPDATE ${set.join(', ')}`;
}

function* chunksOf(insert: Insert, packetLimit: number): Generator<SqlValue[][]> {
  const mostRows = Math.min(MOST_ROWS, Math.floor(MOST_PARAMETERS / insert.columns.length));
  // Values grow when they are written into a statement.
  const mostBytes = Math.min(MOST_BYTES, packetLimit / 4);
  let chunk: SqlValue[][] = [];
  let bytes = 0;
  for (const row of insert.rows) {
    const rowBytes = bytesOf(row);
    if (chunk.length > 0 && (chunk.length >= mostRows || bytes + rowBytes > mostBytes)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(row);
    bytes += rowBytes;
  }
  if (chunk.length > 0) yield chunk;
}

/** MySQL answers a statement that is too long by dropping the connection, which would look like an outage. */
function expectFits(manager: EntityManager, row: SqlValue[]): void {
  const limit = packetLimitOf(manager.dataSource) - 16 * 1024;
  // No value grows by more when it is written into a statement: UTF-8 and escapes, or two digits per byte.
  if (bytesOf(row) * 6 <= limit) return;
  let bytes = 0;
  for (const value of row) bytes += Buffer.byteLength(escape(value));
  if (bytes <= limit) return;
  throw new RefusedRowError('value', `a row of ${bytes} bytes does not fit into the server's max_allowed_packet`);
}

function bytesOf(row: SqlValue[]): number {
  let bytes = 0;
  for (const value of row) if (typeof value === 'string' || Buffer.isBuffer(value)) bytes += value.length;
  return bytes;
}
