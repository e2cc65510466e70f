import type { SqlTable } from '../sql/table.js';

/** The table's name unless another is given. */
export const DEAD_EVENT_TABLE = 'event_center_dead_event';

/** The statement that makes the table; it does nothing when it is there. */
export function deadEventTableSql({ dialect, table }: SqlTable): string[] {
  const longText = dialect === 'mysql' ? 'LONGTEXT' : 'TEXT';
  // Ids compare byte by byte, as they do everywhere else.
  const id = dialect === 'mysql' ? 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ' : '';
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (scope VARCHAR(100) ${id}NOT NULL, event_id VARCHAR(100) ${id}NOT NULL, ` +
      `event ${longText} NOT NULL, reason ${longText} NOT NULL, died_at BIGINT NOT NULL, PRIMARY KEY (scope, event_id))` +
      (dialect === 'mysql' ? ' DEFAULT CHARACTER SET utf8mb4' : ''),
  ];
}
