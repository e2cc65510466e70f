import type { BusinessEvent } from '../business-event.js';
import { InvalidOptionError } from '../errors.js';
import type { SqlExecutor } from '../sql/executor.js';
import { statementsOn, type SqlValue, type Statements } from '../sql/statements.js';
import { checkedTable, type SqlTable, type SqlTableOptions } from '../sql/table.js';
import { checkedPage } from './dead-event-page.js';
import type { DeadEvent, DeadEventPage, DeadEventStore } from './dead-event-store.js';
import { DEAD_EVENT_TABLE, deadEventTableSql } from './dead-event-table.js';

/** Where a SqlDeadEventStore keeps its list; `table` is `event_center_dead_event` by default. */
export interface SqlDeadEventStoreOptions extends SqlTableOptions {
  /** Runs statements outside of any transaction. */
  executor: SqlExecutor;
  /**
   * Whose list it is, `default` by default; up to 100 characters. Where several plugins take the same event, each needs a
   * list of its own.
   */
  scope?: string;
}

/** Dead events in a table of the application's database, shared by all its processes. */
export class SqlDeadEventStore implements DeadEventStore {
  readonly #dialect: SqlTable['dialect'];
  readonly #table: string;
  readonly #own: Statements;
  readonly #scope: string;

  /** @throws InvalidOptionError naming the option. */
  constructor({ executor, dialect, table = DEAD_EVENT_TABLE, scope = 'default' }: SqlDeadEventStoreOptions) {
    if (scope === '' || scope.length > 100) throw new InvalidOptionError('scope', 'expected 1 to 100 characters');
    ({ dialect: this.#dialect, table: this.#table } = checkedTable({ dialect, table }));
    this.#own = statementsOn(this.#dialect, executor);
    this.#scope = scope;
  }

  /** The statements that make the table, for a migration; they do nothing when it is there. @throws InvalidOptionError */
  static createTableSql({ dialect, table = DEAD_EVENT_TABLE }: SqlTableOptions): string[] {
    return deadEventTableSql(checkedTable({ dialect, table }));
  }

  /** The statements that make this store's table, to be run one by one. */
  createTableSql(): string[] {
    return deadEventTableSql({ dialect: this.#dialect, table: this.#table });
  }

  /** Runs them, by the store's own executor unless another is given. */
  async createTable(executor?: SqlExecutor): Promise<void> {
    const statements = executor === undefined ? this.#own : statementsOn(this.#dialect, executor);
    for (const sql of this.createTableSql()) await statements.run(sql, []);
  }

  async add({ event, reason, at }: DeadEvent): Promise<void> {
    const columns = 'scope, event_id, event, reason, died_at';
    const taken =
      this.#dialect === 'mysql'
        ? 'ON DUPLICATE KEY UPDATE event = VALUES(event), reason = VALUES(reason), died_at = VALUES(died_at)'
        : 'ON CONFLICT (scope, event_id) DO UPDATE SET event = excluded.event, reason = excluded.reason, died_at = excluded.died_at';
    await this.#own.run(`INSERT INTO ${this.#table} (${columns}) VALUES (?, ?, ?, ?, ?) ${taken}`, [
      this.#scope,
      event.eventId,
      JSON.stringify(event),
      reason,
      at,
    ]);
  }

  async find(eventId: string): Promise<DeadEvent | null> {
    const rows = await this.#rows('AND event_id = ?', [eventId]);
    return rows[0] ?? null;
  }

  async list(page: DeadEventPage = {}): Promise<DeadEvent[]> {
    const { limit, after } = checkedPage(page);
    return this.#rows(`${after === null ? '' : 'AND event_id > ? '}ORDER BY event_id LIMIT ${limit}`, [
      ...(after === null ? [] : [after]),
    ]);
  }

  async remove(eventId: string): Promise<boolean> {
    // What a DELETE answers differs from driver to driver, so it is asked before.
    const existed = (await this.find(eventId)) !== null;
    await this.#own.run(`DELETE FROM ${this.#table} WHERE scope = ? AND event_id = ?`, [this.#scope, eventId]);
    return existed;
  }

  async #rows(rest: string, values: SqlValue[]): Promise<DeadEvent[]> {
    const sql = `SELECT event, reason, died_at FROM ${this.#table} WHERE scope = ? ${rest}`;
    const rows = await this.#own.rows(sql, [this.#scope, ...values]);
    return rows.map((row) => ({
      event: JSON.parse(String(row['event'])) as BusinessEvent,
      reason: String(row['reason']),
      at: Number(row['died_at']),
    }));
  }
}
