import type { SpokenDialect } from './dialect.js';

/** A statement with `?` in the place of each value, as the dialect's drivers take it: PostgreSQL numbers its places. */
export function placesFor(dialect: SpokenDialect, sql: string): string {
  if (dialect !== 'postgres') return sql;
  let place = 0;
  return sql.replace(/\?/g, () => `$${String((place += 1))}`);
}

/** `?,?,?` for a list of values. */
export function listOfPlaces(values: readonly unknown[]): string {
  return values.map(() => '?').join(',');
}
