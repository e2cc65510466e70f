import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import Database from 'better-sqlite3';
import { EventCenterError } from '../../core/errors.js';
import { META_HEADER, type WireMessage } from '../message-format.js';
import { messageOf } from '../within.js';

/** How long another process may take to let go of the file, at a restart. The event loop stands still meanwhile. */
const LOCK_TIMEOUT_MS = 1000;
const PROBE_BYTES = 64 * 1024;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    -- Messages up to this id may have been handed out: after a restart they count as redelivered.
    taken_up_to INTEGER NOT NULL DEFAULT 0
  );
  CREATE TABLE IF NOT EXISTS binding (
    event_type_id TEXT NOT NULL,
    queue_id INTEGER NOT NULL,
    PRIMARY KEY (event_type_id, queue_id)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue_id INTEGER NOT NULL,
    message_id TEXT,
    meta TEXT,
    extra TEXT,
    body BLOB NOT NULL
  );
  CREATE INDEX IF NOT EXISTS message_queue ON message (queue_id, id);
  CREATE TABLE IF NOT EXISTS delayed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at INTEGER NOT NULL,
    queue TEXT NOT NULL,
    message_id TEXT,
    meta TEXT,
    extra TEXT,
    body BLOB NOT NULL
  );
  CREATE INDEX IF NOT EXISTS delayed_due ON delayed (due_at, id);
  CREATE TABLE IF NOT EXISTS probe (id INTEGER PRIMARY KEY, filler BLOB NOT NULL);
`;

/** A message as it stands in a table; `extra` is every header but the one of ours, as JSON. */
interface MessageRow {
  id: number;
  message_id: string | null;
  meta: string | null;
  extra: string | null;
  body: Buffer;
}

/** A message to be written. */
export interface NewMessage {
  messageId: string;
  wire: WireMessage;
}

/** A message that was read. */
export interface StoredMessage {
  id: number;
  messageId: string | null;
  wire: WireMessage;
}

export interface DelayedMessage extends StoredMessage {
  queue: string;
}

export interface QueueRow {
  id: number;
  name: string;
  takenUpTo: number;
  messages: number;
}

/**
 * The embedded broker's file: tables and statements, no rules. Everything is synchronous, and durable when the
 * transaction around it has come back (WAL, synchronous=FULL). One process at a time holds the file.
 */
export class QueueFile {
  readonly #db: Database.Database;
  readonly #statements: ReturnType<typeof prepare>;
  readonly #transaction: (work: () => void) => void;

  /** @throws CONFIG_INVALID when another process holds the file, UNAVAILABLE when it cannot be used. */
  constructor(file: string) {
    this.#db = openExclusively(file);
    this.#statements = prepare(this.#db);
    const run = this.#db.transaction((work: () => void) => {
      work();
    });
    this.#transaction = (work) => run.immediate(work);
  }

  /** Runs `work` in one transaction; what it throws rolls back. */
  transaction(work: () => void): void {
    this.#transaction(work);
  }

  queues(): QueueRow[] {
    return this.#statements.queues.all() as QueueRow[];
  }

  /** Makes a queue, or finds the one of this name. */
  createQueue(name: string): QueueRow {
    this.#statements.createQueue.run(name);
    return this.#statements.queue.get(name) as QueueRow;
  }

  /** Removes a queue, its bindings and whatever it holds. */
  deleteQueue(id: number): void {
    this.#statements.deleteQueueMessages.run(id);
    this.#statements.deleteQueueBindings.run(id);
    this.#statements.deleteQueue.run(id);
  }

  setTakenUpTo(queueId: number, messageId: number): void {
    this.#statements.setTakenUpTo.run(messageId, queueId);
  }

  bindings(): { eventTypeId: string; queueId: number }[] {
    return this.#statements.bindings.all() as { eventTypeId: string; queueId: number }[];
  }

  bind(eventTypeId: string, queueId: number): void {
    this.#statements.bind.run(eventTypeId, queueId);
  }

  unbind(eventTypeId: string, queueId: number): void {
    this.#statements.unbind.run(eventTypeId, queueId);
  }

  insert(queueId: number, { messageId, wire }: NewMessage): void {
    this.#statements.insert.run(queueId, messageId, metaOf(wire), extraOf(wire), wire.body);
  }

  delete(id: number): void {
    this.#statements.delete.run(id);
  }

  /** Up to `limit` messages of a queue in their order, after the one with id `after`. */
  readAfter(queueId: number, after: number, limit: number): StoredMessage[] {
    return (this.#statements.readAfter.all(queueId, after, limit) as MessageRow[]).map(stored);
  }

  read(id: number): StoredMessage | null {
    const row = this.#statements.read.get(id) as MessageRow | undefined;
    return row === undefined ? null : stored(row);
  }

  insertDelayed(dueAt: number, queue: string, { messageId, wire }: NewMessage): void {
    this.#statements.insertDelayed.run(dueAt, queue, messageId, metaOf(wire), extraOf(wire), wire.body);
  }

  /** Removes and returns up to `limit` delayed messages that are due, in the order of their times. */
  takeDue(now: number, limit: number): DelayedMessage[] {
    const rows = this.#statements.due.all(now, limit) as (MessageRow & { queue: string })[];
    for (const row of rows) this.#statements.deleteDelayed.run(row.id);
    return rows.map((row) => ({ ...stored(row), queue: row.queue }));
  }

  /** When the next delayed message is due, null when there is none. */
  nextDueAt(): number | null {
    return (this.#statements.nextDueAt.get() as { dueAt: number | null }).dueAt;
  }

  /** Writes and removes something, to learn whether the disk takes it. */
  probe(): void {
    this.transaction(() => this.#statements.probe.run(PROBE_BYTES));
    this.transaction(() => this.#statements.clearProbe.run());
  }

  close(): void {
    this.#db.close();
  }
}

function openExclusively(file: string): Database.Database {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    // For this user only: payloads are in it. SQLite gives the files beside it the same mode.
    closeSync(openSync(file, 'a', 0o600));
    const db = new Database(file, { timeout: LOCK_TIMEOUT_MS });
    try {
      db.pragma('locking_mode = EXCLUSIVE');
      db.pragma('journal_mode = WAL');
      db.pragma('synchronous = FULL');
      db.exec(SCHEMA);
      // Takes the lock even when there was nothing to make.
      db.exec('BEGIN EXCLUSIVE; COMMIT');
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  } catch (error) {
    if (sqliteCode(error).startsWith('SQLITE_BUSY')) {
      const advice = 'the embedded broker lives in one process: stop the other one, or use RabbitMQ for several';
      throw new EventCenterError('CONFIG_INVALID', `another process uses ${file}; ${advice}`, { cause: error });
    }
    throw new EventCenterError('UNAVAILABLE', `cannot open ${file}: ${messageOf(error)}`, { cause: error });
  }
}

/** SQLite's code of an error, such as `SQLITE_FULL`; empty for any other error. Not by class, of which there can be two. */
export function sqliteCode(error: unknown): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : '';
}

function prepare(db: Database.Database) {
  const counted = `
    SELECT id, name, taken_up_to AS takenUpTo, (SELECT COUNT(*) FROM message WHERE queue_id = queue.id) AS messages
    FROM queue`;
  return {
    queues: db.prepare(counted),
    queue: db.prepare(`${counted} WHERE name = ?`),
    createQueue: db.prepare('INSERT INTO queue (name) VALUES (?) ON CONFLICT DO NOTHING'),
    deleteQueue: db.prepare('DELETE FROM queue WHERE id = ?'),
    deleteQueueBindings: db.prepare('DELETE FROM binding WHERE queue_id = ?'),
    deleteQueueMessages: db.prepare('DELETE FROM message WHERE queue_id = ?'),
    setTakenUpTo: db.prepare('UPDATE queue SET taken_up_to = ? WHERE id = ?'),
    bindings: db.prepare('SELECT event_type_id AS eventTypeId, queue_id AS queueId FROM binding'),
    bind: db.prepare('INSERT INTO binding (event_type_id, queue_id) VALUES (?, ?) ON CONFLICT DO NOTHING'),
    unbind: db.prepare('DELETE FROM binding WHERE event_type_id = ? AND queue_id = ?'),
    insert: db.prepare('INSERT INTO message (queue_id, message_id, meta, extra, body) VALUES (?, ?, ?, ?, ?)'),
    delete: db.prepare('DELETE FROM message WHERE id = ?'),
    read: db.prepare('SELECT id, message_id, meta, extra, body FROM message WHERE id = ?'),
    readAfter: db.prepare(
      'SELECT id, message_id, meta, extra, body FROM message WHERE queue_id = ? AND id > ? ORDER BY id LIMIT ?',
    ),
    insertDelayed: db.prepare(
      'INSERT INTO delayed (due_at, queue, message_id, meta, extra, body) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    due: db.prepare(
      'SELECT id, queue, message_id, meta, extra, body FROM delayed WHERE due_at <= ? ORDER BY due_at, id LIMIT ?',
    ),
    deleteDelayed: db.prepare('DELETE FROM delayed WHERE id = ?'),
    nextDueAt: db.prepare('SELECT MIN(due_at) AS dueAt FROM delayed'),
    probe: db.prepare('INSERT OR REPLACE INTO probe (id, filler) VALUES (1, zeroblob(?))'),
    clearProbe: db.prepare('DELETE FROM probe'),
  };
}

function metaOf({ headers }: WireMessage): string | null {
  const meta = headers[META_HEADER];
  return typeof meta === 'string' ? meta : null;
}

function extraOf({ headers }: WireMessage): string | null {
  const { [META_HEADER]: _meta, ...extra } = headers;
  return Object.keys(extra).length === 0 ? null : JSON.stringify(extra);
}

function stored(row: MessageRow): StoredMessage {
  const headers = row.extra === null ? {} : parseHeaders(row.extra);
  if (row.meta !== null) headers[META_HEADER] = row.meta;
  return { id: row.id, messageId: row.message_id, wire: { body: row.body, headers } };
}

function parseHeaders(extra: string): Record<string, unknown> {
  try {
    const headers: unknown = JSON.parse(extra);
    return typeof headers === 'object' && headers !== null ? { ...headers } : {};
  } catch {
    return {};
  }
}
