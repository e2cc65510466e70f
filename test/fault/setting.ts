import { appendFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CentreClient } from '../support/centre-client.js';
import { ADMIN_TOKEN, startCentreProcess, type CentreProcess } from '../support/centre-process.js';
import { startOwnBroker, startOwnDatabase, type OwnBroker, type OwnService } from './own-services.js';
import type { ListenerName } from './ledger.js';
import { Receivers } from './receivers.js';

export const SOURCE_ID = 'PROOF';
export const EVENT_TYPE = 'NUMBERED';

/** Everything that a scenario runs in: services of its own, receivers, and the processes it starts. */
export class Setting {
  readonly broker: OwnBroker;
  readonly database: OwnService;
  readonly receivers: Receivers;
  readonly logFile: string;
  readonly #processes: CentreProcess[] = [];

  private constructor(broker: OwnBroker, database: OwnService, receivers: Receivers) {
    this.broker = broker;
    this.database = database;
    this.receivers = receivers;
    this.logFile = join(mkdtempSync(join(tmpdir(), 'event-center-run-')), 'centre.log');
  }

  static async open(): Promise<Setting> {
    const [broker, database] = await Promise.all([startOwnBroker(), startOwnDatabase()]);
    return new Setting(broker, database, await Receivers.start());
  }

  async startCentre(role: 'api' | 'worker' | 'all', environment: Record<string, string> = {}): Promise<CentreProcess> {
    const centre = await startCentreProcess({
      environment: {
        EVENT_CENTER_ROLE: role,
        EVENT_CENTER_BROKER_URL: this.broker.url,
        EVENT_CENTER_DATABASE_URL: this.database.url,
        EVENT_CENTER_LOG_LEVEL: 'info',
        ...environment,
      },
      logFile: this.logFile,
    });
    this.#processes.push(centre);
    return centre;
  }

  client(centre: CentreProcess): CentreClient {
    return new CentreClient(centre.url, ADMIN_TOKEN);
  }

  /** A mark in the centre's log, to read it by. */
  mark(text: string): void {
    appendFileSync(this.logFile, `---- ${text}\n`);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#processes.map((centre) => centre.stop()));
    await this.receivers.stop();
    await Promise.allSettled([this.broker.remove(), this.database.remove()]);
  }
}

export interface Registered {
  app: { appId: string; appKey: string };
  eventTypeId: string;
  listeners: (ListenerName & { id: string; operIndex: number })[];
}

/** Registers a sender, one event type, and `nodes` × `listenersPerNode` listeners at the receivers. */
export async function register(
  setting: Setting,
  client: CentreClient,
  shape: { nodes: number; listenersPerNode: number; listener?: object },
): Promise<Registered> {
  const sender = await client.must('POST', '/nodes', { nodeCode: 'SENDER' });
  const type = await client.must('POST', '/event-types', { sourceId: SOURCE_ID, eventTypeCode: EVENT_TYPE });
  const registered: Registered = {
    app: { appId: 'SENDER', appKey: sender.appKey },
    eventTypeId: type.id,
    listeners: [],
  };
  for (let node = 1; node <= shape.nodes; node += 1) {
    await client.must('POST', '/nodes', { nodeCode: `N${node}` });
    for (let place = 1; place <= shape.listenersPerNode; place += 1) {
      registered.listeners.push(
        await addListener(setting, client, { eventTypeId: type.id, node: `N${node}`, operIndex: place, ...shape }),
      );
    }
  }
  return registered;
}

export async function addListener(
  setting: Setting,
  client: CentreClient,
  spec: { eventTypeId: string; node: string; operIndex: number; listener?: object },
): Promise<Registered['listeners'][number]> {
  const listener = `${spec.node}-L${spec.operIndex}`;
  const url = setting.receivers.urlOf({ node: spec.node, listener, operIndex: spec.operIndex });
  const created = await client.must('POST', '/listeners', {
    name: listener,
    nodeCode: spec.node,
    eventTypeId: spec.eventTypeId,
    operIndex: spec.operIndex,
    url,
    ...spec.listener,
  });
  return { id: created.id, node: spec.node, listener, operIndex: spec.operIndex };
}
