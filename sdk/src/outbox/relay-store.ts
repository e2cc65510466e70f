import { randomUUID } from 'node:crypto';
import { InvalidOptionError } from '../errors.js';
import type { SqlRow } from '../sql/answer.js';
import { listOfPlaces } from '../sql/places.js';
import type { SqlValue } from '../sql/statements.js';
import { claim, idOf, type Run } from './claim.js';
import { orderIndexHint } from './outbox-table.js';
import type { Outbox } from './outbox.js';
import type { RelayDatabase } from './relay-database.js';
import type { Verdict } from './verdict.js';

/** An event that is not tried again until it is revived. Times are milliseconds since the epoch. */
export interface DeadEvent {
  uuid: string;
  sourceId: string;
  eventType: string;
  tenantCode: string | null;
  aggregate: string | null;
  attempts: number;
  /** Of the last refusal or error: `SCHEMA_MISMATCH`, `UNAVAILABLE`. */
  code: string;
  reason: string;
  createdAt: number;
  diedAt: number;
}

/** Which dead events; what is left out is not asked for. */
export interface DeadFilter {
  sourceId?: string;
  eventType?: string;
  aggregate?: string;
  /** Code of the reason of death. */
  code?: string;
  diedBefore?: number;
}

export interface OutboxStats {
  /** Not sent yet, those that are being tried again among them. */
  pending: number;
  /** Pending after at least one failed try. */
  retrying: number;
  /** Pending behind a dead event of their aggregate; 0 when dead events hold back nothing. */
  blocked: number;
  dead: number;
  /** Published and not removed yet. */
  published: number;
  /** Of the published ones, those that came back to their sender. */
  consumed: number;
  /** Since when the oldest pending event waits, in milliseconds; null when none does. */
  oldestPendingMs: number | null;
}

export interface Claimed {
  token: string;
  /** When the claim ends unless it is renewed. */
  until: number;
  runs: Run[];
}

const PORTION = 500;
const CLAIM_TRIES = 3;

/** What the relay reads and writes in the outbox's table. */
export class RelayStore {
  readonly #outbox: Outbox;
  readonly #database: RelayDatabase;
  readonly #deadBlocks: boolean;
  #lock: string | null = null;

  constructor(of: { outbox: Outbox; database: RelayDatabase; deadBlocks: boolean }) {
    this.#outbox = of.outbox;
    this.#database = of.database;
    this.#deadBlocks = of.deadBlocks;
  }

  /** Whether claims skip what others have locked (`skip-locked`), or only ask for what is free (`conditional`). */
  async claimKind(): Promise<'skip-locked' | 'conditional'> {
    return (await this.#lockClause()) === '' ? 'conditional' : 'skip-locked';
  }

  async claim(batchSize: number, leaseMs: number): Promise<Claimed> {
    const now = this.#outbox.clock.now();
    const token = randomUUID();
    const lock = await this.#lockClause();
    const hint = orderIndexHint(this.#outbox);
    const options = {
      table: this.#table,
      token,
      batchSize,
      now,
      until: now + leaseMs,
      deadBlocks: this.#deadBlocks,
      lock,
      hint,
    };
    const { transaction } = this.#database;
    const once = (): Promise<Run[]> =>
      transaction === null || lock === ''
        ? claim(this.#database, options)
        : transaction((statements) => claim(statements, options));
    return { token, until: options.until, runs: await repeatedAfterDeadlock(once) };
  }

  /** Keeps the claim on what is still pending of it. False when nothing is. */
  async renew(token: string, until: number): Promise<boolean> {
    const sql = `UPDATE ${this.#table} SET claimed_until = ? WHERE claimed_by = ? AND state = 'pending'`;
    return (await this.#run(sql, [until, token])) > 0;
  }

  async release(token: string): Promise<void> {
    await this.#run(
      `UPDATE ${this.#table} SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ? AND state = 'pending'`,
      [token],
    );
  }

  /** The centre has it, so it does not matter who holds the claim by now. */
  async published(row: SqlRow, eventId: string | null): Promise<void> {
    await this.#database.run(
      `UPDATE ${this.#table} SET state = 'published', published_at = ?, event_id = ?, died_at = NULL, ` +
        `claimed_by = NULL, claimed_until = 0 WHERE id = ? AND state <> 'published'`,
      [this.#now(), eventId, idOf(row)],
    );
  }

  /** Writes what became of a try. Changes nothing when the claim has gone to another relay in between. */
  async failed(row: SqlRow, of: { token: string; attempts: number; verdict: Verdict }): Promise<void> {
    const { verdict, attempts, token } = of;
    const now = this.#now();
    const [diedAt, next] = verdict.state === 'dead' ? [now, now] : [null, now + verdict.delayMs];
    await this.#database.run(
      `UPDATE ${this.#table} SET state = ?, attempts = ?, next_attempt_at = ?, died_at = ?, last_code = ?, ` +
        `last_error = ?, claimed_by = NULL, claimed_until = 0 WHERE id = ? AND claimed_by = ? AND state = 'pending'`,
      [verdict.state, attempts, next, diedAt, verdict.code, verdict.reason, idOf(row), token],
    );
  }

  /** Dead events in the order of writing, behind `after`. */
  async dead(limit: number, after: string): Promise<{ id: string; event: DeadEvent }[]> {
    const rows = await this.#database.rows(
      `SELECT * FROM ${this.#table} WHERE state = 'dead' AND id > ? ORDER BY id LIMIT ${limit}`,
      [after],
    );
    return rows.map((row) => ({ id: idOf(row), event: deadEvent(row) }));
  }

  /** Makes dead events pending again, as if they had never been tried. Returns how many. */
  async revive(which: readonly string[] | DeadFilter): Promise<number> {
    const sql =
      `UPDATE ${this.#table} SET state = 'pending', attempts = 0, next_attempt_at = ?, died_at = NULL, ` +
      `last_code = NULL, last_error = NULL, claimed_by = NULL, claimed_until = 0`;
    return this.#changeDead(which, { sql, values: [this.#now()] });
  }

  /** Deletes dead events for good. Returns how many. */
  discard(uuids: readonly string[]): Promise<number> {
    return this.#changeDead(uuids, { sql: `DELETE FROM ${this.#table}`, values: [] });
  }

  /** Deletes up to 500 events that were published before `before`. Returns how many. */
  async removePublished(before: number): Promise<number> {
    const rows = await this.#database.rows(
      `SELECT id FROM ${this.#table} WHERE state = 'published' AND published_at < ? ORDER BY published_at LIMIT ${PORTION}`,
      [before],
    );
    if (rows.length === 0) return 0;
    const ids = rows.map(idOf);
    return this.#database.run(
      `DELETE FROM ${this.#table} WHERE id IN (${listOfPlaces(ids)}) AND state = 'published'`,
      ids,
    );
  }

  async stats(): Promise<OutboxStats> {
    const rows = await this.#database.rows(
      `SELECT state, COUNT(*) AS total, SUM(CASE WHEN attempts > 0 THEN 1 ELSE 0 END) AS tried, ` +
        `COUNT(consumed_at) AS consumed, MIN(created_at) AS oldest FROM ${this.#table} GROUP BY state`,
      [],
    );
    const by = (state: string): SqlRow => rows.find((row) => row['state'] === state) ?? {};
    const { oldest } = by('pending');
    return {
      pending: Number(by('pending')['total'] ?? 0),
      retrying: Number(by('pending')['tried'] ?? 0),
      blocked: await this.#blocked(),
      dead: Number(by('dead')['total'] ?? 0),
      published: Number(by('published')['total'] ?? 0),
      consumed: Number(by('published')['consumed'] ?? 0),
      oldestPendingMs: oldest === undefined ? null : Math.max(0, this.#now() - Number(oldest)),
    };
  }

  get #table(): string {
    return this.#outbox.table;
  }

  #now(): number {
    return this.#outbox.clock.now();
  }

  /** A change of rows that are found by an index that new events are in too: its locks must not hold those back. */
  #run(sql: string, values: SqlValue[]): Promise<number> {
    const { transaction } = this.#database;
    return transaction === null
      ? this.#database.run(sql, values)
      : transaction((statements) => statements.run(sql, values));
  }

  async #blocked(): Promise<number> {
    if (!this.#deadBlocks) return 0;
    const rows = await this.#database.rows(
      `SELECT COUNT(*) AS total FROM ${this.#table} o WHERE o.state = 'pending' AND EXISTS (SELECT 1 FROM ` +
        `${this.#table} d WHERE d.aggregate_key = o.aggregate_key AND d.state = 'dead' AND d.id < o.id)`,
      [],
    );
    return Number(rows[0]?.['total'] ?? 0);
  }

  async #changeDead(
    which: readonly string[] | DeadFilter,
    change: { sql: string; values: SqlValue[] },
  ): Promise<number> {
    if (!isUuids(which)) {
      const { conditions, values } = conditionsOf(which);
      const where = ['state = ?', ...conditions].join(' AND ');
      return this.#run(`${change.sql} WHERE ${where}`, [...change.values, 'dead', ...values]);
    }
    let count = 0;
    for (let place = 0; place < which.length; place += PORTION) {
      const uuids = which.slice(place, place + PORTION);
      const where = `WHERE state = 'dead' AND uuid IN (${listOfPlaces(uuids)})`;
      count += await this.#run(`${change.sql} ${where}`, [...change.values, ...uuids]);
    }
    return count;
  }

  /** Asked of the database once: versions and forks say little about what they can do. */
  async #lockClause(): Promise<string> {
    this.#lock ??= await findLockClause(this.#outbox, this.#database);
    return this.#lock;
  }
}

async function findLockClause(outbox: Outbox, database: RelayDatabase): Promise<string> {
  if (database.transaction === null) return '';
  const clause = outbox.dialect === 'postgres' ? 'FOR UPDATE OF o SKIP LOCKED' : 'FOR UPDATE SKIP LOCKED';
  try {
    await database.rows(`SELECT o.id FROM ${outbox.table} o WHERE o.id = 0 ${clause}`, []);
    return clause;
  } catch (error) {
    if (isUnknownSyntax(error)) return '';
    throw error;
  }
}

/** MySQL 1064 and 1235, PostgreSQL 42601 and 0A000. */
function isUnknownSyntax(error: unknown): boolean {
  const { errno, code } = errorCodes(error);
  return errno === 1064 || errno === 1235 || code === '42601' || code === '0A000';
}

async function repeatedAfterDeadlock<T>(once: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once();
    } catch (error) {
      if (attempt >= CLAIM_TRIES || !isDeadlock(error)) throw error;
    }
  }
}

function isDeadlock(error: unknown): boolean {
  const { errno, code } = errorCodes(error);
  return errno === 1213 || errno === 1205 || code === '40P01' || code === '40001';
}

function errorCodes(error: unknown): { errno?: unknown; code?: unknown } {
  const given = error as { errno?: unknown; code?: unknown; driverError?: unknown } | null;
  // TypeORM wraps the driver's error.
  return given?.driverError ?? given ?? {};
}

function isUuids(which: readonly string[] | DeadFilter): which is readonly string[] {
  return Array.isArray(which);
}

const CONDITIONS: Record<keyof DeadFilter, string> = {
  sourceId: 'source_id = ?',
  eventType: 'event_type = ?',
  aggregate: 'aggregate_key = ?',
  code: 'last_code = ?',
  diedBefore: 'died_at < ?',
};

/** An unknown name is refused: ignored, it would choose everything. */
function conditionsOf(filter: DeadFilter): { conditions: string[]; values: SqlValue[] } {
  const given = Object.entries(filter).filter((entry): entry is [string, SqlValue] => entry[1] !== undefined);
  for (const [name, value] of given) {
    if (!Object.hasOwn(CONDITIONS, name)) {
      throw new InvalidOptionError(name, `expected one of ${Object.keys(CONDITIONS).join(', ')}`);
    }
    const type = name === 'diedBefore' ? 'number' : 'string';
    if (typeof value !== type) throw new InvalidOptionError(name, `expected a ${type}, found ${typeof value}`);
  }
  return {
    conditions: given.map(([name]) => CONDITIONS[name as keyof DeadFilter]),
    values: given.map(([, value]) => value),
  };
}

function deadEvent(row: SqlRow): DeadEvent {
  return {
    uuid: String(row['uuid']),
    sourceId: String(row['source_id']),
    eventType: String(row['event_type']),
    tenantCode: row['tenant_code'] as string | null,
    aggregate: row['aggregate_key'] as string | null,
    attempts: Number(row['attempts']),
    code: String(row['last_code']),
    reason: String(row['last_error']),
    createdAt: Number(row['created_at']),
    diedAt: Number(row['died_at']),
  };
}
