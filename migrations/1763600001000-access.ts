import type { MigrationInterface, QueryRunner } from 'typeorm';
import { columnsOf, nullable, primary, tableOf, type Columns, type TableShape } from '../src/store/columns.js';

/** Idempotency keys, API tokens and the audit log. */
export class Access1763600001000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const shape of shapes(columnsOf(queryRunner))) await queryRunner.createTable(tableOf(shape), true);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    for (const shape of shapes(columnsOf(queryRunner)).reverse()) await queryRunner.dropTable(shape.name);
  }
}

function shapes(columns: Columns): TableShape[] {
  return [idempotencyTable(columns), tokenTable(columns), auditTable(columns)];
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
