import { EventCenterError } from '../../src/core/errors.js';
import { uuidV7 } from '../../src/core/ids.js';
import type {
  Actor,
  ApiToken,
  AuditEntry,
  AuditRecord,
  AuditStore,
  Page,
  PageRequest,
  TokenStore,
} from '../../src/core/ports.js';

/** Tokens in memory; counts how often it was asked. */
export class MemoryTokenStore implements TokenStore {
  readonly rows: { token: ApiToken; hash: string }[] = [];
  isAway = false;
  lookups = 0;

  async findByHash(hash: Buffer): Promise<ApiToken | null> {
    this.lookups += 1;
    this.#expectHere();
    const row = this.rows.find((one) => one.hash === hash.toString('hex'));
    return row === undefined ? null : { ...row.token };
  }

  async list(): Promise<ApiToken[]> {
    this.#expectHere();
    return this.rows.map((row) => ({ ...row.token }));
  }

  async create(token: ApiToken, hash: Buffer): Promise<void> {
    this.#expectHere();
    if (this.rows.some((row) => row.token.name === token.name && row.token.revokedAt === null)) {
      throw new EventCenterError('CONFLICT', `there is a live token ${token.name} already`);
    }
    this.rows.push({ token: { ...token }, hash: hash.toString('hex') });
  }

  async revoke(id: string, at: number): Promise<boolean> {
    this.#expectHere();
    const row = this.rows.find((one) => one.token.id === id && one.token.revokedAt === null);
    if (row !== undefined) row.token.revokedAt = at;
    return row !== undefined;
  }

  async touch(id: string, at: number): Promise<void> {
    this.#expectHere();
    const row = this.rows.find((one) => one.token.id === id);
    if (row !== undefined) row.token.lastUsedAt = at;
  }

  async count(): Promise<number> {
    this.#expectHere();
    return this.rows.length;
  }

  #expectHere(): void {
    if (this.isAway) throw new EventCenterError('UNAVAILABLE', 'the database does not answer');
  }
}

/** The audit log in memory, newest first; the cursor is an offset. Reads `others` too, such as the registry's. */
export class MemoryAuditStore implements AuditStore {
  readonly records: AuditRecord[] = [];
  readonly #others: AuditRecord[];
  isAway = false;

  constructor(others: AuditRecord[] = []) {
    this.#others = others;
  }

  async append(actor: Actor, entry: AuditEntry, at: number): Promise<void> {
    if (this.isAway) throw new EventCenterError('UNAVAILABLE', 'the database does not answer');
    this.records.push({ ...structuredClone(entry), id: uuidV7(), at, actor: actor.name, requestId: actor.requestId });
  }

  async list(page: PageRequest): Promise<Page<AuditRecord>> {
    const start = Number(page.cursor ?? 0);
    const all = [...this.#others.map((one) => ({ ...one, id: uuidV7() })), ...this.records].reverse();
    const end = start + page.limit;
    return { items: all.slice(start, end), nextCursor: end < all.length ? String(end) : null };
  }
}
