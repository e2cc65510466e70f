import type { EntitySchema } from 'typeorm';
import type { JsonObject } from '../core/model.js';
import { entityOf, nullable, primary, type Columns, type TableShape } from './columns.js';

/** `key_hash` is the SHA-256 of application and key, so that every key has one short form that compares exactly. */
export interface IdempotencyRow {
  key_hash: Buffer;
  app_id: string;
  idempotency_key: string;
  event_id: string;
  body_hash: Buffer;
  state: 'pending' | 'done' | 'freed';
  started_at: number;
  expires_at: number;
}

/** `live_name` is the name until the token is revoked, so that its index keeps live names apart. */
export interface TokenRow {
  id: string;
  name: string;
  live_name: string | null;
  token_hash: Buffer;
  role: string;
  node_code: string | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
  last_used_at: number | null;
}

export interface AuditRow {
  id: string;
  at: number;
  actor: string;
  request_id: string | null;
  action: string;
  subject_kind: string;
  subject_id: string;
  detail: JsonObject;
}

/** Tables of idempotency keys, tokens and the audit log as they are after the last migration. */
export function accessEntities(columns: Columns): EntitySchema[] {
  return [
    entityOf<IdempotencyRow>(idempotencyTable(columns)),
    entityOf<TokenRow>(tokenTable(columns)),
    entityOf<AuditRow>(auditTable(columns)),
  ] as EntitySchema[];
}

function idempotencyTable(columns: Columns): TableShape {
  return {
    name: 'pub_event_idempotency',
    columns: {
      key_hash: primary(columns.bytes(32)),
      app_id: columns.text(40),
      idempotency_key: columns.text(255),
      event_id: columns.uuid(),
      body_hash: columns.bytes(32),
      state: columns.text(8),
      started_at: columns.time(),
      expires_at: columns.time(),
    },
    indices: [{ name: 'pub_event_idempotency_expires', columns: ['expires_at'] }],
  };
}

function tokenTable(columns: Columns): TableShape {
  return {
    name: 'pub_api_token',
    columns: {
      id: primary(columns.uuid()),
      name: columns.text(200),
      live_name: nullable(columns.text(200)),
      token_hash: columns.bytes(32),
      role: columns.text(16),
      node_code: nullable(columns.text(40)),
      created_at: columns.time(),
      expires_at: nullable(columns.time()),
      revoked_at: nullable(columns.time()),
      last_used_at: nullable(columns.time()),
    },
    indices: [
      { name: 'pub_api_token_live_name', columns: ['live_name'], unique: true },
      { name: 'pub_api_token_hash', columns: ['token_hash'], unique: true },
    ],
  };
}

function auditTable(columns: Columns): TableShape {
  return {
    name: 'pub_audit_log',
    columns: {
      id: primary(columns.uuid()),
      at: columns.time(),
      actor: columns.text(255),
      request_id: nullable(columns.text(128)),
      action: columns.text(64),
      subject_kind: columns.text(40),
      subject_id: columns.text(255),
      detail: columns.json(),
    },
    indices: [{ name: 'pub_audit_log_at', columns: ['at'] }],
  };
}
