import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { IdempotencyKey, IdempotencyStore, KeyState } from '../core/ports.js';
import type { IdempotencyRow } from './access-tables.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { RefusedRowError } from './database-errors.js';
import { SharedWrites } from './shared-writes.js';
import { deleteOldest, execute, insertRows, placeholders, rowsOf } from './sql.js';

type BeginEntry = Parameters<IdempotencyStore['begin']>[1];
type StoredKey = Pick<IdempotencyRow, 'state' | 'started_at' | 'expires_at'> & { event_id: Buffer; body_hash: Buffer };

interface NewKey {
  hash: Buffer;
  key: IdempotencyKey;
  entry: BeginEntry;
}

/** Keys of one statement at most, and statements on their way at a time: two, so that one is read while one is written. */
const SHARED = { most: 200, atATime: 2 };

/** How often a key may vanish (expiry, clearing up) between being there and being looked at. */
const MOST_TRIES = 5;

/**
 * Idempotency keys. A key that nobody used yet costs a part of two statements, which calls that come at the same time
 * share; the database's unique key decides who is first.
 */
export class SqlIdempotencyStore implements IdempotencyStore {
  readonly #database: Database;
  readonly #begun: SharedWrites<NewKey>;
  readonly #done: SharedWrites<Buffer>;

  constructor({ database }: { database: Database }) {
    this.#database = database;
    this.#begun = new SharedWrites({
      ...SHARED,
      write: (keys) => database.run((manager) => insertKeys(manager, keys)),
    });
    this.#done = new SharedWrites({
      ...SHARED,
      write: (hashes) => database.run((manager) => markDone(manager, hashes)),
    });
  }

  async begin(key: IdempotencyKey, entry: BeginEntry): Promise<KeyState> {
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#begun.add({ hash: hashOf(key), key, entry });
        return { state: 'new' };
      } catch (error) {
        if (!(error instanceof RefusedRowError) || error.reason !== 'duplicate') throw error;
        const state = await this.#database.transaction((manager) => this.#beginKnown(manager, key, entry));
        if (state !== null) return state;
        if (tries === MOST_TRIES) throw error;
      }
    }
  }

  done(key: IdempotencyKey): Promise<void> {
    return this.#done.add(hashOf(key));
  }

  async free(key: IdempotencyKey): Promise<void> {
    await this.#database.run((manager) =>
      execute(manager, `UPDATE pub_event_idempotency SET state = 'freed' WHERE key_hash = ? AND state = 'pending'`, [
        hashOf(key),
      ]),
    );
  }

  deleteExpired(now: number, limit: number): Promise<number> {
    const expired = { table: 'pub_event_idempotency', column: 'expires_at', before: now, limit };
    return this.#database.run((manager) => deleteOldest(manager, expired));
  }

  /** Null when the key is gone again. */
  async #beginKnown(manager: EntityManager, key: IdempotencyKey, entry: BeginEntry): Promise<KeyState | null> {
    const [stored] = await rowsOf<StoredKey>(
      manager,
      `SELECT event_id, body_hash, state, started_at, expires_at FROM pub_event_idempotency WHERE key_hash = ?` +
        (this.#database.isSqlite ? '' : ' FOR UPDATE'),
      [hashOf(key)],
    );
    if (stored === undefined) return null;
    const state = stateOf(stored, entry);
    if (state.state === 'new' || state.state === 'again') {
      await execute(
        manager,
        `UPDATE pub_event_idempotency SET event_id = ?, body_hash = ?, state = 'pending', started_at = ?, expires_at = ? WHERE key_hash = ?`,
        [uuidToBytes(entry.eventId), entry.bodyHash, entry.now, entry.now + entry.ttlMs, hashOf(key)],
      );
    }
    return state;
  }
}

/** What a key that is there means for a caller (protocol page, section 2). */
function stateOf(stored: StoredKey, entry: BeginEntry): KeyState {
  if (stored.expires_at <= entry.now) return { state: 'new' };
  if (!stored.body_hash.equals(entry.bodyHash)) return { state: 'other-body' };
  switch (stored.state) {
    case 'done':
      return { state: 'done', eventId: uuidFromBytes(stored.event_id) };
    case 'freed':
      return { state: 'again' };
    case 'pending':
      return { state: stored.started_at + entry.staleAfterMs <= entry.now ? 'again' : 'in-progress' };
  }
}

const COLUMNS = 'key_hash app_id idempotency_key event_id body_hash state started_at expires_at'.split(' ');

function insertKeys(manager: EntityManager, keys: NewKey[]): Promise<void> {
  const rows = keys
    .sort((a, b) => a.hash.compare(b.hash))
    .map(({ hash, key, entry }) => [
      ...[hash, key.appId, key.key, uuidToBytes(entry.eventId), entry.bodyHash, 'pending'],
      ...[entry.now, entry.now + entry.ttlMs],
    ]);
  return insertRows(manager, { table: 'pub_event_idempotency', columns: COLUMNS, rows, onDuplicate: 'error' });
}

async function markDone(manager: EntityManager, hashes: Buffer[]): Promise<void> {
  const keys = hashes.sort((a, b) => a.compare(b));
  const sql = `UPDATE pub_event_idempotency SET state = 'done' WHERE key_hash IN (${placeholders(keys.length)})`;
  await execute(manager, sql, keys);
}

function hashOf(key: IdempotencyKey): Buffer {
  return createHash('sha256').update(key.appId).update('\0').update(key.key).digest();
}
