import type { EntityManager } from 'typeorm';
import { uuidV7 } from '../core/ids.js';
import type { EventMessage } from '../core/model.js';
import type { Log, ParkedMessage, ParkedStore } from '../core/ports.js';
import { uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import type { ParkedMessageRow } from './journal-tables.js';
import { skipLockedClause } from './skip-locked.js';
import { execute, insertRows, placeholders, rowsOf } from './sql.js';

export interface ParkedStoreDeps {
  database: Database;
  log: Log;
}

type RawParked = Omit<ParkedMessageRow, 'id'> & { id: Buffer };
type Publish = Parameters<ParkedStore['publishDue']>[2];

/** A message that could not be published makes place for others for this long. */
const LATER_MS = 5_000;

/** Parked messages in `pub_parked_message`, as JSON. */
export class SqlParkedStore implements ParkedStore {
  readonly #database: Database;
  readonly #log: Log;
  /** SQLite has one process, and no lock is held there while publishing, so that nothing else waits for the broker. */
  #publishing = false;

  constructor(deps: ParkedStoreDeps) {
    this.#database = deps.database;
    this.#log = deps.log;
  }

  async park(parked: ParkedMessage, dueAt: number): Promise<void> {
    const row = [uuidToBytes(uuidV7()), parked.kind, dueAt, encodeParked(parked)];
    const columns = ['id', 'kind', 'due_at', 'body'];
    await this.#database.run((manager) =>
      insertRows(manager, { table: 'pub_parked_message', columns, rows: [row], onDuplicate: 'keep' }),
    );
  }

  async publishDue(now: number, limit: number, publish: Publish): Promise<number> {
    if (!this.#database.isSqlite) {
      return this.#database.transaction(async (manager) => {
        const due = await takeDue(manager, now, limit);
        const published = await this.#publishEach(due, publish);
        await remove(manager, { due, published, now });
        return published.size;
      });
    }
    if (this.#publishing) return 0;
    this.#publishing = true;
    try {
      const due = await this.#database.run((manager) => takeDue(manager, now, limit));
      const published = await this.#publishEach(due, publish);
      await this.#database.transaction((manager) => remove(manager, { due, published, now }));
      return published.size;
    } finally {
      this.#publishing = false;
    }
  }

  async #publishEach(due: RawParked[], publish: Publish): Promise<Set<RawParked>> {
    const results = await Promise.allSettled(due.map(async (row) => publish(decodeParked(row.body))));
    const published = new Set<RawParked>();
    results.forEach((result, index) => {
      const row = due[index];
      if (row === undefined) return;
      if (result.status === 'fulfilled') published.add(row);
      else
        this.#log.warn('parked.not-published', { kind: row.kind, dueAt: row.due_at, error: result.reason as unknown });
    });
    return published;
  }
}

async function takeDue(manager: EntityManager, now: number, limit: number): Promise<RawParked[]> {
  const lock = await skipLockedClause(manager);
  return rowsOf<RawParked>(
    manager,
    `SELECT id, kind, due_at, body FROM pub_parked_message WHERE due_at <= ? ORDER BY due_at, id LIMIT ?${lock}`,
    [now, limit],
  );
}

async function remove(
  manager: EntityManager,
  of: { due: RawParked[]; published: Set<RawParked>; now: number },
): Promise<void> {
  const gone = [...of.published].map((row) => row.id);
  const kept = of.due.filter((row) => !of.published.has(row)).map((row) => row.id);
  if (gone.length > 0) {
    await execute(manager, `DELETE FROM pub_parked_message WHERE id IN (${placeholders(gone.length)})`, gone);
  }
  if (kept.length > 0) {
    await execute(manager, `UPDATE pub_parked_message SET due_at = ? WHERE id IN (${placeholders(kept.length)})`, [
      of.now + LATER_MS,
      ...kept,
    ]);
  }
}

/** The JSON of a parked message; the payload's bytes as Base64, so that they come back as they were. */
function encodeParked(parked: ParkedMessage): string {
  if (parked.kind === 'outcomes') return JSON.stringify(parked);
  const { event } = parked.message;
  const userObject = event.userObject?.toString('base64') ?? null;
  return JSON.stringify({ ...parked, message: { ...parked.message, event: { ...event, userObject } } });
}

/** What `encodeParked` was given. */
function decodeParked(body: string): ParkedMessage {
  const parked = JSON.parse(body) as ParkedMessage;
  if (parked.kind === 'outcomes') return parked;
  const event = parked.message.event as Omit<EventMessage['event'], 'userObject'> & { userObject: string | null };
  const userObject = event.userObject === null ? null : Buffer.from(event.userObject, 'base64');
  return { ...parked, message: { ...parked.message, event: { ...event, userObject } } };
}
