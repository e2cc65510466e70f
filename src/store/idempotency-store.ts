import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { IdempotencyKey, IdempotencyStore, KeyState } from '../core/ports.js';
import type { IdempotencyRow } from './access-tables.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { RefusedRowError } from './database-errors.js';
import { deleteOldest, execute, rowsOf } from './sql.js';

type BeginEntry = Parameters<IdempotencyStore['begin']>[1];
type StoredKey = Pick<IdempotencyRow, 'state' | 'started_at' | 'expires_at'> & { event_id: Buffer; body_hash: Buffer };

/** How often a key may vanish (expiry, clearing up) between being there and being looked at. */
const MOST_TRIES = 5;

/** Idempotency keys. A key that nobody used yet costs one statement; the database's unique key decides who is first. */
export class SqlIdempotencyStore implements IdempotencyStore {
  readonly #database: Database;

  constructor(deps: { database: Database }) {
    this.#database = deps.database;
  }

  async begin(key: IdempotencyKey, entry: BeginEntry): Promise<KeyState> {
    for (let tries = 1; ; tries += 1) {
      try {
        await this.#database.run((manager) => insertKey(manager, key, entry));
        return { state: 'new' };
      } catch (error) {
        if (!(error instanceof RefusedRowError) || error.reason !== 'duplicate') throw error;
        const state = await this.#database.transaction((manager) => this.#beginKnown(manager, key, entry));
        if (state !== null) return state;
        if (tries === MOST_TRIES) throw error;
      }
    }
  }

  async done(key: IdempotencyKey): Promise<void> {
    await this.#database.run((manager) =>
      execute(manager, `UPDATE pub_event_idempotency SET state = 'done' WHERE key_hash = ?`, [hashOf(key)]),
    );
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

async function insertKey(manager: EntityManager, key: IdempotencyKey, entry: BeginEntry): Promise<void> {
  await execute(
    manager,
    `INSERT INTO pub_event_idempotency (key_hash, app_id, idempotency_key, event_id, body_hash, state, started_at, expires_at) ` +
      `VALUES (?, ?, ?, ?, ?, 'pending', ?, ?)`,
    [hashOf(key), key.appId, key.key, uuidToBytes(entry.eventId), entry.bodyHash, entry.now, entry.now + entry.ttlMs],
  );
}

function hashOf(key: IdempotencyKey): Buffer {
  return createHash('sha256').update(key.appId).update('\0').update(key.key).digest();
}
