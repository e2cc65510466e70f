import { EventListenerHost, type EventListenerHostOptions } from '../../src/plugins/host.js';
import { httpTransport } from '../../src/plugins/http-transport.js';
import { LogRecord } from '../log-record.js';
import { APP_KEY, type FakeCentre } from './fake-centre.js';

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
