import type { SqlRow } from '../sql/answer.js';
import { listOfPlaces } from '../sql/places.js';
import type { SqlValue, Statements } from '../sql/statements.js';

export interface ClaimOptions {
  table: string;
  /** Whose claim it is; new for each batch. */
  token: string;
  /** At most so many events, about. */
  batchSize: number;
  now: number;
  until: number;
  /** Whether a dead event holds back the later ones of its aggregate. */
  deadBlocks: boolean;
  /** Clause that locks what is read and skips what others have locked; empty where there is none. */
  lock: string;
  /** Hint for the index by aggregate; empty where none is needed. */
  hint: string;
}

/** Events to be sent one after another: those of one aggregate, or a single one without. */
export type Run = SqlRow[];

/**
 * Claims due events until `until`. Nobody else claims them before then, and each run begins with the first event of
 * its aggregate that is not published, without a gap. With `lock`, `statements` must be one transaction; without, each
 * statement may stand alone, because the claiming one asks again for all that it depends on.
 */
export async function claim(statements: Statements, options: ClaimOptions): Promise<Run[]> {
  const heads = await readHeads(statements, options);
  if (heads.length === 0) return [];
  const planned = await planRuns(statements, options, heads);
  const ids = planned.flat();
  if (ids.length === 0) return [];
  const { table, token, now, until } = options;
  await statements.run(
    `UPDATE ${table} SET claimed_by = ?, claimed_until = ? WHERE id IN (${listOfPlaces(ids)}) AND state = 'pending' ` +
      `AND next_attempt_at <= ? AND claimed_until <= ?`,
    [token, until, ...ids, now, now],
  );
  const rows = await statements.rows(`SELECT * FROM ${table} WHERE claimed_by = ? ORDER BY id`, [token]);
  const claimed = new Map(rows.map((row) => [idOf(row), row]));
  const runs = planned.map((run) => beginning(run, claimed)).filter((run) => run.length > 0);
  await giveBackRest(statements, options, { runs, claimed: [...claimed.keys()] });
  return runs;
}

/** The id as it goes back into a statement: drivers give large numbers as text. */
export function idOf(row: SqlRow): string {
  return String(row['id']);
}

interface Head {
  id: string;
  aggregate: string | null;
}

/** Due events that nobody holds and before which none of their aggregate is to be sent, the oldest first. */
async function readHeads(statements: Statements, options: ClaimOptions): Promise<Head[]> {
  const { table, now, batchSize, lock, hint } = options;
  const unsent = options.deadBlocks ? `IN ('pending', 'dead')` : `= 'pending'`;
  const rows = await statements.rows(
    `SELECT o.id, o.aggregate_key FROM ${table} o WHERE o.state = 'pending' AND o.next_attempt_at <= ? ` +
      `AND o.claimed_until <= ? AND NOT EXISTS (SELECT 1 FROM ${table} e ${hint} WHERE e.aggregate_key = o.aggregate_key ` +
      `AND e.state ${unsent} AND e.id < o.id) ORDER BY o.id LIMIT ${batchSize} ${lock}`,
    [now, now],
  );
  return rows.map((row) => ({ id: idOf(row), aggregate: row['aggregate_key'] as string | null }));
}

/**
 * The runs that begin with the heads. What is read here begins after the heads were read, so it shows a transaction
 * whole that was committed in the middle of that; a later event of it may have looked like a head.
 */
async function planRuns(statements: Statements, options: ClaimOptions, heads: Head[]): Promise<string[][]> {
  const single = heads.filter((head) => head.aggregate === null).map((head) => [head.id]);
  const ids = new Set(heads.map((head) => head.id));
  const aggregates = [...new Set(heads.flatMap((head) => head.aggregate ?? []))];
  if (aggregates.length === 0) return single;
  const rows = await readUnsent(statements, options, aggregates);
  const runs = aggregates.map((aggregate) => {
    const unsent = rows.filter((row) => row['aggregate_key'] === aggregate);
    const first = unsent[0];
    if (first === undefined || !ids.has(idOf(first))) return [];
    const end = unsent.findIndex((row) => !isFree(row, options.now));
    return unsent.slice(0, end === -1 ? unsent.length : end).map(idOf);
  });
  return [...single, ...runs.filter((run) => run.length > 0)];
}

/** The first events of each aggregate that are not published, in the order of writing. */
async function readUnsent(statements: Statements, options: ClaimOptions, aggregates: string[]): Promise<SqlRow[]> {
  const each = Math.max(1, Math.floor(options.batchSize / aggregates.length));
  const columns = 'id, aggregate_key, state, next_attempt_at, claimed_until';
  const values: SqlValue[] = [];
  const parts = aggregates.flatMap((aggregate) =>
    (options.deadBlocks ? ['pending', 'dead'] : ['pending']).map((state) => {
      values.push(aggregate);
      const first = `WHERE aggregate_key = ? AND state = '${state}' ORDER BY id LIMIT ${each}`;
      return `SELECT * FROM (SELECT ${columns} FROM ${options.table} ${first}) part`;
    }),
  );
  return statements.rows(`${parts.join(' UNION ALL ')} ORDER BY id`, values);
}

function isFree(row: SqlRow, now: number): boolean {
  return row['state'] === 'pending' && Number(row['next_attempt_at']) <= now && Number(row['claimed_until']) <= now;
}

function beginning(run: string[], claimed: Map<string, SqlRow>): SqlRow[] {
  const end = run.findIndex((id) => !claimed.has(id));
  return run.slice(0, end === -1 ? run.length : end).map((id) => claimed.get(id) as SqlRow);
}

async function giveBackRest(
  statements: Statements,
  options: ClaimOptions,
  have: { runs: Run[]; claimed: string[] },
): Promise<void> {
  const kept = new Set(have.runs.flat().map(idOf));
  const rest = have.claimed.filter((id) => !kept.has(id));
  if (rest.length === 0) return;
  await statements.run(
    `UPDATE ${options.table} SET claimed_by = NULL, claimed_until = 0 WHERE claimed_by = ? AND id IN (${listOfPlaces(rest)})`,
    [options.token, ...rest],
  );
}
