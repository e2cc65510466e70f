import { QueryFailedError } from 'typeorm';
import { EventCenterError } from '../core/errors.js';

/**
 * A row that the database refuses for its data: `duplicate` of a unique key, or a `value` that is too long, out of
 * range, missing or unreadable. Repeating does not help; the rest of a batch may be fine.
 */
export class RefusedRowError extends EventCenterError {
  readonly reason: 'duplicate' | 'value';

  constructor(reason: 'duplicate' | 'value', message: string) {
    super(reason === 'duplicate' ? 'CONFLICT' : 'INVALID_PARAM', message);
    this.name = 'RefusedRowError';
    this.reason = reason;
  }
}

/**
 * What a failed statement means. `lost`: the connection is gone or did not answer in time, its state is unknown.
 * `unavailable`: the database is there and cannot do it now. `repeat`: the whole transaction may be tried again.
 */
export type FailureKind = 'lost' | 'unavailable' | 'repeat' | 'duplicate' | 'value' | 'bug';

const CONNECTION_CODES = new Set([
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** MySQL and MariaDB error numbers (their error references); what is not listed is a bug of ours. */
const MYSQL_KINDS = new Map<number, FailureKind>([
  ...kind('repeat', [1205, 1213]), // lock wait time-out, deadlock
  // too many connections, access denied, no such database, server shutdown, connection killed, host blocked
  ...kind('lost', [1040, 1043, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 1226, 1927, 4031]),
  // disk or table full, storage engine, node not ready, read-only server, interrupted or timed-out statement
  // table or column that a migration has yet to make: a newer process may start before the migrations have run
  ...kind('unavailable', [1054, 1146]),
  ...kind('unavailable', [3, 1021, 1030, 1037, 1038, 1041, 1047, 1114, 1180, 1290, 1317, 1836, 1969, 3024]),
  ...kind('duplicate', [1062, 1169, 1586]),
  // NULL, out of range, truncated, wrong string or number, too long for the column or for a packet
  ...kind('value', [1048, 1118, 1153, 1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1411, 1690, 3140, 3988]),
  // a trigger's SIGNAL, a CHECK constraint (MySQL, MariaDB): rules of those who run the database
  ...kind('value', [1644, 3819, 4025]),
]);

/**
 * What a driver's error means (mysql2: `errno`, `code`, `fatal`; better-sqlite3: `code`).
 * Errors that come from no driver are bugs.
 */
export function classifyFailure(error: unknown): FailureKind {
  const driver = driverErrorOf(error);
  if (driver.code === 'SQLITE_ERROR') return /^no such (table|column)/.test(driver.message) ? 'unavailable' : 'bug';
  if (driver.code.startsWith('SQLITE_')) return classifySqlite(driver.code);
  if (CONNECTION_CODES.has(driver.code)) return 'lost';
  const known = MYSQL_KINDS.get(driver.errno);
  if (known !== undefined) return known;
  return driver.fatal ? 'lost' : 'bug';
}

function classifySqlite(code: string): FailureKind {
  if (code.startsWith('SQLITE_BUSY') || code.startsWith('SQLITE_LOCKED')) return 'repeat';
  if (code === 'SQLITE_CONSTRAINT_PRIMARYKEY' || code === 'SQLITE_CONSTRAINT_UNIQUE') return 'duplicate';
  if (code.startsWith('SQLITE_CONSTRAINT') || code === 'SQLITE_TOOBIG' || code === 'SQLITE_MISMATCH') return 'value';
  return /^SQLITE_(FULL|IOERR|CANTOPEN|READONLY|NOMEM|CORRUPT|NOTADB|PERM|PROTOCOL)/.test(code) ? 'unavailable' : 'bug';
}

/**
 * The error that leaves the store: UNAVAILABLE, RefusedRowError or INTERNAL. Statements and their parameters, which
 * can hold secrets and payloads, stay behind. Errors that no driver raised pass as they are.
 */
export function toStoreError(error: unknown): unknown {
  if (error instanceof EventCenterError) return error;
  const { code, message, isDriverError } = driverErrorOf(error);
  if (!isDriverError) return error;
  const failure = classifyFailure(error);
  if (failure === 'duplicate' || failure === 'value') {
    return new RefusedRowError(failure, `the database refused a row (${code}): ${message}`);
  }
  if (failure === 'bug') return new EventCenterError('INTERNAL', `a statement failed (${code}): ${message}`);
  return unavailable(`the database cannot do it now (${code}): ${message}`);
}

/** UNAVAILABLE with the usual advice to come back in a second. */
export function unavailable(message: string): EventCenterError {
  return new EventCenterError('UNAVAILABLE', message, { retryAfterSeconds: 1 });
}

function driverErrorOf(error: unknown): {
  code: string;
  errno: number;
  fatal: boolean;
  message: string;
  isDriverError: boolean;
} {
  const source: unknown = error instanceof QueryFailedError ? error.driverError : error;
  const fields = (typeof source === 'object' && source !== null ? source : {}) as Record<string, unknown>;
  const code = typeof fields['code'] === 'string' ? fields['code'] : '';
  return {
    code,
    errno: typeof fields['errno'] === 'number' ? fields['errno'] : 0,
    fatal: fields['fatal'] === true,
    message: typeof fields['message'] === 'string' ? fields['message'] : String(source),
    isDriverError: error instanceof QueryFailedError || code !== '' || fields['fatal'] === true,
  };
}

function kind(failure: FailureKind, numbers: number[]): [number, FailureKind][] {
  return numbers.map((number) => [number, failure]);
}
