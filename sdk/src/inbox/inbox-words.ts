import type { SpokenDialect } from '../sql/dialect.js';

/** What the databases say differently. */
export interface InboxWords {
  /** Around an insert that leaves an existing row alone. */
  insert: string;
  onConflict: string;
  /** The database's own clock in milliseconds since the epoch, so that clocks of processes need not agree. */
  nowMs: string;
}

export const INBOX_WORDS: Record<SpokenDialect, InboxWords> = {
  mysql: {
    insert: 'INSERT IGNORE INTO',
    onConflict: '',
    // By UTC, because the session's time zone may have an hour twice.
    nowMs: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
  },
  sqlite: {
    insert: 'INSERT INTO',
    onConflict: ' ON CONFLICT DO NOTHING',
    nowMs: `CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`,
  },
  postgres: {
    insert: 'INSERT INTO',
    onConflict: ' ON CONFLICT DO NOTHING',
    nowMs: 'CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)',
  },
};
