import { EventListenerHost, type EventListenerHostOptions } from '../../src/plugins/host.js';
import { httpTransport } from '../../src/plugins/http-transport.js';
import type { HostLog, LogFields } from '../../src/plugins/log.js';
import { APP_KEY, type FakeCentre } from './fake-centre.js';

/** What a host told, by name. */
export class LogRecord implements HostLog {
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

/** A host of the node `SHOP`, which takes events by HTTP. */
export function hostOf(centre: FakeCentre, options: Partial<EventListenerHostOptions>): EventListenerHost {
  return new EventListenerHost({
    baseUrl: centre.url,
    appId: 'SHOP',
    appKey: APP_KEY,
    transport: httpTransport({ waitMs: 200, idleRetryMs: 5 }),
    log: new LogRecord(),
    refreshMs: 100,
    ...options,
  });
}
