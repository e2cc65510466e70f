import type { EntityManager } from 'typeorm';
import type { Event, EventMessage } from '../core/model.js';
import type { EndedLease, Lease, LeaseFound, LeaseStore, Log } from '../core/ports.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import type { LeaseRow } from './lease-table.js';
import { forUpdateClause, skipLockedClause } from './skip-locked.js';
import { deleteOldest, execute, insertRows, placeholders, rowsOf, type SqlValue } from './sql.js';

export interface LeaseStoreDeps {
  database: Database;
  log: Log;
}

type RawLease = Pick<LeaseRow, 'node_code' | 'state' | 'leased_until' | 'taken_until' | 'body'> & { id: Buffer };
type Publish = Parameters<LeaseStore['publishEnded']>[2];
type Asked = Parameters<LeaseStore['release']>[0];

const COLUMNS = [
  'id',
  'event_id',
  'node_code',
  'generation',
  'sequence',
  'state',
  'leased_until',
  'taken_until',
  'due_at',
  'forget_at',
  'body',
] satisfies (keyof LeaseRow)[];

/** A lease whose successor could not be published makes place for others for this long. */
const LATER_MS = 5_000;
/** How long a late report learns that its lease has expired. */
const EXPIRED_REMEMBERED_MS = 3_600_000;
/** How long a message whose ack was lost finds its lease: longer than the journal takes to record what came of it. */
const OVER_REMEMBERED_MS = 600_000;
const FORGOTTEN_AT_A_TIME = 1_000;

/** Leases in `pub_event_lease`, with the message as JSON. */
export class SqlLeaseStore implements LeaseStore {
  readonly #database: Database;
  readonly #log: Log;
  /** SQLite has one process, and no lock is held there while publishing, so that nothing else waits for the broker. */
  #publishing = false;

  constructor(deps: LeaseStoreDeps) {
    this.#database = deps.database;
    this.#log = deps.log;
  }

  async keep(leases: Lease[]): Promise<Set<string>> {
    if (leases.length === 0) return new Set();
    const sorted = [...leases].sort((a, b) => (a.leaseId < b.leaseId ? -1 : 1));
    const ids = sorted.map(({ leaseId }) => uuidToBytes(leaseId));
    const kept = await this.#database.transaction(async (manager) => {
      const rows = sorted.map(valuesOf);
      await insertRows(manager, { table: 'pub_event_lease', columns: COLUMNS, rows, onDuplicate: 'keep' });
      const sql = `SELECT id FROM pub_event_lease WHERE id IN (${placeholders(ids.length)})`;
      return rowsOf<{ id: Buffer }>(manager, sql, ids);
    });
    return new Set(kept.map(({ id }) => uuidFromBytes(id)));
  }

  take(asked: Asked, { now, until }: { now: number; until: number }): Promise<LeaseFound[]> {
    return this.#database.transaction(async (manager) => {
      const rows = await lock(manager, asked);
      const found = asked.leaseIds.map((leaseId): LeaseFound => {
        const row = rows.get(leaseId);
        const state = stateOf(row, now);
        return state === 'free' && row !== undefined
          ? { found: 'taken', lease: decode(row.body) }
          : { found: notFree(state) };
      });
      const taken = found.flatMap((one) => (one.found === 'taken' ? [one.lease.leaseId] : []));
      // It must not end while it is settled.
      const due = manager.dataSource.options.type === 'better-sqlite3' ? 'MAX(due_at, ?)' : 'GREATEST(due_at, ?)';
      await update(manager, taken, { set: `taken_until = ?, due_at = ${due}`, values: [until, until] });
      return found;
    });
  }

  async remove(leaseIds: string[], now: number): Promise<void> {
    await this.#database.run((manager) => remember(manager, leaseIds, { state: 'over', now }));
  }

  async putBack(leaseIds: string[]): Promise<void> {
    const set = 'taken_until = NULL, due_at = leased_until';
    await this.#database.run((manager) => update(manager, leaseIds, { set, values: [] }));
  }

  async giveBack(leaseIds: string[], now: number): Promise<void> {
    await this.#database.run((manager) => endNow(manager, leaseIds, now));
  }

  release(asked: Asked, now: number): Promise<Exclude<LeaseFound['found'], 'busy'>[]> {
    return this.#database.transaction(async (manager) => {
      const rows = await lock(manager, asked);
      const states = asked.leaseIds.map((leaseId) => stateOf(rows.get(leaseId), now));
      await endNow(
        manager,
        asked.leaseIds.filter((_, index) => states[index] === 'free'),
        now,
      );
      // One that is being settled has its report.
      return states.map((state) => (state === 'free' ? 'taken' : state === 'busy' ? 'unknown' : state));
    });
  }

  async publishEnded(now: number, limit: number, publish: Publish): Promise<number> {
    const old = { table: 'pub_event_lease', column: 'forget_at', before: now, limit: FORGOTTEN_AT_A_TIME };
    await this.#database.run((manager) => deleteOldest(manager, old));
    if (!this.#database.isSqlite) {
      return this.#database.transaction(async (manager) => {
        const due = await dueRows(manager, now, limit);
        await finish(manager, { due, published: await this.#publishEach(due, publish), now });
        return due.length;
      });
    }
    if (this.#publishing) return 0;
    this.#publishing = true;
    try {
      const due = await this.#database.run((manager) => dueRows(manager, now, limit));
      const published = await this.#publishEach(due, publish);
      await this.#database.transaction((manager) => finish(manager, { due, published, now }));
      return due.length;
    } finally {
      this.#publishing = false;
    }
  }

  async #publishEach(due: RawLease[], publish: Publish): Promise<Set<RawLease>> {
    const results = await Promise.allSettled(due.map(async (row) => publish(endedOf(row))));
    const published = new Set<RawLease>();
    results.forEach((result, index) => {
      const row = due[index] as RawLease;
      if (result.status === 'fulfilled') published.add(row);
      else this.#log.warn('lease.not-published', { leaseId: uuidFromBytes(row.id), error: result.reason as unknown });
    });
    return published;
  }
}

type RowState = 'free' | 'busy' | 'expired' | 'unknown';

function stateOf(row: RawLease | undefined, now: number): RowState {
  if (row === undefined || row.state === 'released' || row.state === 'over') return 'unknown';
  if (row.taken_until !== null && row.taken_until > now) return 'busy';
  return row.state === 'expired' || row.leased_until <= now ? 'expired' : 'free';
}

function notFree(state: RowState): 'expired' | 'unknown' | 'busy' {
  return state === 'free' ? 'unknown' : state;
}

async function lock(manager: EntityManager, { nodeCode, leaseIds }: Asked): Promise<Map<string, RawLease>> {
  if (leaseIds.length === 0) return new Map();
  const sql = `SELECT id, node_code, state, leased_until, taken_until, body FROM pub_event_lease
    WHERE id IN (${placeholders(leaseIds.length)}) AND node_code = ? ORDER BY id${forUpdateClause(manager)}`;
  const rows = await rowsOf<RawLease>(manager, sql, [...leaseIds.map(uuidToBytes), nodeCode]);
  return new Map(rows.map((row) => [uuidFromBytes(row.id), row]));
}

async function dueRows(manager: EntityManager, now: number, limit: number): Promise<RawLease[]> {
  const sql = `SELECT id, node_code, state, leased_until, taken_until, body FROM pub_event_lease
    WHERE due_at <= ? ORDER BY due_at, id LIMIT ?${await skipLockedClause(manager)}`;
  return rowsOf<RawLease>(manager, sql, [now, limit]);
}

async function finish(
  manager: EntityManager,
  of: { due: RawLease[]; published: Set<RawLease>; now: number },
): Promise<void> {
  const ids = (belongs: (row: RawLease) => boolean): string[] =>
    of.due.filter(belongs).map((row) => uuidFromBytes(row.id));
  const isPublished = (row: RawLease): boolean => of.published.has(row);
  const expired = ids((row) => isPublished(row) && row.state === 'leased');
  const over = ids((row) => isPublished(row) && row.state !== 'leased');
  const kept = ids((row) => !isPublished(row));
  await remember(manager, expired, { state: 'expired', now: of.now });
  await remember(manager, over, { state: 'over', now: of.now });
  await update(manager, kept, { set: 'due_at = ?', values: [of.now + LATER_MS] });
}

function remember(
  manager: EntityManager,
  leaseIds: string[],
  { state, now }: { state: 'expired' | 'over'; now: number },
): Promise<void> {
  const set = "state = ?, body = '', taken_until = NULL, due_at = NULL, forget_at = ?";
  const forgetAt = now + (state === 'expired' ? EXPIRED_REMEMBERED_MS : OVER_REMEMBERED_MS);
  return update(manager, leaseIds, { set, values: [state, forgetAt] });
}

async function endNow(manager: EntityManager, leaseIds: string[], now: number): Promise<void> {
  await update(manager, leaseIds, { set: "state = 'released', taken_until = NULL, due_at = ?", values: [now] });
}

async function update(
  manager: EntityManager,
  leaseIds: string[],
  { set, values }: { set: string; values: SqlValue[] },
): Promise<void> {
  if (leaseIds.length === 0) return;
  const sql = `UPDATE pub_event_lease SET ${set} WHERE id IN (${placeholders(leaseIds.length)})`;
  await execute(manager, sql, [...values, ...leaseIds.map(uuidToBytes)]);
}

function valuesOf(lease: Lease): SqlValue[] {
  const { generation, sequence } = lease.successor;
  return [
    uuidToBytes(lease.leaseId),
    uuidToBytes(lease.message.event.eventId),
    lease.nodeCode,
    generation,
    sequence - 1,
    'leased',
    lease.leasedUntil,
    null,
    lease.leasedUntil,
    null,
    encode(lease),
  ];
}

function endedOf(row: RawLease): EndedLease {
  const { leaseId, nodeCode, message, successor } = decode(row.body);
  const how = row.state === 'released' ? 'released' : 'expired';
  return { leaseId, nodeCode, how, message: { event: message.event, chain: successor, claimSteps: false } };
}

/** The JSON of a lease; the payload's bytes as Base64, so that they come back as they were. */
function encode(lease: Lease): string {
  const { event } = lease.message;
  const userObject = event.userObject?.toString('base64') ?? null;
  return JSON.stringify({ ...lease, message: { ...lease.message, event: { ...event, userObject } } });
}

type StoredEvent = Omit<Event, 'userObject'> & { userObject: string | null };
type StoredLease = Omit<Lease, 'message'> & { message: Omit<EventMessage, 'event'> & { event: StoredEvent } };

function decode(body: string): Lease {
  const stored = JSON.parse(body) as StoredLease;
  const { event } = stored.message;
  const userObject = event.userObject === null ? null : Buffer.from(event.userObject, 'base64');
  return { ...stored, message: { ...stored.message, event: { ...event, userObject } } };
}
