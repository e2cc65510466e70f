import type { SqlTable } from '../sql/table.js';

/** The table's name unless another is given. */
export const INBOX_TABLE = 'event_center_inbox';

/** The statements that make the table and its index; they do nothing when it is there. It takes some 150 bytes per event. */
export function inboxTableSql({ dialect, table }: SqlTable): string[] {
  const index = `${table.replace('.', '_')}_done_at`;
  const columns = [
    `event_id VARCHAR(64) NOT NULL`,
    `listener_id VARCHAR(64) NOT NULL`,
    `claim_token VARCHAR(36) NOT NULL`,
    `claimed_until BIGINT NOT NULL`,
    `done_at BIGINT NULL`,
    `PRIMARY KEY (event_id, listener_id)`,
    ...(dialect === 'mysql' ? [`KEY ${index} (done_at)`] : []),
  ];
  const create = `CREATE TABLE IF NOT EXISTS ${table} (${columns.join(', ')})`;
  if (dialect === 'mysql') return [`${create} ENGINE=InnoDB DEFAULT CHARACTER SET ascii COLLATE ascii_bin`];
  return [create, `CREATE INDEX IF NOT EXISTS ${index} ON ${table} (done_at)`];
}
