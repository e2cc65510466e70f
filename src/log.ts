import { configure } from 'safe-stable-stringify';
import winston from 'winston';
import Transport from 'winston-transport';
import type { Log } from './core/ports.js';

type Level = 'debug' | 'info' | 'warn' | 'error';

/** JSON of anything, a circle or a bigint too; winston's own format sets this up anew for every line. */
const jsonOf = configure({ deterministic: false });

/** Where winston's formats leave the text of a line. */
const TEXT = Symbol.for('message');

/**
 * A JSON line per happening on standard error, so that standard output stays for the ready line.
 * `fields` are written as they are, beside `timestamp`, `level` and `message`; callers keep secrets and payloads out.
 */
export function createLog(level: string): Log {
  const logger = winston.createLogger({
    level,
    levels: winston.config.npm.levels,
    format: winston.format.printf((line) => jsonOf(line)),
    transports: [new StandardError()],
  });
  const write =
    (at: Level) =>
    (event: string, fields: Record<string, unknown> = {}): void => {
      if (!logger.isLevelEnabled(at)) return;
      const line: winston.LogEntry = { timestamp: new Date().toISOString(), level: at, message: event };
      for (const [name, value] of Object.entries(fields)) {
        line[name] = value instanceof Error ? describeError(value) : value;
      }
      logger.log(line);
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/**
 * Writes the lines of one turn of the event loop together, because a write of its own costs as much as a line: there are
 * two for each event. One that somebody may have to act on goes out at once, with those that wait.
 */
class StandardError extends Transport {
  #waiting = '';

  constructor() {
    super();
    process.once('exit', () => {
      this.#write();
    });
  }

  override log(line: winston.LogEntry & { [TEXT]: string }, next: () => void): void {
    if (this.#waiting === '') setImmediate(() => this.#write());
    this.#waiting += `${line[TEXT]}\n`;
    if (line.level === 'warn' || line.level === 'error') this.#write();
    next();
  }

  #write(): void {
    const text = this.#waiting;
    this.#waiting = '';
    if (text !== '') process.stderr.write(text);
  }
}

/** Errors become text: name, code and message, and the cause's message. */
function describeError(error: Error): string {
  const code = 'code' in error && typeof error.code === 'string' ? ` [${error.code}]` : '';
  const cause = error.cause instanceof Error ? `; cause: ${describeError(error.cause)}` : '';
  return `${error.name}${code}: ${error.message}${cause}`;
}
