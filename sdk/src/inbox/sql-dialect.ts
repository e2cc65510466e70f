import { InvalidOptionError } from '../errors.js';

/** Databases that a SqlInbox speaks to. */
export type InboxDialect = 'mysql' | 'mariadb' | 'sqlite' | 'postgres';

/** What the databases say differently. */
export interface DialectWords {
  /** Around an insert that leaves an existing row alone. */
  insert: string;
  onConflict: string;
  /** The database's own clock in milliseconds since the epoch, so that clocks of processes need not agree. */
  nowMs: string;
  /** Placeholder of a parameter by its 1-based number. */
  placeholder: (number: number) => string;
}

const MYSQL: DialectWords = {
  insert: 'INSERT IGNORE INTO',
  onConflict: '',
  // By UTC, because the session's time zone may have an hour twice.
  nowMs: "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
  placeholder: () => '?',
};

const WORDS: Record<InboxDialect, DialectWords> = {
  mysql: MYSQL,
  mariadb: MYSQL,
  sqlite: {
    insert: 'INSERT INTO',
    onConflict: ' ON CONFLICT DO NOTHING',
    nowMs: `CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`,
    placeholder: () => '?',
  },
  postgres: {
    insert: 'INSERT INTO',
    onConflict: ' ON CONFLICT DO NOTHING',
    nowMs: 'CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)',
    placeholder: (number) => `$${String(number)}`,
  },
};

/** @throws InvalidOptionError for a database that nobody here knows. */
export function wordsOf(dialect: InboxDialect): DialectWords {
  if (!Object.hasOwn(WORDS, dialect)) {
    throw new InvalidOptionError('dialect', `expected one of ${Object.keys(WORDS).join(', ')}`);
  }
  return WORDS[dialect];
}

/** @throws InvalidOptionError for a name that would have to be quoted. */
export function checkTable(table: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,47}(?:\.[A-Za-z_][A-Za-z0-9_]{0,47})?$/.test(table)) {
    throw new InvalidOptionError('table', 'expected letters, digits and _, with a schema before a dot if wanted');
  }
  return table;
}

/** The table's name unless another is given. */
export const DEFAULT_TABLE = 'event_center_inbox';

/**
 * The statements that make a SqlInbox's table when it is not there, for a migration. It takes some 150 bytes per event;
 * `SqlInbox.forgetBefore` removes old rows.
 * @throws InvalidOptionError naming the argument.
 */
export function inboxTableSql(dialect: InboxDialect, table: string = DEFAULT_TABLE): string[] {
  wordsOf(dialect);
  const name = checkTable(table);
  const index = `${name.replace('.', '_')}_done_at`;
  const isMysql = dialect === 'mysql' || dialect === 'mariadb';
  const columns = [
    `event_id VARCHAR(64) NOT NULL`,
    `listener_id VARCHAR(64) NOT NULL`,
    `claim_token VARCHAR(36) NOT NULL`,
    `claimed_until BIGINT NOT NULL`,
    `done_at BIGINT NULL`,
    `PRIMARY KEY (event_id, listener_id)`,
    ...(isMysql ? [`KEY ${index} (done_at)`] : []),
  ];
  const create = `CREATE TABLE IF NOT EXISTS ${name} (${columns.join(', ')})`;
  if (isMysql) return [`${create} ENGINE=InnoDB DEFAULT CHARACTER SET ascii COLLATE ascii_bin`];
  return [create, `CREATE INDEX IF NOT EXISTS ${index} ON ${name} (done_at)`];
}
