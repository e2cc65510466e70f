import type { EntityManager } from 'typeorm';
import { EventCenterError, hasCode } from '../core/errors.js';
import type { Actor, Clock, Log } from '../core/ports.js';
import { insertAudit } from './audit-store.js';
import { uuidFromBytes } from './columns.js';
import type { Database } from './database.js';
import { SEALED_COLUMNS, secretContext } from './registry-rows.js';
import { expectSameKey, sealKeyCheck } from './registry-store.js';
import type { SecretBox } from './secrets.js';
import { execute, rowsOf, type SqlValue } from './sql.js';

export interface RotationDeps {
  database: Database;
  /** The new key seals, the former ones open. */
  secrets: SecretBox;
  clock: Clock;
  log: Log;
}

/** What a rotation did. */
export interface RotationReport {
  /** Id of the key that everything is sealed under now, but for what is unreadable. */
  keyId: string;
  /** Secrets that were sealed anew. */
  resealed: number;
  /** Secrets that were sealed under the new key already. */
  current: number;
  /** A sentence on each secret that none of the keys opens. They were left as they are. */
  unreadable: string[];
}

type SealedTable = keyof typeof SEALED_COLUMNS;
type RowKey = string | Buffer;
type Row = { row_key: RowKey } & Record<string, string | Buffer | null>;
type Counts = Omit<RotationReport, 'keyId'>;

const KEY_COLUMNS: Record<SealedTable, string> = { pub_event_node: 'node_code', pub_eventlistener: 'id' };
/** Rows of one transaction: few, because changes of the registry wait for it. */
const PAGE_ROWS = 100;
const ACTOR: Actor = { name: 'system', requestId: null };

/**
 * Seals every secret of the registry under the new master key, in small transactions, while processes that know both keys
 * go on. From its beginning they write under the new key. Broken off, it is gone on with by running it again; run again
 * when it is done, it finds nothing to do.
 * @throws CONFIG_INVALID when the key of this database is not among the keys; UNAVAILABLE. What was done until then stays.
 */
export async function rotateMasterKey(deps: RotationDeps): Promise<RotationReport> {
  const { database, secrets, clock, log } = deps;
  const formerKeyId = await adoptKey(deps);
  const total: Counts = { resealed: 0, current: 0, unreadable: [] };
  for (const table of Object.keys(SEALED_COLUMNS) as SealedTable[]) {
    for (let after: RowKey | null = null; ;) {
      const page = await database.transaction((manager) => resealPage(manager, secrets, { table, after }));
      total.resealed += page.resealed;
      total.current += page.current;
      total.unreadable.push(...page.unreadable);
      if (page.last === null) break;
      after = page.last;
      log.info('master-key.page-resealed', { table, resealed: total.resealed, unreadable: total.unreadable.length });
    }
  }
  const { keyId } = secrets;
  if (formerKeyId !== keyId || total.resealed > 0 || total.unreadable.length > 0) {
    const detail = { ...total, unreadable: total.unreadable.length, formerKeyId };
    const entry = { action: 'master-key.rotated', subjectKind: 'master-key', subjectId: keyId, detail };
    await database.run((manager) => insertAudit(manager, { actor: ACTOR, entry, at: clock.now() }));
  }
  return { keyId, ...total };
}

/**
 * Makes the new key the one of the database, under the lock of every change. The version is raised, so that every process
 * looks at once and one without the new key shows that it cannot read.
 * @returns id of the key that it was before.
 */
function adoptKey({ database, secrets }: RotationDeps): Promise<string | null> {
  return database.transaction(async (manager) => {
    await lockRegistry(manager);
    const [row] = await rowsOf<{ keyCheck: string | null }>(
      manager,
      'SELECT key_check AS keyCheck FROM pub_registry WHERE id = 1',
    );
    if (row === undefined) throw new EventCenterError('INTERNAL', 'pub_registry has lost its row');
    const { keyCheck } = row;
    if (keyCheck !== null) expectSameKey(secrets, keyCheck);
    const formerKeyId = keyCheck === null ? null : secrets.keyIdOf(keyCheck);
    if (formerKeyId === secrets.keyId) return formerKeyId;
    await execute(manager, 'UPDATE pub_registry SET version = version + 1, key_check = ? WHERE id = 1', [
      sealKeyCheck(secrets),
    ]);
    return formerKeyId;
  });
}

/** Changes of the registry run one after another, and so does this. */
async function lockRegistry(manager: EntityManager): Promise<void> {
  await execute(manager, 'UPDATE pub_registry SET version = version WHERE id = 1');
}

/** Seals one page of rows, by key; `last` is the key of its last row, null behind the end. */
async function resealPage(
  manager: EntityManager,
  secrets: SecretBox,
  { table, after }: { table: SealedTable; after: RowKey | null },
): Promise<Counts & { last: RowKey | null }> {
  await lockRegistry(manager);
  const key = KEY_COLUMNS[table];
  const columns = SEALED_COLUMNS[table];
  const beyond = after === null ? '' : ` WHERE ${key} > ?`;
  const rows = await rowsOf<Row>(
    manager,
    `SELECT ${key} AS row_key, ${columns.join(', ')} FROM ${table}${beyond} ORDER BY ${key} LIMIT ${String(PAGE_ROWS)}`,
    after === null ? [] : [after],
  );
  const counts: Counts = { resealed: 0, current: 0, unreadable: [] };
  for (const row of rows) {
    const changes = changesOf(row, { table, secrets, counts });
    const names = Object.keys(changes);
    if (names.length === 0) continue;
    const set = names.map((name) => `${name} = ?`).join(', ');
    await execute(manager, `UPDATE ${table} SET ${set} WHERE ${key} = ?`, [...Object.values(changes), row.row_key]);
  }
  return { ...counts, last: rows.length < PAGE_ROWS ? null : (rows.at(-1)?.row_key ?? null) };
}

/** The columns that are to be written, sealed anew. */
function changesOf(
  row: Row,
  { table, secrets, counts }: { table: SealedTable; secrets: SecretBox; counts: Counts },
): Record<string, SqlValue> {
  const id = typeof row.row_key === 'string' ? row.row_key : uuidFromBytes(row.row_key);
  const changes: Record<string, SqlValue> = {};
  for (const column of SEALED_COLUMNS[table]) {
    const sealed = row[column];
    if (typeof sealed !== 'string') continue;
    const context = secretContext(table, column, id);
    try {
      const text = secrets.open(sealed, context);
      if (secrets.keyIdOf(sealed) === secrets.keyId) {
        counts.current += 1;
      } else {
        changes[column] = secrets.seal(text, context);
        counts.resealed += 1;
      }
    } catch (error) {
      if (!hasCode(error, 'CONFIG_INVALID')) throw error;
      counts.unreadable.push(error.message);
    }
  }
  return changes;
}
