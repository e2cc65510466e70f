import type { Page, PageRequest } from './journal-reader.js';
import type { Actor, AuditEntry } from './registry-store.js';

export type Role = 'admin' | 'operator' | 'viewer';

export interface ApiToken {
  id: string;
  name: string;
  role: Role;
  /** The node whose things alone it reaches; null is the whole centre. */
  nodeCode: string | null;
  createdAt: number;
  expiresAt: number | null;
  revokedAt: number | null;
  lastUsedAt: number | null;
}

export interface TokenStore {
  /** The token of this SHA-256 hash, revoked and expired ones too. */
  findByHash(hash: Buffer): Promise<ApiToken | null>;
  list(): Promise<ApiToken[]>;
  /** @throws CONFLICT when the name is taken by a live token. */
  create(token: ApiToken, hash: Buffer): Promise<void>;
  revoke(id: string, at: number): Promise<boolean>;
  touch(id: string, at: number): Promise<void>;
  count(): Promise<number>;
}

export interface AuditRecord extends AuditEntry {
  id: string;
  at: number;
  actor: string;
  requestId: string | null;
}

export interface AuditStore {
  append(actor: Actor, entry: AuditEntry, at: number): Promise<void>;
  list(page: PageRequest): Promise<Page<AuditRecord>>;
}
