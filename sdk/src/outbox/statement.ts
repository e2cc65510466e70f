/** The databases that the outbox speaks to; MariaDB is `mysql`. */
export type OutboxDialect = 'mysql' | 'sqlite' | 'postgres';

export type SqlValue = string | number | null;
export type SqlRow = Record<string, unknown>;

/** One statement with `?` in the place of each value. */
export interface Statement {
  sql: string;
  values: SqlValue[];
}

/** The text as the dialect's drivers take it: PostgreSQL numbers its places. */
export function sqlFor(dialect: OutboxDialect, sql: string): string {
  if (dialect !== 'postgres') return sql;
  let place = 0;
  return sql.replace(/\?/g, () => `$${(place += 1)}`);
}

/** `?,?,?` for a list of values. */
export function places(values: readonly unknown[]): string {
  return values.map(() => '?').join(',');
}
