/** Facts beside an entry's name; never secrets or payloads. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where a host tells what it sees: names are dotted and in the past tense. `console` fits. */
export interface HostLog {
  info(name: string, fields?: LogFields): void;
  warn(name: string, fields?: LogFields): void;
  error(name: string, fields?: LogFields): void;
}

/** Warnings and errors as one line of JSON each on standard error; nothing else. */
export const standardErrorLog: HostLog = {
  info: () => undefined,
  warn: (name, fields) => write('warn', name, fields),
  error: (name, fields) => write('error', name, fields),
};

function write(level: string, name: string, fields: LogFields = {}): void {
  const time = new Date().toISOString();
  process.stderr.write(`${JSON.stringify({ time, level, message: name, ...fields })}\n`);
}
