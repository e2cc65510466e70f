import { randomUUID } from 'node:crypto';
import { claim, type Run } from './claim.js';
import { orderIndexHint } from './outbox-table.js';
import type { Outbox } from './outbox.js';
import { changeAlone, type RelayDatabase } from './relay-database.js';

export interface Claimed {
  token: string;
  /** When the claim ends unless it is renewed. */
  until: number;
  runs: Run[];
}

const CLAIM_TRIES = 3;

/** Which events a relay holds. */
export class Claims {
  readonly #outbox: Outbox;
  readonly #database: RelayDatabase;
  readonly #deadBlocks: boolean;
  #lock: string | null = null;

  constructor(of: { outbox: Outbox; database: RelayDatabase; deadBlocks: boolean }) {
    this.#outbox = of.outbox;
    this.#database = of.database;
    this.#deadBlocks = of.deadBlocks;
  }

  /** Whether claims skip what others have locked (`skip-locked`), or only ask for what is free (`conditional`). */
  async kind(): Promise<'skip-locked' | 'conditional'> {
    return (await this.#lockClause()) === '' ? 'conditional' : 'skip-locked';
  }

  /** Claims due events, about `batchSize` at most, for `leaseMs`. */
  async claim(batchSize: number, leaseMs: number): Promise<Claimed> {
    const now = this.#outbox.clock.now();
    const token = randomUUID();
    const lock = await this.#lockClause();
    const hint = orderIndexHint(this.#outbox);
    const options = {
      table: this.#outbox.table,
      token,
      batchSize,
      now,
      until: now + leaseMs,
      deadBlocks: this.#deadBlocks,
      lock,
      hint,
    };
    const { transaction } = this.#database;
    const once = (): Promise<Run[]> =>
      transaction === null || lock === ''
        ? claim(this.#database, options)
        : transaction((statements) => claim(statements, options));
    return { token, until: options.until, runs: await repeatedAfterDeadlock(once) };
  }

  /** Keeps the claim on what is still pending of it. False when nothing is. */
  async renew(token: string, until: number): Promise<boolean> {
    const sql = `UPDATE ${this.#outbox.table} SET claimed_until = ? WHERE claimed_by = ? AND state = 'pending'`;
    return (await changeAlone(this.#database, sql, [until, token])) > 0;
  }

  /** Gives back what is still pending of it. */
  async release(token: string): Promise<void> {
    await changeAlone(
      this.#database,
      `UPDATE ${this.#outbox.table} SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ? AND state = 'pending'`,
      [token],
    );
  }

  /** Asked of the database once: versions and forks say little about what they can do. */
  async #lockClause(): Promise<string> {
    this.#lock ??= await findLockClause(this.#outbox, this.#database);
    return this.#lock;
  }
}

async function findLockClause(outbox: Outbox, database: RelayDatabase): Promise<string> {
  if (database.transaction === null) return '';
  const clause = outbox.dialect === 'postgres' ? 'FOR UPDATE OF o SKIP LOCKED' : 'FOR UPDATE SKIP LOCKED';
  try {
    await database.rows(`SELECT o.id FROM ${outbox.table} o WHERE o.id = 0 ${clause}`, []);
    return clause;
  } catch (error) {
    if (isUnknownSyntax(error)) return '';
    throw error;
  }
}

/** MySQL 1064 and 1235, PostgreSQL 42601 and 0A000. */
function isUnknownSyntax(error: unknown): boolean {
  const { errno, code } = errorCodes(error);
  return errno === 1064 || errno === 1235 || code === '42601' || code === '0A000';
}

async function repeatedAfterDeadlock<T>(once: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await once();
    } catch (error) {
      if (attempt >= CLAIM_TRIES || !isDeadlock(error)) throw error;
    }
  }
}

function isDeadlock(error: unknown): boolean {
  const { errno, code } = errorCodes(error);
  return errno === 1213 || errno === 1205 || code === '40P01' || code === '40001';
}

function errorCodes(error: unknown): { errno?: unknown; code?: unknown } {
  const given = error as { errno?: unknown; code?: unknown; driverError?: unknown } | null;
  // TypeORM wraps the driver's error.
  return given?.driverError ?? given ?? {};
}
