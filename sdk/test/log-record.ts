import type { LogFields, SdkLog } from '../src/log.js';

/** What was told to a log. */
export class LogRecord implements SdkLog {
  readonly entries: { level: string; name: string; fields: LogFields }[] = [];

  info(name: string, fields: LogFields = {}): void {
    this.entries.push({ level: 'info', name, fields });
  }

  warn(name: string, fields: LogFields = {}): void {
    this.entries.push({ level: 'warn', name, fields });
  }

  error(name: string, fields: LogFields = {}): void {
    this.entries.push({ level: 'error', name, fields });
  }

  named(name: string): LogFields[] {
    return this.entries.filter((entry) => entry.name === name).map(({ fields }) => fields);
  }
}
