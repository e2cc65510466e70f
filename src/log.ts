import winston from 'winston';
import type { Log } from './core/ports.js';

/**
 * A JSON line per happening on standard error, so that standard output stays for the ready line.
 * `fields` are written as they are; callers keep secrets and payloads out.
 */
export function createLog(level: string): Log {
  const logger = winston.createLogger({
    level,
    levels: winston.config.npm.levels,
    format: winston.format.combine(
      winston.format.timestamp(),
      winston.format.errors({ stack: true }),
      winston.format.json(),
    ),
    transports: [new winston.transports.Console({ stderrLevels: Object.keys(winston.config.npm.levels) })],
  });
  const write =
    (at: 'debug' | 'info' | 'warn' | 'error') =>
    (event: string, fields: Record<string, unknown> = {}): void => {
      if (logger.isLevelEnabled(at)) logger.log(at, event, describeErrors(fields));
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** Errors become text: name, code and message, and the cause's message. */
function describeErrors(fields: Record<string, unknown>): Record<string, unknown> {
  const described: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    described[name] = value instanceof Error ? describeError(value) : value;
  }
  return described;
}

function describeError(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? ` [${error.code}]` : '';
  const cause = error.cause instanceof Error ? `; cause: ${describeError(error.cause)}` : '';
  return `${error.name}${code}: ${error.message}${cause}`;
}
