import { InvalidOptionError } from '../errors.js';
import type { SpokenDialect } from '../sql/dialect.js';
import type { SqlExecutor } from '../sql/executor.js';
import { listOfPlaces, placesFor } from '../sql/places.js';
import type { SqlValue } from '../sql/statements.js';
import { checkedTable, type SqlTableOptions } from '../sql/table.js';
import { anyStatements, inTransaction, requireSqliteTransaction, type SqliteExecutor } from './executor.js';
import { storedEvent, type OutboxEvent, type StoredEvent } from './outbox-event.js';
import { OUTBOX_TABLE, outboxTableSql } from './outbox-table.js';

/** Where events wait; `table` is `event_outbox` by default. */
export interface OutboxOptions extends SqlTableOptions {
  /** Milliseconds since the epoch; the system's clock by default. */
  clock?: { now(): number };
}

/** A statement takes so many events, or about so many characters of payload: servers limit both. */
const MAX_ROWS = 100;
const MAX_TEXT = 512 * 1024;

/**
 * Writes events beside business rows, in the caller's own transaction: a rolled-back transaction sends nothing, and a
 * committed one loses nothing. An `OutboxRelay` sends them afterwards.
 */
export class Outbox {
  /** `mysql` also for `mariadb`. */
  readonly dialect: SpokenDialect;
  readonly table: string;
  readonly clock: { now(): number };

  /** @throws InvalidOptionError */
  constructor({ dialect, table = OUTBOX_TABLE, clock = { now: () => Date.now() } }: OutboxOptions) {
    ({ dialect: this.dialect, table: this.table } = checkedTable({ dialect, table }));
    this.clock = clock;
  }

  /** The statements that make the table, for a migration; they do nothing when it is there. @throws InvalidOptionError */
  static createTableSql({ dialect, table = OUTBOX_TABLE }: SqlTableOptions): string[] {
    return outboxTableSql(checkedTable({ dialect, table }));
  }

  /** The statements that make this outbox's table and its indexes, to be run one by one. */
  createTableSql(): string[] {
    return outboxTableSql(this);
  }

  /** Runs them, for a migration: `up(queryRunner) { return outbox.createTable(queryRunner); }`. */
  async createTable(executor: SqlExecutor | SqliteExecutor): Promise<void> {
    const run = anyStatements(executor);
    for (const sql of this.createTableSql()) await run(sql, []);
  }

  /**
   * Writes one event or several; nothing of it is to be seen by anybody until the caller commits. Several are in the
   * order of the array. Returns the uuids, given or made, under which they will be sent.
   * @throws InvalidOptionError before anything is written; what the database says, for instance that a uuid is taken.
   */
  add(executor: SqlExecutor | SqliteExecutor, event: OutboxEvent): Promise<string>;
  add(executor: SqlExecutor | SqliteExecutor, events: readonly OutboxEvent[]): Promise<string[]>;
  async add(
    executor: SqlExecutor | SqliteExecutor,
    events: OutboxEvent | readonly OutboxEvent[],
  ): Promise<string | string[]> {
    const stored = storedEvents(events);
    const run = inTransaction(executor);
    for (const { sql, values } of this.#inserts(stored)) await run(sql, values);
    return uuidsOf(events, stored);
  }

  /**
   * The same for better-sqlite3, done when it returns, for use in `database.transaction(() => …)`.
   * @throws as `add`; let it through, so that the transaction is rolled back.
   */
  addSync(database: SqliteExecutor, event: OutboxEvent): string;
  addSync(database: SqliteExecutor, events: readonly OutboxEvent[]): string[];
  addSync(database: SqliteExecutor, events: OutboxEvent | readonly OutboxEvent[]): string | string[] {
    const stored = storedEvents(events);
    requireSqliteTransaction(database);
    for (const { sql, values } of this.#inserts(stored)) database.prepare(sql).run(...values);
    return uuidsOf(events, stored);
  }

  /**
   * Notes that an event has come back to its sender, who listens to it: `uuid` is `BusinessEvent.senderUuid`. Being
   * proof that the centre has it, it also ends the sending of an event that is pending or dead. Unknown uuids and
   * repeats change nothing.
   */
  async markConsumed(executor: SqlExecutor | SqliteExecutor, uuid: string): Promise<void> {
    const now = this.clock.now();
    const sql =
      `UPDATE ${this.table} SET consumed_at = COALESCE(consumed_at, ?), published_at = COALESCE(published_at, ?), ` +
      `state = 'published', claimed_by = NULL, claimed_until = 0, died_at = NULL WHERE uuid = ?`;
    await anyStatements(executor)(placesFor(this.dialect, sql), [now, now, uuid]);
  }

  #inserts(events: StoredEvent[]): { sql: string; values: SqlValue[] }[] {
    const now = this.clock.now();
    return portions(events).map((portion) => {
      const rows = portion.map((event) => rowOf(event, now));
      const list = rows.map((row) => `(${listOfPlaces(row)})`).join(', ');
      const sql = `INSERT INTO ${this.table} (${INSERTED.join(', ')}) VALUES ${list}`;
      return { sql: placesFor(this.dialect, sql), values: rows.flat() };
    });
  }
}

const INSERTED = [
  'uuid',
  'source_id',
  'event_type',
  'tenant_code',
  'user_object',
  'aggregate_key',
  'deliver_at',
  'traceparent',
  'state',
  'attempts',
  'next_attempt_at',
  'claimed_until',
  'created_at',
];

function rowOf(event: StoredEvent, now: number): SqlValue[] {
  return [
    event.uuid,
    event.sourceId,
    event.eventType,
    event.tenantCode,
    event.userObject,
    event.aggregate,
    event.deliverAt,
    event.traceparent,
    'pending',
    0,
    // At once by every relay's clock, whatever the writer's says.
    0,
    0,
    now,
  ];
}

function storedEvents(events: OutboxEvent | readonly OutboxEvent[]): StoredEvent[] {
  if (!Array.isArray(events)) return [storedEvent(events as OutboxEvent)];
  const stored = (events as readonly OutboxEvent[]).map((event, place) => storedEvent(event, `events[${place}].`));
  const seen = new Set<string>();
  stored.forEach(({ uuid }, place) => {
    if (seen.has(uuid))
      throw new InvalidOptionError(`events[${place}].uuid`, 'expected another than that of an earlier event');
    seen.add(uuid);
  });
  return stored;
}

function uuidsOf(events: OutboxEvent | readonly OutboxEvent[], stored: StoredEvent[]): string | string[] {
  const uuids = stored.map((event) => event.uuid);
  return Array.isArray(events) ? uuids : (uuids[0] as string);
}

function portions(events: StoredEvent[]): StoredEvent[][] {
  const all: StoredEvent[][] = [];
  let length = 0;
  for (const event of events) {
    const last = all.at(-1);
    length += event.userObject?.length ?? 0;
    if (last === undefined || last.length >= MAX_ROWS || length > MAX_TEXT) {
      all.push([event]);
      length = event.userObject?.length ?? 0;
    } else {
      last.push(event);
    }
  }
  return all;
}
