import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import {
  startOwnBroker,
  startOwnCluster,
  startOwnDatabase,
  type OwnBroker,
  type OwnCluster,
  type OwnDatabase,
  type OwnService,
} from './own-services.js';

/** What a scenario needs beside the centre. */
export interface ServicesWanted {
  /** `embedded`: no RabbitMQ is started, and the centre keeps its queues itself. `single` when absent. */
  broker?: 'single' | 'cluster' | 'embedded';
  /** `sqlite`: no MariaDB is started. `mariadb` when absent. */
  database?: 'mariadb' | 'sqlite';
  /** Between the centre and which service a proxy is put, to cut, slow and silence its connections. */
  proxies?: ('broker' | 'database')[];
}

/** The services of one scenario. Using one that was not asked for throws. */
export class Services {
  readonly #broker: OwnBroker | null;
  readonly #cluster: OwnCluster | null;
  readonly #database: OwnService | null;
  readonly #brokerProxy: TcpProxy | null;
  readonly #databaseProxy: TcpProxy | null;
  readonly #remove: () => Promise<void>;

  constructor(parts: {
    broker: OwnBroker | null;
    cluster: OwnCluster | null;
    database: OwnService | null;
    brokerProxy: TcpProxy | null;
    databaseProxy: TcpProxy | null;
    /** Ends or clears up what is behind the proxies. */
    remove: () => Promise<void>;
  }) {
    this.#broker = parts.broker;
    this.#cluster = parts.cluster;
    this.#database = parts.database;
    this.#brokerProxy = parts.brokerProxy;
    this.#databaseProxy = parts.databaseProxy;
    this.#remove = parts.remove;
  }

  get broker(): OwnBroker {
    return asked(this.#broker, 'broker: single');
  }

  get cluster(): OwnCluster {
    return asked(this.#cluster, 'broker: cluster');
  }

  get database(): OwnService {
    return asked(this.#database, 'database: mariadb');
  }

  get brokerProxy(): TcpProxy {
    return asked(this.#brokerProxy, 'proxies: broker');
  }

  get databaseProxy(): TcpProxy {
    return asked(this.#databaseProxy, 'proxies: database');
  }

  /** How a centre finds them, through the proxies where there are some. */
  get environment(): Record<string, string> {
    const single = this.#broker === null ? 'embedded:' : throughProxy(this.#broker.url, this.#brokerProxy);
    const broker = this.#cluster?.nodes.map((node) => node.url).join(',') ?? single;
    const database = this.#database === null ? '' : throughProxy(this.#database.url, this.#databaseProxy);
    return { EVENT_CENTER_BROKER_URL: broker, EVENT_CENTER_DATABASE_URL: database };
  }

  async remove(): Promise<void> {
    await Promise.allSettled([this.#brokerProxy?.close(), this.#databaseProxy?.close()]);
    await this.#remove();
  }
}

/** Gives each scenario its services. */
export interface ServiceSource {
  open(wanted: ServicesWanted): Promise<Services>;
  /** Ends what scenarios shared. */
  close(): Promise<void>;
}

/** Services of its own for every scenario. */
export function ownServices(): ServiceSource {
  return {
    open: async (wanted) => {
      const started = await startAll(wanted);
      return withProxies(wanted, started, async () => {
        await Promise.allSettled([started.broker?.remove(), started.cluster?.remove(), started.database?.remove()]);
      });
    },
    close: () => Promise.resolve(),
  };
}

/** One RabbitMQ and one MariaDB for all scenarios, a virtual host and a database for each: the start is what takes long. */
export function sharedServices(): ServiceSource {
  let shared: Promise<Started> | null = null;
  let number = 0;
  return {
    open: async (wanted) => {
      shared ??= startAll({});
      const { broker, database } = await shared.catch((error: unknown) => {
        // The next scenario tries again.
        shared = null;
        throw error;
      });
      number += 1;
      const name = `scenario_${number}`;
      const [ownBroker, cluster, ownDatabase] = await Promise.all([
        (wanted.broker ?? 'single') === 'single' ? (broker as OwnBroker).virtualHost(name) : null,
        wanted.broker === 'cluster' ? startOwnCluster() : null,
        wanted.database === 'sqlite' ? null : (database as OwnDatabase).another(name),
      ]);
      const started = { broker: ownBroker, cluster, database: ownDatabase };
      return withProxies(wanted, started, async () => {
        await started.cluster?.remove();
      });
    },
    close: async () => {
      const started = await shared;
      await Promise.allSettled([started?.broker?.remove(), started?.database?.remove()]);
    },
  };
}

interface Started {
  broker: OwnBroker | null;
  cluster: OwnCluster | null;
  database: OwnDatabase | null;
}

async function startAll(wanted: ServicesWanted): Promise<Started> {
  const [broker, cluster, database] = await Promise.all([
    (wanted.broker ?? 'single') === 'single' ? startOwnBroker() : null,
    wanted.broker === 'cluster' ? startOwnCluster() : null,
    wanted.database === 'sqlite' ? null : startOwnDatabase(),
  ]);
  return { broker, cluster, database };
}

async function withProxies(
  wanted: ServicesWanted,
  services: { broker: OwnBroker | null; cluster: OwnCluster | null; database: OwnService | null },
  remove: () => Promise<void>,
): Promise<Services> {
  const proxyOf = (name: 'broker' | 'database'): Promise<TcpProxy> | null => {
    const service = services[name];
    if (wanted.proxies?.includes(name) !== true || service === null) return null;
    const { hostname, port } = new URL(service.url);
    return tcpProxy({ host: hostname, port: Number(port) });
  };
  const [brokerProxy, databaseProxy] = await Promise.all([proxyOf('broker'), proxyOf('database')]);
  return new Services({ ...services, brokerProxy, databaseProxy, remove });
}

function throughProxy(url: string, proxy: TcpProxy | null): string {
  if (proxy === null) return url;
  const proxied = new URL(url);
  proxied.hostname = '127.0.0.1';
  proxied.port = String(proxy.port);
  return proxied.href;
}

function asked<T>(part: T | null, option: string): T {
  if (part === null) throw new Error(`the scenario did not ask for it: services needs ${option}`);
  return part;
}
