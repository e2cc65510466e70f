import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { CentreClient } from '../support/centre-client.js';
import { ADMIN_TOKEN, startCentreProcess, type CentreProcess } from '../support/centre-process.js';
import type { LoadTarget } from './generator.js';
import type { CallRecord, ListenerName, SendRecord } from './ledger.js';
import type { OwnBroker, OwnCluster, OwnService } from './own-services.js';
import { Receivers } from './receivers.js';
import { readRecords, RecordFile } from './records.js';
import type { Services } from './services.js';

export const SOURCE_ID = 'PROOF';
export const EVENT_TYPE = 'NUMBERED';

/** Everything that a scenario runs in: services of its own, receivers, the processes it starts, and a folder of records. */
export class Setting {
  readonly receivers: Receivers;
  /** Holds `centre.log`, `sends.jsonl` and `calls.jsonl`. */
  readonly folder: string;
  readonly logFile: string;
  /** Where generators note what they sent; the ledger is closed from it. */
  readonly sendsFile: RecordFile<SendRecord>;
  readonly #services: Services;
  readonly #processes: CentreProcess[] = [];

  private constructor(services: Services, folder: string, receivers: Receivers) {
    this.#services = services;
    this.folder = folder;
    this.receivers = receivers;
    this.logFile = join(folder, 'centre.log');
    this.sendsFile = new RecordFile(join(folder, 'sends.jsonl'));
  }

  static async open(name: string, services: Services): Promise<Setting> {
    const folder = mkdtempSync(join(tmpdir(), `event-center-${name}-`));
    return new Setting(services, folder, await Receivers.start(new RecordFile(join(folder, 'calls.jsonl'))));
  }

  get broker(): OwnBroker {
    return this.#services.broker;
  }

  get cluster(): OwnCluster {
    return this.#services.cluster;
  }

  get database(): OwnService {
    return this.#services.database;
  }

  /** Between the centre and the broker, where the scenario's services say so. */
  get brokerProxy(): TcpProxy {
    return this.#services.brokerProxy;
  }

  get databaseProxy(): TcpProxy {
    return this.#services.databaseProxy;
  }

  /** Starts a process of the centre on the scenario's services; as many as wanted. It ends with the setting. */
  async startCentre(role: 'api' | 'worker' | 'all', environment: Record<string, string> = {}): Promise<CentreProcess> {
    const centre = await startCentreProcess({
      environment: {
        EVENT_CENTER_ROLE: role,
        ...this.#services.environment,
        EVENT_CENTER_LOG_LEVEL: 'info',
        ...environment,
      },
      logFile: this.logFile,
    });
    this.mark(`${role} started as process ${centre.pid} at ${centre.url}`);
    this.#processes.push(centre);
    return centre;
  }

  client(centre: CentreProcess): CentreClient {
    return new CentreClient(centre.url, ADMIN_TOKEN);
  }

  /** Load on the scenario's event type that is noted in the setting's file. */
  target(registered: Registered): LoadTarget {
    return { app: registered.app, sourceId: SOURCE_ID, eventType: EVENT_TYPE, file: this.sendsFile };
  }

  /** What the generators noted, from their file. */
  sends(): SendRecord[] {
    return readRecords(this.sendsFile.path);
  }

  /** What the receivers noted, from their file. */
  calls(): CallRecord[] {
    return readRecords(this.receivers.file.path);
  }

  /** A mark in the centre's log, to read it by. */
  mark(text: string): void {
    appendFileSync(this.logFile, `---- ${new Date().toISOString()} ${text}\n`);
  }

  /** Ends everything; the folder stays, for who wants to know why. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#processes.map((centre) => centre.stop()));
    await this.receivers.stop();
    this.sendsFile.close();
    await this.#services.remove();
  }

  removeFolder(): void {
    rmSync(this.folder, { recursive: true, force: true });
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
  shape: { nodes: number; listenersPerNode: number; listener?: object; node?: object },
): Promise<Registered> {
  const sender = await client.must('POST', '/nodes', { nodeCode: 'SENDER' });
  const type = await client.must('POST', '/event-types', { sourceId: SOURCE_ID, eventTypeCode: EVENT_TYPE });
  const registered: Registered = {
    app: { appId: 'SENDER', appKey: sender.appKey },
    eventTypeId: type.id,
    listeners: [],
  };
  for (let node = 1; node <= shape.nodes; node += 1) {
    await client.must('POST', '/nodes', { nodeCode: `N${node}`, ...shape.node });
    for (let place = 1; place <= shape.listenersPerNode; place += 1) {
      registered.listeners.push(
        await addListener(setting, client, {
          eventTypeId: type.id,
          node: `N${node}`,
          operIndex: place,
          listener: shape.listener ?? {},
        }),
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
