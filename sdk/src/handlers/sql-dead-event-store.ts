import type { BusinessEvent } from '../business-event.js';
import { InvalidOptionError } from '../errors.js';
import type { DeadEvent, DeadEventPage, DeadEventStore } from './dead-event-store.js';
import { checkedPage } from './dead-event-page.js';

/** What runs statements: TypeORM's `DataSource` or `EntityManager`, a pool or connection of `mysql2/promise` or of `pg`. */
export interface DeadEventExecutor {
  query(sql: string, parameters?: unknown[]): Promise<unknown>;
}

export interface SqlDeadEventStoreOptions {
  executor: DeadEventExecutor;
  /** `mysql` is MariaDB's too. Values stand as `?`, for `postgres` as `$1`. */
  dialect: 'mysql' | 'sqlite' | 'postgres';
  /** Name of the table, `event_center_dead_event` by default: letters, digits and `_`. */
  table?: string;
  /**
   * Whose list it is, `default` by default; up to 100 characters. Where several plugins take the same event, each needs a
   * list of its own.
   */
  scope?: string;
}

/** Dead events in a table of the application's database, shared by all its processes. */
export class SqlDeadEventStore implements DeadEventStore {
  readonly #executor: DeadEventExecutor;
  readonly #dialect: SqlDeadEventStoreOptions['dialect'];
  readonly #table: string;
  readonly #scope: string;

  /** @throws InvalidOptionError */
  constructor({ executor, dialect, table = 'event_center_dead_event', scope = 'default' }: SqlDeadEventStoreOptions) {
    if (typeof (executor as Partial<DeadEventExecutor> | undefined)?.query !== 'function') {
      throw new InvalidOptionError(
        'executor',
        'must have query(sql, parameters), as data sources and connections have',
      );
    }
    if (!['mysql', 'sqlite', 'postgres'].includes(dialect)) {
      throw new InvalidOptionError('dialect', 'expected mysql, sqlite or postgres');
    }
    if (!/^[A-Za-z_]\w{0,63}$/.test(table)) {
      throw new InvalidOptionError('table', 'expected 1 to 64 letters, digits or _, not a digit first');
    }
    if (scope === '' || scope.length > 100) throw new InvalidOptionError('scope', 'expected 1 to 100 characters');
    this.#executor = executor;
    this.#dialect = dialect;
    this.#table = table;
    this.#scope = scope;
  }

  /** Makes the table unless it is there. Applications with migrations of their own run `schema()` there instead. */
  async createTable(): Promise<void> {
    await this.#run(this.schema());
  }

  /** The statement that makes the table. */
  schema(): string {
    const longText = this.#dialect === 'mysql' ? 'LONGTEXT' : 'TEXT';
    // Ids compare byte by byte, as they do everywhere else.
    const id = this.#dialect === 'mysql' ? 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ' : '';
    return (
      `CREATE TABLE IF NOT EXISTS ${this.#table} (scope VARCHAR(100) ${id}NOT NULL, event_id VARCHAR(100) ${id}NOT NULL, ` +
      `event ${longText} NOT NULL, reason ${longText} NOT NULL, died_at BIGINT NOT NULL, PRIMARY KEY (scope, event_id))` +
      (this.#dialect === 'mysql' ? ' DEFAULT CHARACTER SET utf8mb4' : '')
    );
  }

  async add({ event, reason, at }: DeadEvent): Promise<void> {
    const columns = 'scope, event_id, event, reason, died_at';
    const taken =
      this.#dialect === 'mysql'
        ? 'ON DUPLICATE KEY UPDATE event = VALUES(event), reason = VALUES(reason), died_at = VALUES(died_at)'
        : 'ON CONFLICT (scope, event_id) DO UPDATE SET event = excluded.event, reason = excluded.reason, died_at = excluded.died_at';
    await this.#run(`INSERT INTO ${this.#table} (${columns}) VALUES (?, ?, ?, ?, ?) ${taken}`, [
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
    await this.#run(`DELETE FROM ${this.#table} WHERE scope = ? AND event_id = ?`, [this.#scope, eventId]);
    return existed;
  }

  async #rows(rest: string, values: unknown[]): Promise<DeadEvent[]> {
    const sql = `SELECT event, reason, died_at FROM ${this.#table} WHERE scope = ? ${rest}`;
    const answer = await this.#run(sql, [this.#scope, ...values]);
    return rowsOf(answer).map((row) => ({
      event: JSON.parse(String(row['event'])) as BusinessEvent,
      reason: String(row['reason']),
      at: Number(row['died_at']),
    }));
  }

  #run(sql: string, values: unknown[] = []): Promise<unknown> {
    let place = 0;
    const text = this.#dialect === 'postgres' ? sql.replace(/\?/g, () => `$${(place += 1)}`) : sql;
    return this.#executor.query(text, values);
  }
}

/** TypeORM answers rows, mysql2 rows and fields, pg an object with rows. */
function rowsOf(answer: unknown): Record<string, unknown>[] {
  if (!Array.isArray(answer)) {
    const rows = (answer as { rows?: unknown } | null | undefined)?.rows;
    if (Array.isArray(rows)) return rows as Record<string, unknown>[];
    throw new Error('expected rows from the executor, found something else');
  }
  return (Array.isArray(answer[0]) ? answer[0] : answer) as Record<string, unknown>[];
}
