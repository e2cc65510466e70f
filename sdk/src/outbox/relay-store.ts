import type { SqlRow } from '../sql/answer.js';
import { listOfPlaces } from '../sql/places.js';
import { idOf } from './claim.js';
import type { Outbox } from './outbox.js';
import type { RelayDatabase } from './relay-database.js';
import type { Verdict } from './verdict.js';

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

const PORTION = 500;

/** What the relay notes of events, counts and removes. */
export class RelayStore {
  readonly #outbox: Outbox;
  readonly #database: RelayDatabase;
  readonly #deadBlocks: boolean;

  constructor(of: { outbox: Outbox; database: RelayDatabase; deadBlocks: boolean }) {
    this.#outbox = of.outbox;
    this.#database = of.database;
    this.#deadBlocks = of.deadBlocks;
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

  async #blocked(): Promise<number> {
    if (!this.#deadBlocks) return 0;
    const rows = await this.#database.rows(
      `SELECT COUNT(*) AS total FROM ${this.#table} o WHERE o.state = 'pending' AND EXISTS (SELECT 1 FROM ` +
        `${this.#table} d WHERE d.aggregate_key = o.aggregate_key AND d.state = 'dead' AND d.id < o.id)`,
      [],
    );
    return Number(rows[0]?.['total'] ?? 0);
  }
}
