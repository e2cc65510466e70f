import type { EntityManager } from 'typeorm';
import { EventCenterError } from '../core/errors.js';
import type { ApiToken, Role, TokenStore } from '../core/ports.js';
import type { TokenRow } from './access-tables.js';
import { uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { RefusedRowError } from './database-errors.js';
import { execute, rowsOf } from './sql.js';

/** API tokens; of a token itself only its SHA-256 is known. */
export class SqlTokenStore implements TokenStore {
  readonly #database: Database;

  constructor(deps: { database: Database }) {
    this.#database = deps.database;
  }

  async findByHash(hash: Buffer): Promise<ApiToken | null> {
    const row = await this.#database.run((manager) => repositoryOf(manager).findOneBy({ token_hash: hash }));
    return row === null ? null : tokenFromRow(row);
  }

  /** Oldest first, revoked ones too. */
  async list(): Promise<ApiToken[]> {
    const rows = await this.#database.run((manager) =>
      repositoryOf(manager).find({ order: { created_at: 'ASC', id: 'ASC' } }),
    );
    return rows.map(tokenFromRow);
  }

  async create(token: ApiToken, hash: Buffer): Promise<void> {
    try {
      await this.#database.transaction(async (manager) => {
        // An expired token does not hold its name; that it has expired is noticed here.
        await execute(manager, 'UPDATE pub_api_token SET live_name = NULL WHERE live_name = ? AND expires_at <= ?', [
          token.name,
          token.createdAt,
        ]);
        await repositoryOf(manager).insert(tokenToRow(token, hash));
      });
    } catch (error) {
      if (!(error instanceof RefusedRowError) || error.reason !== 'duplicate') throw error;
      throw new EventCenterError(
        'CONFLICT',
        `there is a live token named ${token.name}: revoke it or take another name`,
      );
    }
  }

  async revoke(id: string, at: number): Promise<boolean> {
    const sql = 'UPDATE pub_api_token SET revoked_at = ?, live_name = NULL WHERE id = ? AND revoked_at IS NULL';
    return (await this.#execute(sql, [at, uuidToBytes(id)])) > 0;
  }

  async touch(id: string, at: number): Promise<void> {
    await this.#execute('UPDATE pub_api_token SET last_used_at = ? WHERE id = ?', [at, uuidToBytes(id)]);
  }

  async count(): Promise<number> {
    const [row] = await this.#database.run((manager) =>
      rowsOf<{ count: number }>(manager, 'SELECT COUNT(*) AS count FROM pub_api_token'),
    );
    return row?.count ?? 0;
  }

  #execute(sql: string, parameters: (number | Buffer)[]): Promise<number> {
    return this.#database.run((manager) => execute(manager, sql, parameters));
  }
}

function repositoryOf(manager: EntityManager) {
  return manager.getRepository<TokenRow>('pub_api_token');
}

function tokenToRow(token: ApiToken, hash: Buffer): TokenRow {
  return {
    id: token.id,
    name: token.name,
    live_name: token.revokedAt === null ? token.name : null,
    token_hash: hash,
    role: token.role,
    node_code: token.nodeCode,
    created_at: token.createdAt,
    expires_at: token.expiresAt,
    revoked_at: token.revokedAt,
    last_used_at: token.lastUsedAt,
  };
}

function tokenFromRow(row: TokenRow): ApiToken {
  return {
    id: row.id,
    name: row.name,
    role: row.role as Role,
    nodeCode: row.node_code,
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
    lastUsedAt: row.last_used_at,
  };
}
