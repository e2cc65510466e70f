import { randomUUID } from 'node:crypto';
import { EventCenterClientError, InvalidOptionError } from '../errors.js';
import type { SqlExecutor } from '../sql/executor.js';
import { statementsOn, type Statements } from '../sql/statements.js';
import { checkedTable, type SqlTable, type SqlTableOptions } from '../sql/table.js';
import { checkKey } from './inbox.js';
import type { CheckedKey, Inbox, InboxKey, InboxResult } from './inbox.js';
import { INBOX_TABLE, inboxTableSql } from './inbox-table.js';
import { INBOX_WORDS, type InboxWords } from './inbox-words.js';

/** Where a SqlInbox keeps what it remembers; `table` is `event_center_inbox` by default. */
export interface SqlInboxOptions extends SqlTableOptions {
  /** Runs statements outside of any transaction. */
  executor: SqlExecutor;
  /**
   * Milliseconds after which an event whose process died in the middle may be acted on again; 60000 by default. A process
   * that lives renews its claim, however long it acts.
   */
  leaseMs?: number;
}

/** What stands in the table for a key; `none` is no row, or one that a transaction's snapshot does not show. */
type Found = 'mine' | 'done' | 'expired' | 'busy' | 'none';

/**
 * Remembers events in a table of the application's database, for all its processes.
 *
 * `run` claims the event, acts, and marks it done. Guaranteed: no event is lost, since a failed act gives the claim back
 * and a dead process's claim expires; two copies do not act at the same time while the acting process can renew its
 * claim; a copy after the mark does not act. Not guaranteed: when the process dies, or the database goes away, between
 * the act and the mark, the event is acted on again.
 *
 * `record` has no such gap: it writes the mark in the application's own transaction, so that act and mark are committed
 * or rolled back together. Use one of the two for a key, not both.
 */
export class SqlInbox implements Inbox {
  readonly #dialect: SqlTable['dialect'];
  readonly #table: string;
  readonly #own: Statements;
  readonly #words: InboxWords;
  readonly #leaseMs: number;

  /** @throws InvalidOptionError naming the option. */
  constructor({ executor, dialect, table = INBOX_TABLE, leaseMs = 60_000 }: SqlInboxOptions) {
    if (!Number.isInteger(leaseMs) || leaseMs < 100) {
      throw new InvalidOptionError('leaseMs', 'expected whole milliseconds, at least 100');
    }
    ({ dialect: this.#dialect, table: this.#table } = checkedTable({ dialect, table }));
    this.#own = statementsOn(this.#dialect, executor);
    this.#words = INBOX_WORDS[this.#dialect];
    this.#leaseMs = leaseMs;
  }

  /** The statements that make the table, for a migration; they do nothing when it is there. @throws InvalidOptionError */
  static createTableSql({ dialect, table = INBOX_TABLE }: SqlTableOptions): string[] {
    return inboxTableSql(checkedTable({ dialect, table }));
  }

  /** The statements that make this inbox's table, to be run one by one. */
  createTableSql(): string[] {
    return inboxTableSql({ dialect: this.#dialect, table: this.#table });
  }

  /** Runs them, by the inbox's own executor unless another is given. */
  async createTable(executor?: SqlExecutor): Promise<void> {
    const statements = executor === undefined ? this.#own : statementsOn(this.#dialect, executor);
    for (const sql of this.createTableSql()) await statements.run(sql, []);
  }

  /** @throws what `act` threw, or what the database did; the event can come again then. */
  async run(key: InboxKey, act: () => Promise<void>): Promise<InboxResult> {
    const claimed = checkKey(key);
    const token = randomUUID();
    const found = await this.#claim(claimed, token);
    if (found === 'done') return 'repeated';
    if (found !== 'mine') return 'busy';
    const renewing = setInterval(() => void this.#renew(claimed, token).catch(() => {}), this.#leaseMs / 3);
    renewing.unref();
    try {
      await act();
      await this.#complete(claimed, token);
    } catch (error) {
      // Without the database the claim expires by itself.
      await this.#giveBack(claimed, token).catch(() => {});
      throw error;
    } finally {
      clearInterval(renewing);
    }
    return 'done';
  }

  /**
   * Writes the mark of an event in the caller's transaction. Another transaction that is about to write it waits for this
   * one to end (on SQLite it fails as busy, by SQLite's rules).
   * @param transaction runs statements in the caller's transaction.
   * @returns true for the first time: act in this transaction, then commit. False: it has been acted on, so do nothing.
   * @throws EventCenterClientError `IN_PROGRESS` when `run` holds the event.
   */
  async record(transaction: SqlExecutor, key: InboxKey): Promise<boolean> {
    const token = randomUUID();
    const checked = checkKey(key);
    const statements = statementsOn(this.#dialect, transaction);
    await this.#insert(statements, { key: checked, token, claimedUntil: '0', doneAt: this.#words.nowMs });
    const found = await this.#read(statements, checked, token);
    if (found === 'mine') return true;
    // A transaction sees its own row in every isolation level, and perhaps not the one that another has committed.
    if (found === 'done' || found === 'none') return false;
    throw new EventCenterClientError('IN_PROGRESS', 'another part of the application is acting on this event');
  }

  /** Lets the event be acted on again, for a replay that is meant to repeat. */
  async forget(key: InboxKey): Promise<void> {
    const { eventId, listenerId } = checkKey(key);
    await this.#own.run(`DELETE FROM ${this.#table} WHERE event_id = ? AND listener_id = ?`, [eventId, listenerId]);
  }

  /**
   * Forgets what was acted on before a time, and what a process that died began before it; call it now and then. Keep at least as long as the centre may repeat: the
   * listener's whole retry schedule.
   */
  async forgetBefore(time: Date | number): Promise<void> {
    const before = time instanceof Date ? time.getTime() : time;
    if (!Number.isInteger(before)) throw new InvalidOptionError('time', 'expected a date, or ms since the epoch');
    await this.#own.run(`DELETE FROM ${this.#table} WHERE done_at < ?`, [before]);
    const died = `done_at IS NULL AND claimed_until < ? AND claimed_until < ${this.#words.nowMs}`;
    await this.#own.run(`DELETE FROM ${this.#table} WHERE ${died}`, [before]);
  }

  async #claim(key: CheckedKey, token: string): Promise<Found> {
    const claimedUntil = this.#leaseEnd();
    await this.#insert(this.#own, { key, token, claimedUntil, doneAt: 'NULL' });
    const found = await this.#read(this.#own, key, token);
    if (found !== 'expired') return found;
    // Of several that find it expired, one moves the time, and then it is no longer expired for the others.
    await this.#own.run(
      `UPDATE ${this.#table} SET claim_token = ?, claimed_until = ${claimedUntil} ` +
        `WHERE event_id = ? AND listener_id = ? AND done_at IS NULL AND claimed_until < ${this.#words.nowMs}`,
      [token, key.eventId, key.listenerId],
    );
    return this.#read(this.#own, key, token);
  }

  async #insert(
    statements: Statements,
    row: { key: CheckedKey; token: string; claimedUntil: string; doneAt: string },
  ): Promise<void> {
    const { key, token, claimedUntil, doneAt } = row;
    await statements.run(
      `${this.#words.insert} ${this.#table} (event_id, listener_id, claim_token, claimed_until, done_at) ` +
        `VALUES (?, ?, ?, ${claimedUntil}, ${doneAt})${this.#words.onConflict}`,
      [key.eventId, key.listenerId, token],
    );
  }

  async #read(statements: Statements, key: CheckedKey, token: string): Promise<Found> {
    const [row] = await statements.rows(
      `SELECT claim_token AS token, CASE WHEN done_at IS NULL THEN 0 ELSE 1 END AS done, ` +
        `CASE WHEN claimed_until < ${this.#words.nowMs} THEN 1 ELSE 0 END AS expired ` +
        `FROM ${this.#table} WHERE event_id = ? AND listener_id = ?`,
      [key.eventId, key.listenerId],
    );
    if (row === undefined) return 'none';
    if (row['token'] === token) return 'mine';
    if (Number(row['done']) === 1) return 'done';
    return Number(row['expired']) === 1 ? 'expired' : 'busy';
  }

  async #renew(key: CheckedKey, token: string): Promise<void> {
    const until = this.#leaseEnd();
    await this.#executeMine(`UPDATE ${this.#table} SET claimed_until = ${until}`, key, token);
  }

  async #complete(key: CheckedKey, token: string): Promise<void> {
    await this.#executeMine(`UPDATE ${this.#table} SET done_at = ${this.#words.nowMs}`, key, token);
  }

  async #giveBack(key: CheckedKey, token: string): Promise<void> {
    await this.#executeMine(`DELETE FROM ${this.#table}`, key, token);
  }

  async #executeMine(statement: string, { eventId, listenerId }: CheckedKey, token: string): Promise<void> {
    const where = 'WHERE event_id = ? AND listener_id = ? AND claim_token = ? AND done_at IS NULL';
    await this.#own.run(`${statement} ${where}`, [eventId, listenerId, token]);
  }

  #leaseEnd(): string {
    return `${this.#words.nowMs} + ${String(this.#leaseMs)}`;
  }
}
