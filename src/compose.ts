import { migrations } from '../migrations/index.js';
import { openBroker } from './broker/open-broker.js';
import { createListenerCaller } from './callback/listener-caller.js';
import type { Config } from './config.js';
import { Acceptor } from './core/accepting/accept.js';
import { Access } from './core/access/access.js';
import { FailureAnnouncer } from './core/recording/announce-failures.js';
import { DeadQueue } from './core/recording/dead.js';
import { DeliveryDesk } from './core/redelivering/delivery-admin.js';
import { DueScanner } from './core/redelivering/due.js';
import { EventCenterError, hasCode } from './core/errors.js';
import { LeaseDesk } from './core/leasing/lease-desk.js';
import { Periodic, sleep } from './core/periodic.js';
import type { Broker, Clock, Log } from './core/ports.js';
import { readinessOf } from './core/readiness.js';
import { Reconciler } from './core/registry/reconcile.js';
import { Recorder } from './core/recording/record.js';
import { Redelivery } from './core/redelivering/redelivery.js';
import { RegistryAdmin } from './core/registry/registry-admin.js';
import { RegistryMirror } from './core/registry/registry-mirror.js';
import { ReplayRunner } from './core/redelivering/replay-runner.js';
import { Retention } from './core/recording/retention.js';
import { Sweeper } from './core/redelivering/sweep.js';
import { Worker } from './core/delivering/worker.js';
import { createHealthApp, createManagementApp } from './http/management/app.js';
import { actorOf } from './http/management/authenticate.js';
import { publishEventsRouter } from './http/publish-events.js';
import { claim } from './http/sending/claim.js';
import { createEventManager } from './http/sending/event-manager.js';
import { eventInfo } from './http/sending/event-info.js';
import { lease } from './http/sending/lease.js';
import { release } from './http/sending/release.js';
import { sendEvent } from './http/sending/send-event.js';
import { settle } from './http/sending/settle.js';
import { HttpServer, type HttpServerOptions } from './http/server.js';
import { createLog } from './log.js';
import { masterKeyOf } from './master-key.js';
import { PrometheusMetrics } from './metrics.js';
import { AjvSchemaCompiler } from './schema/ajv.js';
import { SqlAuditStore } from './store/audit-store.js';
import { SqlClaimStore } from './store/claim-store.js';
import { openDatabase, type Database } from './store/database.js';
import { entities } from './store/entities.js';
import { SqlIdempotencyStore } from './store/idempotency-store.js';
import { SqlJournalReader } from './store/journal-reader.js';
import { SqlJournalStore } from './store/journal-store.js';
import { SqlLeaseStore } from './store/lease-store.js';
import { SqlParkedStore } from './store/parked-store.js';
import { SqlRedeliveryStore } from './store/redelivery-store.js';
import { SqlRegistryStore } from './store/registry-store.js';
import { SqlReplayStore } from './store/replay-store.js';
import { SqlRetentionStore } from './store/retention-store.js';
import { SqlScheduledStore } from './store/scheduled-store.js';
import { SecretBox } from './store/secrets.js';
import { SnapshotFile } from './store/snapshot-file.js';
import { SqlTokenStore } from './store/token-store.js';

/** A running centre. */
export interface Centre {
  /** Ends in order: no new work, running calls and requests to their end within `shutdown.graceMs`, then the rest. */
  stop(): Promise<void>;
}

const clock: Clock = { now: () => Date.now() };
const USER_AGENT = 'event-center/0.1';
/** Registry versions are asked for this often, so that every process sees a change within a second. */
const REGISTRY_POLL_MS = 400;
const REGISTRY_WAIT_MS = 5_000;
const RECONCILE_MS = 60_000;
const RETRY_MS = 2_000;
const READY_LOOK_MS = 100;
/** The journal counts as lagging from here. */
const JOURNAL_LAG_MS = 10_000;
/** A start without the database waits this long for it before it goes on with the kept registry. */
const DATABASE_WAIT_MS = 10_000;

/** Brings the tables up to date; gives the names of the migrations that ran. */
export async function migrate(config: Config): Promise<string[]> {
  const database = databaseOf(config, createLog(config.log.level));
  try {
    await database.waitUntilReady(DATABASE_WAIT_MS);
    return await database.migrate();
  } finally {
    await database.close();
  }
}

/**
 * Starts a centre in the role that the configuration says, and prints its ready line once events can be accepted or
 * delivered. Resolves then, or as soon as `ending` is aborted; a broker or database that is away is waited for.
 * @param print writes a line to standard output.
 */
export async function serve(config: Config, print: (line: string) => void, ending: AbortSignal): Promise<Centre> {
  const parts = new Parts(createLog(config.log.level));
  try {
    await start(config, parts, { print, ending });
  } catch (error) {
    await parts.stop();
    throw error;
  }
  return parts;
}

/** What was started, to be stopped in reverse. */
class Parts implements Centre {
  readonly log: Log;
  readonly #parts: { name: string; stop: () => Promise<unknown> }[] = [];
  #stopping = false;

  constructor(log: Log) {
    this.log = log;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  add<T>(name: string, part: T, stop: (part: T) => Promise<unknown>): T {
    this.#parts.push({ name, stop: () => stop(part) });
    return part;
  }

  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const { name, stop } of this.#parts.reverse()) {
      await stop().catch((error: unknown) => {
        this.log.warn('centre.part-not-stopped', { part: name, error });
      });
    }
  }
}

interface Beginning {
  print: (line: string) => void;
  ending: AbortSignal;
}

async function start(config: Config, parts: Parts, { print, ending }: Beginning): Promise<void> {
  const surroundings = await openSurroundings(config, parts);
  const { broker, registry, access } = surroundings;
  const delivering = config.role === 'api' ? null : await startDelivering(surroundings, parts);
  const desk = config.role === 'worker' ? null : leaseDeskOf(surroundings);
  const server = new HttpServer(answering(surroundings, { delivering, desk }, parts));
  const url = await parts.add('http', server, () => server.stop(config.shutdown.graceMs)).start();
  // Stopped before the server, which waits for those who wait for events.
  if (desk !== null) parts.add('leases', desk, (part) => part.stop());
  while (!ending.aborted && !(broker.status().ready && registry.loaded)) await sleep(READY_LOOK_MS, ending);
  if (ending.aborted) return;
  delivering?.startBackground();
  print(`event-center ready ${url}`);
  if (config.role !== 'worker') await printHowToGoOn(config, access, { url, print, log: parts.log });
}

type Surroundings = Awaited<ReturnType<typeof openSurroundings>>;

/** Database, broker and registry, and what is built on them without doing anything by itself. */
async function openSurroundings(config: Config, parts: Parts) {
  const { log } = parts;
  const metrics = new PrometheusMetrics(clock);
  const secrets = new SecretBox(masterKeyOf(config));
  const database = parts.add('database', databaseOf(config, log), (part) => part.close());
  await prepareDatabase(config, database, parts);

  const broker = openBroker({ ...config.broker, dataDir: config.dataDir, log, clock, metrics });
  await parts.add('broker', broker, (part) => part.stop()).start();

  const schemas = new AjvSchemaCompiler();
  const registryStore = new SqlRegistryStore({ database, secrets, clock });
  const keeper = new SnapshotFile({ dataDir: config.dataDir, secrets, log });
  const poll = { pollMs: REGISTRY_POLL_MS, waitMs: REGISTRY_WAIT_MS };
  const registry = new RegistryMirror({ store: registryStore, keeper, schemas, clock, log, ...poll });
  await parts.add('registry', registry, (part) => part.stop()).start();
  broker.onVersionAnnounced((version) => {
    registry.hint(version);
  });
  const reconciler = new Reconciler({
    broker,
    registry,
    store: registryStore,
    clock,
    log,
    defaultDelaysMs: config.delivery.retryDelaysMs,
    keepRevisionsMs: config.retention.eventsMs,
  });
  startReconciling({ config, broker, registry, reconciler, parts });

  const admin = new RegistryAdmin({
    store: registryStore,
    registry,
    schemas,
    clock,
    log,
    defaultDelaysMs: config.delivery.retryDelaysMs,
    defaultConcurrency: config.delivery.concurrency,
    prepareTopology: (need) => reconciler.prepare(need),
    onChanged: async (version) => {
      await reconciler.declare(await registry.atLeast(version));
      await broker.announceVersion(version);
    },
  });
  const audit = new SqlAuditStore({ database });
  const tokens = new SqlTokenStore({ database });
  const access = new Access({ tokens, audit, clock, log, adminToken: config.adminToken });
  const caller = createListenerCaller({ clock, userAgent: USER_AGENT });
  parts.add('caller', caller, (part) => part.close());
  const redeliveryStore = new SqlRedeliveryStore({ database });
  const redelivery = new Redelivery({ store: redeliveryStore, broker, registry, metrics, clock });
  const replays = new SqlReplayStore({ database });
  const idempotency = new SqlIdempotencyStore({ database });
  const journal = new SqlJournalReader({ database });
  const claims = new SqlClaimStore({ database });
  const parked = new SqlParkedStore({ database, log });
  const leases = new SqlLeaseStore({ database, log });
  return {
    ...{ config, log, metrics, database, broker, registry, admin, audit, access, caller },
    ...{ redeliveryStore, redelivery, replays, idempotency, journal, claims, parked, leases },
  };
}

/**
 * Migrates when the configuration says so, else refuses to start on old tables. A database that is away is waited for a
 * little; after that the start goes on without it, and migrating is repeated until it answers.
 */
async function prepareDatabase(config: Config, database: Database, parts: Parts): Promise<void> {
  const prepare = async (): Promise<void> => {
    if (config.database.autoMigrate) {
      await database.migrate();
    } else if (await database.hasPendingMigrations()) {
      throw new EventCenterError('CONFIG_INVALID', 'the tables are not up to date: run `event-center migrate` first');
    }
  };
  try {
    await database.waitUntilReady(DATABASE_WAIT_MS);
    await prepare();
  } catch (error) {
    if (!hasCode(error, 'UNAVAILABLE')) throw error;
    parts.log.warn('database.not-prepared', { error });
    if (!config.database.autoMigrate) return;
    let prepared = false;
    const retry = new Periodic({
      name: 'migration',
      intervalMs: RETRY_MS,
      log: parts.log,
      task: async () => {
        if (!prepared) await prepare();
        prepared = true;
        return 'idle';
      },
    });
    retry.start();
    parts.add('migration', retry, (part) => part.stop());
  }
}

/** Keeps the broker's topology equal to the registry: at each new snapshot, and all of it again every minute. */
function startReconciling(of: {
  config: Config;
  broker: Broker;
  registry: RegistryMirror;
  reconciler: Reconciler;
  parts: Parts;
}): void {
  const { config, broker, registry, reconciler, parts } = of;
  registry.onSnapshot((snapshot) => {
    reconciler.declare(snapshot).catch((error: unknown) => {
      parts.log.warn('topology.not-declared', { version: snapshot.version, error });
    });
  });
  const reconcile = new Periodic({
    name: 'reconcile',
    intervalMs: RECONCILE_MS,
    log: parts.log,
    task: async () => {
      if (!broker.status().ready) return 'idle';
      await reconciler.declare(registry.current(), { again: true });
      if (config.role !== 'api') await reconciler.removeObsolete();
      return 'idle';
    },
  });
  reconcile.start();
  parts.add('reconcile', reconcile, (part) => part.stop());
}

/** What delivers, records and acts later: the parts of the roles `worker` and `all`. */
async function startDelivering(surroundings: Surroundings, parts: Parts) {
  const { config, log, metrics, database, broker, registry, admin, caller, idempotency } = surroundings;
  const { claims, parked, leases } = surroundings;
  const journalStore = new SqlJournalStore({ database });
  const announcer = new FailureAnnouncer({ broker, parked, journalStore, registry, clock, log, metrics });
  const recorder = new Recorder({
    broker,
    journalStore,
    registry,
    announcer,
    clock,
    log,
    metrics,
    options: config.journal,
  });
  const dead = new DeadQueue({ broker, journal: journalStore, registry, announcer, clock, log, metrics });
  const worker = new Worker({
    broker,
    registry,
    claims,
    parked,
    caller,
    disableListener: (listenerId) => admin.listeners.disable({ name: 'system', requestId: null }, listenerId),
    clock,
    log,
    metrics,
    options: config.delivery,
  });
  registry.onSnapshot((snapshot) => {
    worker.onSnapshot(snapshot);
  });
  const { sweepIntervalMs, sweepGraceMs, dueIntervalMs } = config.journal;
  const background = [
    new Sweeper({
      store: surroundings.redeliveryStore,
      redelivery: surroundings.redelivery,
      broker,
      registry,
      isBehind: () => recorder.isBehind(),
      log,
      metrics,
      clock,
      intervalMs: sweepIntervalMs,
      graceMs: sweepGraceMs,
    }),
    new DueScanner({
      scheduled: new SqlScheduledStore({ database, log }),
      parked,
      leases,
      broker,
      registry,
      log,
      metrics,
      clock,
      intervalMs: dueIntervalMs,
    }),
    new ReplayRunner({
      store: surroundings.replays,
      redelivery: surroundings.redelivery,
      registry,
      log,
      clock,
    }),
    new Retention({ store: new SqlRetentionStore({ database }), idempotency, log, clock, ...config.retention }),
  ];
  for (const part of [recorder, dead]) {
    await part.start();
    parts.add(part.constructor.name, part, (started) => started.stop());
  }
  worker.start();
  parts.add('worker', worker, (part) => part.stop(config.shutdown.graceMs));
  const startBackground = (): void => {
    for (const part of background) {
      part.start();
      parts.add(part.constructor.name, part, (started) => started.stop());
    }
  };
  return { worker, recorder, startBackground };
}

/** What gives the events for plugins to the nodes' own processes. */
function leaseDeskOf({ config, log, metrics, database, broker, registry, ...stores }: Surroundings): LeaseDesk {
  const { claims, parked, leases } = stores;
  const desk = new LeaseDesk({
    ...{ broker, registry, claims, parked, leases, clock, log, metrics },
    defaultDelaysMs: config.delivery.retryDelaysMs,
    storeProblem: () => database.status().problem,
  });
  registry.onSnapshot(() => {
    desk.onSnapshot();
  });
  return desk;
}

/** What the HTTP server answers: everything, or health only without a desk, in the role `worker`. */
function answering(
  surroundings: Surroundings,
  { delivering, desk }: { delivering: Awaited<ReturnType<typeof startDelivering>> | null; desk: LeaseDesk | null },
  parts: Parts,
): HttpServerOptions {
  const { config, log, metrics, database, broker, registry, journal, claims } = surroundings;
  const { host, port, contextPath } = config.http;
  metrics.observe({
    broker,
    snapshot: () => (registry.loaded ? registry.current() : null),
    registryCheckedAt: () => registry.checkedAt,
    unreadableSecrets: () => registry.unreadable.length,
    journal,
    isDatabaseUp: () => database.status().ready,
    openCircuitBreakers: () => delivering?.worker.openCircuits() ?? 0,
    recordsJournal: delivering !== null,
  });
  const readiness = () =>
    readinessOf({
      broker: broker.status(),
      registryVersion: registry.loaded ? registry.current().version : null,
      registryProblem: registry.storeProblem,
      unreadableSecrets: registry.unreadable.length,
      databaseUp: database.status().ready,
      journalLagging: (delivering?.recorder.lag().oldestMs ?? 0) > JOURNAL_LAG_MS,
      stopping: parts.stopping,
    });
  if (desk === null) {
    return { host, port, eventManager: () => false, app: createHealthApp({ readiness, metrics, log }) };
  }
  const { idempotency, redelivery, replays, audit } = surroundings;
  const { maxBodyBytes } = config.ingest;
  const { confirmTimeoutMs } = config.broker;
  const options = { ...config.ingest, confirmTimeoutMs };
  const acceptor = new Acceptor({ registry, broker, idempotency, clock, log, metrics, options });
  const { authenticator } = acceptor;
  const call = { authenticator, maxBodyBytes };
  const hosting = { defaultDelaysMs: config.delivery.retryDelaysMs, brokerPrefix: config.broker.prefix };
  const eventManager = createEventManager({
    contextPath,
    log,
    routes: {
      'sendEventMsg.do': sendEvent({ acceptor, maxBodyBytes }),
      'eventinfo/index.do': eventInfo({ authenticator, registry, options: hosting }),
      'lease.do': lease({ ...call, desk, log }),
      'settle.do': settle({ ...call, desk }),
      'release.do': release({ ...call, desk }),
      'claim.do': claim({ ...call, claims }),
    },
  });
  const publishEvents = publishEventsRouter({ acceptor, actorOf, maxBodyBytes });
  const deliveries = new DeliveryDesk({ redelivery, replays, audit, clock, log });
  const app = createManagementApp({ ...surroundings, readiness, deliveries, publishEvents, clock, contextPath });
  return { host, port, eventManager, app };
}

/** The first admin token, once, and on a start without any server what a newcomer may do next. */
async function printHowToGoOn(
  config: Config,
  access: Access,
  { url, print, log }: { url: string; print: (line: string) => void; log: Log },
): Promise<void> {
  try {
    const token = await access.ensureFirstToken();
    if (token !== null) print(`\n  Admin token, shown only now (only its hash is stored):\n    ${token}`);
  } catch (error) {
    log.warn('token.first-not-made', { error });
  }
  if (config.broker.url !== 'embedded:') return;
  print(`\n  See it work:        npm run demo     (in a second terminal)
  API documentation:  ${url}/docs
  Health, metrics:    ${url}/readyz  ${url}/metrics
  Stop:               Ctrl+C; data is kept in the folder ${config.dataDir}\n`);
}

function databaseOf(config: Config, log: Log): Database {
  const { url, poolSize, queryTimeoutMs } = config.database;
  return openDatabase({ url, poolSize, queryTimeoutMs, entities, migrations, log });
}
