import type { EntityManager } from 'typeorm';
import { isUuid, uuidV7 } from '../core/ids.js';
import { invalidField } from '../core/errors.js';
import type { Actor, AuditEntry, AuditRecord, AuditStore, Page, PageRequest } from '../core/ports.js';
import type { AuditRow } from './access-tables.js';
import { uuidToBytes } from './columns.js';
import type { Database } from './database.js';

const REQUEST_ID_LENGTH = 128;
const SUBJECT_ID_LENGTH = 255;

/** The log of writes on the management API. Its ids begin with the time, so they order it. */
export class SqlAuditStore implements AuditStore {
  readonly #database: Database;

  constructor(deps: { database: Database }) {
    this.#database = deps.database;
  }

  append(actor: Actor, entry: AuditEntry, at: number): Promise<void> {
    return this.#database.run((manager) => insertAudit(manager, { actor, entry, at }));
  }

  /** Newest first. @throws INVALID_PARAM at `cursor` for one that did not come from here. */
  async list(page: PageRequest): Promise<Page<AuditRecord>> {
    const before = page.cursor === null ? null : decodeCursor(page.cursor);
    const rows = await this.#database.run((manager) => {
      const query = manager.createQueryBuilder<AuditRow>('pub_audit_log', 'entry').orderBy('entry.id', 'DESC');
      if (before !== null) query.where('entry.id < :before', { before: uuidToBytes(before) });
      return query.limit(page.limit + 1).getMany();
    });
    const items = rows.slice(0, page.limit).map(recordFromRow);
    const last = items.at(-1);
    return { items, nextCursor: rows.length > page.limit && last !== undefined ? encodeCursor(last.id) : null };
  }
}

/** Writes an entry in a transaction of the caller's. Texts from outside are cut rather than refused. */
export async function insertAudit(
  manager: EntityManager,
  what: { actor: Actor; entry: AuditEntry; at: number },
): Promise<void> {
  const row: AuditRow = {
    id: uuidV7(what.at),
    at: what.at,
    actor: what.actor.name,
    request_id: what.actor.requestId?.slice(0, REQUEST_ID_LENGTH) ?? null,
    action: what.entry.action,
    subject_kind: what.entry.subjectKind,
    subject_id: what.entry.subjectId.slice(0, SUBJECT_ID_LENGTH),
    detail: what.entry.detail,
  };
  await manager.getRepository('pub_audit_log').insert(row);
}

function recordFromRow(row: AuditRow): AuditRecord {
  return {
    id: row.id,
    at: row.at,
    actor: row.actor,
    requestId: row.request_id,
    action: row.action,
    subjectKind: row.subject_kind,
    subjectId: row.subject_id,
    detail: row.detail,
  };
}

function encodeCursor(id: string): string {
  return uuidToBytes(id).toString('base64url');
}

function decodeCursor(cursor: string): string {
  const hex = Buffer.from(cursor, 'base64url').toString('hex');
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  // Decoding passes over what it does not know, so a cursor counts only if it is written the same.
  if (!isUuid(id) || encodeCursor(id) !== cursor)
    throw invalidField('cursor', 'expected the nextCursor of the page before');
  return id;
}
