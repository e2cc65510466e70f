import type { SpokenDialect } from '../sql/dialect.js';
import type { SqlTable } from '../sql/table.js';

/** The table's name unless another is given. */
export const OUTBOX_TABLE = 'event_outbox';

/**
 * The statements that make the table and its indexes; they do nothing when it is there. Times are milliseconds since
 * the epoch in BIGINT columns. `id` is the order of writing; `claimed_until` is 0 for an event that no relay holds.
 */
export function outboxTableSql({ dialect, table }: SqlTable): string[] {
  const name = table.replace('.', '_');
  const columns = [...columnsFor(dialect)];
  if (dialect === 'mysql') {
    const keys = [
      `UNIQUE KEY ${name}_uuid (uuid)`,
      `KEY ${name}_state (state, id)`,
      `KEY ${name}_order (aggregate_key, state, id)`,
      `KEY ${name}_claim (claimed_by)`,
      `KEY ${name}_age (state, published_at)`,
    ];
    // utf8mb4_bin: keys and aggregates are compared as they are, whatever the database's own collation.
    const end = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin';
    return [`CREATE TABLE IF NOT EXISTS ${table} (\n  ${[...columns, ...keys].join(',\n  ')}\n) ${end}`];
  }
  const index = (suffix: string, on: string): string =>
    `CREATE INDEX IF NOT EXISTS ${name}_${suffix} ON ${table} (${on})`;
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (\n  ${[...columns, 'UNIQUE (uuid)'].join(',\n  ')}\n)`,
    index('state', 'state, id'),
    index('order', 'aggregate_key, state, id'),
    index('claim', 'claimed_by'),
    index('age', 'state, published_at'),
  ];
}

/**
 * What makes MySQL and MariaDB look for the earlier events of an aggregate by the index that has them side by side; by
 * themselves they may read all that is pending for each row.
 */
export function orderIndexHint({ dialect, table }: SqlTable): string {
  return dialect === 'mysql' ? `FORCE INDEX (${table.replace('.', '_')}_order)` : '';
}

const ID: Record<SpokenDialect, string> = {
  mysql: 'id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY',
  // AUTOINCREMENT: an id is never given a second time, so that a new event never comes before an old one.
  sqlite: 'id INTEGER PRIMARY KEY AUTOINCREMENT',
  postgres: 'id BIGSERIAL PRIMARY KEY',
};

function columnsFor(dialect: SpokenDialect): string[] {
  return [
    ID[dialect],
    'uuid VARCHAR(128) NOT NULL',
    'source_id VARCHAR(40) NOT NULL',
    'event_type VARCHAR(40) NOT NULL',
    'tenant_code VARCHAR(40) NULL',
    `user_object ${dialect === 'mysql' ? 'LONGTEXT' : 'TEXT'} NULL`,
    'aggregate_key VARCHAR(190) NULL',
    'deliver_at BIGINT NULL',
    'traceparent VARCHAR(128) NULL',
    'state VARCHAR(10) NOT NULL',
    'attempts INTEGER NOT NULL',
    'next_attempt_at BIGINT NOT NULL',
    'claimed_by VARCHAR(36) NULL',
    'claimed_until BIGINT NOT NULL',
    'last_code VARCHAR(64) NULL',
    'last_error VARCHAR(1000) NULL',
    'event_id VARCHAR(64) NULL',
    'created_at BIGINT NOT NULL',
    'published_at BIGINT NULL',
    'died_at BIGINT NULL',
    'consumed_at BIGINT NULL',
  ];
}
