import { InvalidOptionError } from '../errors.js';
import type { SqlRow } from '../sql/answer.js';
import { listOfPlaces } from '../sql/places.js';
import type { SqlValue } from '../sql/statements.js';
import { idOf } from './claim.js';
import type { Outbox } from './outbox.js';
import { changeAlone, type RelayDatabase } from './relay-database.js';

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

const PORTION = 500;

/** The dead events of an outbox. */
export class DeadEvents {
  readonly #outbox: Outbox;
  readonly #database: RelayDatabase;

  constructor(of: { outbox: Outbox; database: RelayDatabase }) {
    this.#outbox = of.outbox;
    this.#database = of.database;
  }

  /** Dead events in the order of writing, behind `after`. */
  async list(limit: number, after: string): Promise<{ id: string; event: DeadEvent }[]> {
    const rows = await this.#database.rows(
      `SELECT * FROM ${this.#table} WHERE state = 'dead' AND id > ? ORDER BY id LIMIT ${limit}`,
      [after],
    );
    return rows.map((row) => ({ id: idOf(row), event: deadEventOf(row) }));
  }

  /** Makes dead events pending again, as if they had never been tried. Returns how many. */
  async revive(which: readonly string[] | DeadFilter): Promise<number> {
    const sql =
      `UPDATE ${this.#table} SET state = 'pending', attempts = 0, next_attempt_at = ?, died_at = NULL, ` +
      `last_code = NULL, last_error = NULL, claimed_by = NULL, claimed_until = 0`;
    return this.#change(which, { sql, values: [this.#outbox.clock.now()] });
  }

  /** Deletes dead events for good. Returns how many. */
  discard(uuids: readonly string[]): Promise<number> {
    return this.#change(uuids, { sql: `DELETE FROM ${this.#table}`, values: [] });
  }

  get #table(): string {
    return this.#outbox.table;
  }

  async #change(which: readonly string[] | DeadFilter, change: { sql: string; values: SqlValue[] }): Promise<number> {
    if (!isUuids(which)) {
      const { conditions, values } = conditionsOf(which);
      const where = ['state = ?', ...conditions].join(' AND ');
      return changeAlone(this.#database, `${change.sql} WHERE ${where}`, [...change.values, 'dead', ...values]);
    }
    let count = 0;
    for (let place = 0; place < which.length; place += PORTION) {
      const uuids = which.slice(place, place + PORTION);
      const where = `WHERE state = 'dead' AND uuid IN (${listOfPlaces(uuids)})`;
      count += await changeAlone(this.#database, `${change.sql} ${where}`, [...change.values, ...uuids]);
    }
    return count;
  }
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

/** The dead event that stands in a row. */
export function deadEventOf(row: SqlRow): DeadEvent {
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
