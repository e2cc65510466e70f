export type SqlRow = Record<string, unknown>;

/**
 * Rows of a SELECT: TypeORM answers the rows, mysql2 `[rows, fields]`, pg `{ rows }`.
 * @throws Error when the answer is none of those.
 */
export function rowsOf(answer: unknown): SqlRow[] {
  if (Array.isArray(answer)) return (Array.isArray(answer[0]) ? answer[0] : answer) as SqlRow[];
  const rows = (answer as { rows?: unknown } | null | undefined)?.rows;
  if (Array.isArray(rows)) return rows as SqlRow[];
  throw new Error('expected rows from the executor, found something else');
}

/**
 * How many rows a statement changed: mysql2 answers `[{ affectedRows }, fields]`, TypeORM `{ affectedRows }` or for
 * PostgreSQL `[rows, how many]`, pg `{ rowCount }`.
 */
export function changedBy(answer: unknown): number {
  const [first, second] = (Array.isArray(answer) ? answer : [answer]) as unknown[];
  if (typeof second === 'number') return second;
  const { affectedRows, rowCount } = (first ?? {}) as { affectedRows?: unknown; rowCount?: unknown };
  return Number(affectedRows ?? rowCount ?? 0);
}
