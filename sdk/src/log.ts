/** Facts beside an entry's name; never secrets or payloads. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Where a part of this package tells what it sees, one entry per happening: names are dotted and in the past tense.
 * `error` means that a person must act. `console` fits, and so do the loggers that take a text and an object.
 */
export interface SdkLog {
  info(name: string, fields?: LogFields): void;
  warn(name: string, fields?: LogFields): void;
  error(name: string, fields?: LogFields): void;
}

/** Says nothing. */
export const noLog: SdkLog = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Warnings and errors as one line of JSON each on standard error; nothing else. */
export const standardErrorLog: SdkLog = {
  info: () => undefined,
  warn: (name, fields) => write('warn', name, fields),
  error: (name, fields) => write('error', name, fields),
};

function write(level: string, name: string, fields: LogFields = {}): void {
  const time = new Date().toISOString();
  process.stderr.write(`${JSON.stringify({ time, level, message: name, ...fields })}\n`);
}
