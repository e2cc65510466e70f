import type { PagePosition } from './page-cursor.js';
import type { SqlValue } from './sql.js';

/** A page of rows, newest first by a time and, within it, by ids. */
export interface ListQuery {
  table: string;
  /** What stands behind the table's name: the indices that may be used, or nothing. */
  force: string;
  columns: string[];
  time: string;
  ids: string[];
  /** Columns that must have a value; undefined ones do not matter. */
  equal: Record<string, SqlValue | undefined>;
  /** At or after / before. */
  from: number | undefined;
  to: number | undefined;
  /** Only what comes after this place. */
  after: PagePosition | null;
  limit: number;
}

export interface Statement {
  sql: string;
  parameters: SqlValue[];
}

/** The list by one index: an equality, the time and the ids. */
export function newestFirst(query: ListQuery): Statement {
  const conditions: string[] = [];
  const parameters: SqlValue[] = [];
  const add = (condition: string, ...values: SqlValue[]): void => {
    conditions.push(condition);
    parameters.push(...values);
  };
  for (const [column, value] of Object.entries(query.equal)) if (value !== undefined) add(`${column} = ?`, value);
  if (query.from !== undefined) add(`${query.time} >= ?`, query.from);
  if (query.to !== undefined) add(`${query.time} < ?`, query.to);
  if (query.after !== null) addPlace(query, query.after, add);
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  return {
    sql: `SELECT ${query.columns.join(', ')} FROM ${query.table}${query.force}${where}${orderOf(query)} LIMIT ?`,
    parameters: [...parameters, query.limit],
  };
}

/**
 * The list put together from the lists of every value of a column, for filters whose index begins with that column:
 * reads at most `limit` rows of each.
 */
export function newestFirstOfEach(query: ListQuery, column: string, values: readonly string[]): Statement {
  const parts = values.map((value) => newestFirst({ ...query, equal: { ...query.equal, [column]: value } }));
  const union = parts.map(({ sql }, index) => `SELECT * FROM (${sql}) AS part${index}`).join(' UNION ALL ');
  return {
    sql: `SELECT * FROM (${union}) AS parts${orderOf(query)} LIMIT ?`,
    parameters: [...parts.flatMap(({ parameters }) => parameters), query.limit],
  };
}

/** The range on the time stands alone, because neither database finds a range in a comparison of several columns. */
function addPlace(
  { time, ids }: ListQuery,
  after: PagePosition,
  add: (condition: string, ...values: SqlValue[]) => void,
): void {
  add(`${time} <= ?`, after.time);
  const [id = '', ...others] = ids;
  const [idAfter = null, ...othersAfter] = after.ids;
  const [other] = others;
  if (other === undefined) add(`(${time} < ? OR ${id} < ?)`, after.time, idAfter);
  else {
    add(
      `(${time} < ? OR ${id} < ? OR (${id} = ? AND ${other} < ?))`,
      after.time,
      idAfter,
      idAfter,
      othersAfter[0] ?? null,
    );
  }
}

function orderOf({ time, ids }: ListQuery): string {
  return ` ORDER BY ${[time, ...ids].map((column) => `${column} DESC`).join(', ')}`;
}
