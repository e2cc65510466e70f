import type {
  MatchedEvent,
  PageRequest,
  Replay,
  ReplayFilter,
  ReplayLease,
  ReplayProgress,
  ReplayStore,
} from '../core/ports.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { matchEvents } from './replay-match.js';
import type { ReplayRow } from './journal-tables.js';
import { execute, insertRows, rowsOf, type SqlValue } from './sql.js';

const COLUMNS = [
  'id',
  'filter',
  'dry_run',
  'rate_per_second',
  'state',
  'phase',
  'page_cursor',
  'matched',
  'done',
  'failed',
  'error',
  'created_at',
  'created_by',
  'finished_at',
] satisfies (keyof ReplayRow)[];

const NOT_OVER = "state IN ('pending', 'running')";
const FREE = `${NOT_OVER} AND (lease_until IS NULL OR lease_until <= ?)`;
const HELD = "id = ? AND lease_owner = ? AND state = 'running'";
const MOST_ERROR_CHARACTERS = 1_000;

type RawReplay = Omit<ReplayRow, 'id' | 'filter' | 'dry_run'> & { id: Buffer; filter: string; dry_run: string };

/** Replays in `pub_replay`, and what they match in the journal's tables. */
export class SqlReplayStore implements ReplayStore {
  readonly #database: Database;

  constructor(deps: { database: Database }) {
    this.#database = deps.database;
  }

  async create(replay: Replay): Promise<void> {
    const values: Record<(typeof COLUMNS)[number], SqlValue> = {
      id: uuidToBytes(replay.id),
      filter: JSON.stringify(replay.filter),
      dry_run: replay.dryRun ? 'Y' : 'N',
      rate_per_second: replay.ratePerSecond,
      state: replay.state,
      phase: 'counting',
      page_cursor: null,
      matched: replay.matched,
      done: replay.done,
      failed: replay.failed,
      error: replay.error,
      created_at: replay.createdAt,
      created_by: replay.createdBy,
      finished_at: replay.finishedAt,
    };
    const rows = [COLUMNS.map((column) => values[column])];
    await this.#database.run((manager) =>
      insertRows(manager, { table: 'pub_replay', columns: COLUMNS, rows, onDuplicate: 'error' }),
    );
  }

  async find(id: string): Promise<Replay | null> {
    const row = await this.#row(id);
    return row === null ? null : replayOf(row);
  }

  async cancel(id: string, at: number): Promise<Replay | null> {
    await this.#update(`SET state = 'cancelled', finished_at = ? WHERE id = ? AND ${NOT_OVER}`, [at, uuidToBytes(id)]);
    return this.find(id);
  }

  async take(owner: string, now: number, until: number): Promise<{ replay: Replay; progress: ReplayProgress } | null> {
    const next = `SELECT id FROM pub_replay WHERE ${FREE} ORDER BY COALESCE(lease_until, created_at), id LIMIT 1`;
    for (;;) {
      const [found] = await this.#database.run((manager) => rowsOf<{ id: Buffer }>(manager, next, [now]));
      if (found === undefined) return null;
      const take = `SET state = 'running', lease_owner = ?, lease_until = ? WHERE id = ? AND ${FREE}`;
      // Another worker may have been faster; then there may be a further one.
      if ((await this.#update(take, [owner, until, found.id, now])) === 0) continue;
      const row = await this.#row(uuidFromBytes(found.id));
      if (row !== null) return { replay: replayOf(row), progress: progressOf(row) };
    }
  }

  async isAnyFree(now: number): Promise<boolean> {
    const sql = `SELECT id FROM pub_replay WHERE ${FREE} LIMIT 1`;
    return (await this.#database.run((manager) => rowsOf(manager, sql, [now]))).length > 0;
  }

  async advance(lease: ReplayLease, progress: ReplayProgress): Promise<boolean> {
    const { phase, cursor, matched, done, failed } = progress;
    const set = `SET phase = ?, page_cursor = ?, matched = ?, done = ?, failed = ?, lease_until = ? WHERE ${HELD}`;
    const ids = [uuidToBytes(lease.id), lease.owner];
    if ((await this.#update(set, [phase, cursor, matched, done, failed, lease.until, ...ids])) > 0) return true;
    const count = "SET done = ?, failed = ? WHERE id = ? AND lease_owner = ? AND state = 'cancelled'";
    await this.#update(count, [done, failed, ...ids]);
    return false;
  }

  async finish(lease: ReplayLease, end: { state: 'done' | 'failed'; error: string | null; at: number }): Promise<void> {
    const set = `SET state = ?, error = ?, finished_at = ?, lease_owner = NULL, lease_until = NULL WHERE ${HELD}`;
    const error = end.error?.slice(0, MOST_ERROR_CHARACTERS) ?? null;
    await this.#update(set, [end.state, error, end.at, uuidToBytes(lease.id), lease.owner]);
  }

  match(filter: ReplayFilter, page: PageRequest): Promise<MatchedEvent[]> {
    return this.#database.run((manager) => matchEvents(manager, filter, page));
  }

  async userObjectOf(eventId: string): Promise<Buffer | null> {
    const sql = 'SELECT user_object FROM pub_event WHERE event_id = ?';
    const [row] = await this.#database.run((manager) =>
      rowsOf<{ user_object: string | null }>(manager, sql, [uuidToBytes(eventId)]),
    );
    return row === undefined || row.user_object === null ? null : Buffer.from(row.user_object, 'utf8');
  }

  async #row(id: string): Promise<RawReplay | null> {
    const sql = `SELECT ${COLUMNS.join(', ')} FROM pub_replay WHERE id = ?`;
    const [row] = await this.#database.run((manager) => rowsOf<RawReplay>(manager, sql, [uuidToBytes(id)]));
    return row ?? null;
  }

  #update(set: string, values: SqlValue[]): Promise<number> {
    return this.#database.run((manager) => execute(manager, `UPDATE pub_replay ${set}`, values));
  }
}

function replayOf(row: RawReplay): Replay {
  return {
    id: uuidFromBytes(row.id),
    filter: JSON.parse(row.filter) as ReplayFilter,
    dryRun: row.dry_run === 'Y',
    ratePerSecond: row.rate_per_second,
    state: row.state,
    matched: row.matched,
    done: row.done,
    failed: row.failed,
    error: row.error,
    createdAt: row.created_at,
    createdBy: row.created_by,
    finishedAt: row.finished_at,
  };
}

function progressOf({ phase, page_cursor, matched, done, failed }: RawReplay): ReplayProgress {
  return { phase, cursor: page_cursor, matched, done, failed };
}
