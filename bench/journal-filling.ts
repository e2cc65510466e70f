/** Fills a centre's journal with millions of rows, as weeks of work would have left them, by bulk inserts in MariaDB. */
import mysql from 'mysql2/promise';

/** Who is told of which event type; ids as the registry gave them. */
export interface FilledListener {
  listenerId: string;
  nodeCode: string;
  operIndex: number;
  eventTypeId: string;
  sourceId: string;
  eventType: string;
}

export interface Filling {
  /** Events; there is about one delivery for each. */
  rows: number;
  /** The newest event's time of acceptance; the oldest is `SPAN_MS` before it. */
  now: number;
  listeners: FilledListener[];
}

/** How many rows of each table there are afterwards, and how long it took. */
export interface Filled {
  seconds: number;
  rows: Record<string, number>;
}

/** Shorter than events are kept by default, so that nothing is deleted meanwhile. */
export const SPAN_MS = 29 * 24 * 3_600_000;
/** Every tenth event or so belongs to the first tenant, and ever fewer to the others; these few are all old. */
export const RARE_TENANT = 'TENANT-RARE';
const TENANTS = 50;
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const STEP_ROWS = 250_000;
const TABLES = [
  'pub_event',
  'pub_event_delivery',
  'pub_event_attempt',
  'pub_event_failure',
  'pub_event_chain',
  'pub_audit_log',
];

/** A number of 0 to 999 that belongs to an event, another one for each name. */
function chance(name: string): string {
  return `(CRC32(CONCAT('${name}', seq)) % 1000)`;
}

/** The state of an event, by its chance and its age; what is young may still be under way. */
function stateOf(now: number): string {
  return `CASE WHEN fate < 30 THEN 'no-listener'
    WHEN fate < 31 AND at > ${now - DAY_MS} THEN 'scheduled'
    WHEN at > ${now - 2 * MINUTE_MS} THEN 'pending'
    WHEN fate < 60 AND at > ${now - DAY_MS} THEN 'retrying'
    WHEN fate < 60 THEN 'failed'
    WHEN fate < 65 THEN 'skipped'
    ELSE 'succeeded' END`;
}

/** Fills the tables, which the migrations have made and which are empty. The database must be MariaDB. */
export async function fillJournal(databaseUrl: string, filling: Filling): Promise<Filled> {
  const connection = await mysql.createConnection({ uri: databaseUrl });
  const begunAt = performance.now();
  try {
    const types = await nameListeners(connection, filling.listeners);
    const indices = await dropIndices(connection);
    for (const statement of statements(filling, types)) await connection.query(statement);
    for (const statement of indices) await connection.query(statement);
    const rows: Record<string, number> = {};
    for (const table of TABLES) {
      await connection.query(`ANALYZE TABLE ${table}`);
      const [[counted]] = await connection.query<mysql.RowDataPacket[]>(`SELECT COUNT(*) AS n FROM ${table}`);
      rows[table] = Number(counted?.['n']);
    }
    return { seconds: Math.round((performance.now() - begunAt) / 1000), rows };
  } finally {
    await connection.end();
  }
}

/** Small tables to join with: the types by number, and their listeners. Returns the number of types. */
async function nameListeners(connection: mysql.Connection, listeners: FilledListener[]): Promise<number> {
  const types = [...new Map(listeners.map((one) => [one.eventTypeId, one])).values()];
  await connection.query(
    `CREATE TEMPORARY TABLE bench_type (type_index INT PRIMARY KEY, event_type_id BINARY(16), sourceid VARCHAR(40),
      eventtype VARCHAR(40)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
  );
  await connection.query('INSERT INTO bench_type VALUES ?', [
    types.map((one, index) => [index, bytesOf(one.eventTypeId), one.sourceId, one.eventType]),
  ]);
  await connection.query(
    `CREATE TEMPORARY TABLE bench_listener (event_type_id BINARY(16), listener_id BINARY(16), node_code VARCHAR(40),
      oper_index INT, is_first BOOLEAN, KEY (event_type_id)) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin`,
  );
  const seen = new Set<string>();
  const rows = listeners.map((one) => {
    const isFirst = !seen.has(one.eventTypeId);
    seen.add(one.eventTypeId);
    return [bytesOf(one.eventTypeId), bytesOf(one.listenerId), one.nodeCode, one.operIndex, isFirst];
  });
  await connection.query('INSERT INTO bench_listener VALUES ?', [rows]);
  return types.length;
}

/** Events by number in steps, so that no transaction grows without bound. */
function eventStatements({ rows, now }: Filling, types: number): string[] {
  const at = `${now - SPAN_MS} + FLOOR(seq * ${SPAN_MS / rows})`;
  const statements: string[] = [];
  for (let first = 1; first <= rows; first += STEP_ROWS) {
    statements.push(`INSERT INTO pub_event (event_id, app_id, event_type_id, sourceid, eventtype, tenant_code,
        user_object, accepted_at, registry_version, state)
      SELECT STRAIGHT_JOIN UNHEX(CONCAT(LPAD(HEX(at), 12, '0'), '7', LEFT(hash, 3), 'A', SUBSTR(hash, 5, 15))),
        t.sourceid, t.event_type_id, t.sourceid, t.eventtype, tenant,
        CONCAT('{"number":', seq, ',"filling":"${'x'.repeat(200)}"}'), at, 1, ${stateOf(now)}
      FROM (SELECT seq, ${at} AS at, MD5(seq) AS hash, ${chance('fate')} AS fate,
          FLOOR(${types} * POW(${chance('type')} / 1000, 3)) AS type_index,
          IF(seq <= 5, '${RARE_TENANT}', IF(${chance('none')} < 200, NULL,
            CONCAT('TENANT-', FLOOR(${TENANTS} * POW(${chance('tenant')} / 1000, 2))))) AS tenant
        FROM seq_${first}_to_${Math.min(rows, first + STEP_ROWS - 1)}) e
      JOIN bench_type t ON t.type_index = e.type_index`);
  }
  return statements;
}

/** The first listener of a type shares the fate of the event; the others succeed where it failed. */
function deliveryStatements({ rows, now }: Filling): string[] {
  const statements: string[] = [];
  const stepMs = Math.ceil((SPAN_MS / rows) * STEP_ROWS);
  for (let from = now - SPAN_MS; from <= now; from += stepMs) {
    statements.push(`INSERT INTO pub_event_delivery (event_id, listener_id, node_code, oper_index, state, generation,
        attempts, last_status, last_error, last_response, last_outcome_id, last_started_at, last_duration_ms,
        last_generation, last_attempt, last_sequence, next_attempt_at, expected_at, created_at, updated_at)
      SELECT event_id, listener_id, node_code, oper_index, state, 1, attempts,
        IF(state IN ('failed', 'retrying'), 500, 200), IF(state = 'failed', 'answered 500', NULL), '{"success":"true"}',
        UNHEX(MD5(CONCAT(event_id, listener_id))), at + 4, 3, 1, attempts, attempts,
        IF(state = 'retrying', at + ${DAY_MS}, NULL), IF(state IN ('pending', 'retrying'), at + ${DAY_MS}, NULL),
        at, at + 10
      FROM (SELECT *, CASE state WHEN 'failed' THEN 6 WHEN 'retrying' THEN 2 WHEN 'succeeded'
          THEN IF(CRC32(event_id) % 50 = 0, 2, 1) ELSE 0 END AS attempts
        FROM (SELECT STRAIGHT_JOIN e.event_id, e.accepted_at AS at, l.listener_id, l.node_code, l.oper_index,
            IF(l.is_first OR e.state NOT IN ('failed', 'retrying'), e.state, 'succeeded') AS state
          FROM pub_event e JOIN bench_listener l ON l.event_type_id = e.event_type_id
          WHERE e.event_id >= UNHEX(RPAD(LPAD(HEX(${from}), 12, '0'), 32, '0'))
            AND e.event_id < UNHEX(RPAD(LPAD(HEX(${from + stepMs}), 12, '0'), 32, '0'))
            AND e.state NOT IN ('no-listener', 'scheduled')) one) d`);
  }
  return statements;
}

/** Scheduled events wait for a time to come; their number is small. */
function scheduledStatement({ now }: Filling): string {
  return `UPDATE pub_event SET deliver_at = ${now + DAY_MS}, release_at = ${now + DAY_MS} WHERE state = 'scheduled'`;
}

function statements(filling: Filling, types: number): string[] {
  return [
    ...eventStatements(filling, types),
    scheduledStatement(filling),
    ...deliveryStatements(filling),
    ...fromDeliveries(),
    ...besides(filling),
  ];
}

/** Drops the tables' secondary indices and returns the statements that make them again: sorting once is faster. */
async function dropIndices(connection: mysql.Connection): Promise<string[]> {
  const add: string[] = [];
  for (const table of TABLES) {
    const [rows] = await connection.query<mysql.RowDataPacket[]>(
      `SELECT INDEX_NAME AS name, NON_UNIQUE AS repeats, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) AS columns
        FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND INDEX_NAME <> 'PRIMARY'
        GROUP BY INDEX_NAME, NON_UNIQUE`,
      [table],
    );
    if (rows.length === 0) continue;
    const kind = (repeats: number): string => (repeats === 0 ? 'UNIQUE INDEX' : 'INDEX');
    await connection.query(`ALTER TABLE ${table} ${rows.map((row) => `DROP INDEX ${row['name']}`).join(', ')}`);
    const made = rows.map((row) => `ADD ${kind(Number(row['repeats']))} ${row['name']} (${row['columns']})`);
    add.push(`ALTER TABLE ${table} ${made.join(', ')}`);
  }
  return add;
}

/** What follows from the deliveries: the failure log, the attempts that were not a first success, the chains. */
function fromDeliveries(): string[] {
  return [
    `INSERT INTO pub_event_failure (id, kind, event_id, listener_id, node_code, generation, attempts, reason,
        last_status, last_error, last_response, failed_at)
      SELECT UNHEX(CONCAT(LPAD(HEX(created_at + 3000000), 12, '0'), '7', LEFT(MD5(event_id), 3), 'A',
        SUBSTR(MD5(CONCAT(event_id, listener_id)), 5, 15))), 'delivery', event_id, listener_id, node_code, 1, attempts,
        'all attempts failed', 500, 'answered 500', '{"success":"false"}', created_at + 3000000
      FROM pub_event_delivery WHERE state = 'failed'`,
    `INSERT INTO pub_event_attempt (event_id, listener_id, outcome_id, attempt, generation, state, started_at,
        duration_ms, status, error, response)
      SELECT d.event_id, d.listener_id, UNHEX(MD5(CONCAT(d.event_id, d.listener_id, n.seq))), n.seq, 1,
        IF(n.seq < d.attempts, 'retrying', d.state), d.created_at + n.seq * 5000, 7,
        IF(n.seq < d.attempts OR d.state = 'failed', 500, 200), IF(n.seq < d.attempts, 'answered 500', NULL),
        '{"success":"false"}'
      FROM pub_event_delivery d JOIN seq_1_to_6 n ON n.seq <= d.attempts WHERE d.attempts > 1`,
    // Two listeners of a node share their chain.
    `INSERT IGNORE INTO pub_event_chain (event_id, node_code, generation, sequence, message_id, updated_at)
      SELECT event_id, node_code, 1, attempts - 1, NULL, updated_at FROM pub_event_delivery WHERE attempts > 1`,
  ];
}

/** Unreadable messages, and a row of the audit log for each fifty events. */
function besides({ rows, now }: Filling): string[] {
  const uuid = (at: string): string => `UNHEX(CONCAT(LPAD(HEX(${at}), 12, '0'), '7000A', LEFT(MD5(seq), 15)))`;
  const unreadable = Math.max(1, Math.round(rows / 5_000));
  const audited = Math.max(1, Math.round(rows / 50));
  const at = (count: number): string => `${now - SPAN_MS} + FLOOR(seq * ${SPAN_MS / count})`;
  return [
    `INSERT INTO pub_event_failure (id, kind, reason, raw, raw_headers, failed_at)
      SELECT ${uuid(at(unreadable))}, 'unreadable', 'no JSON', 'e30=', '{}', ${at(unreadable)} FROM seq_1_to_${unreadable}`,
    `INSERT INTO pub_audit_log (id, at, actor, request_id, action, subject_kind, subject_id, detail)
      SELECT ${uuid(at(audited))}, ${at(audited)}, CONCAT('operator-', seq % 7), NULL, 'delivery.retry', 'delivery', seq,
        '{}' FROM seq_1_to_${audited}`,
  ];
}

function bytesOf(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}
