import { migrations } from '../../migrations/index.js';
import { openBroker } from '../broker/open-broker.js';
import { AddressPolicy } from '../callback/address-policy.js';
import { createListenerCaller } from '../callback/listener-caller.js';
import type { Config } from '../config.js';
import { Access } from '../core/access/access.js';
import { appendAudit } from '../core/access/audit.js';
import { Lockout } from '../core/access/lockout.js';
import { EventCenterError, hasCode } from '../core/errors.js';
import { Periodic } from '../core/periodic.js';
import type { Actor, Broker, Log } from '../core/ports.js';
import { Reconciler } from '../core/registry/reconcile.js';
import { Redelivery } from '../core/redelivering/redelivery.js';
import { RegistryAdmin } from '../core/registry/registry-admin.js';
import { RegistryMirror } from '../core/registry/registry-mirror.js';
import { masterKeysOf } from '../master-key.js';
import { PrometheusMetrics } from '../metrics.js';
import { AjvSchemaCompiler } from '../schema/ajv.js';
import { SqlAuditStore } from '../store/audit-store.js';
import { SqlClaimStore } from '../store/claim-store.js';
import { openDatabase, type Database } from '../store/database.js';
import { entities } from '../store/entities.js';
import { SqlIdempotencyStore } from '../store/idempotency-store.js';
import { SqlJournalReader } from '../store/journal-reader.js';
import { SqlLeaseStore } from '../store/lease-store.js';
import { SqlParkedStore } from '../store/parked-store.js';
import { SqlRedeliveryStore } from '../store/redelivery-store.js';
import { SqlRegistryStore } from '../store/registry-store.js';
import { SqlReplayStore } from '../store/replay-store.js';
import { SecretBox } from '../store/secrets.js';
import { SnapshotFile } from '../store/snapshot-file.js';
import { SqlTokenStore } from '../store/token-store.js';
import { Parts, clock } from './parts.js';

const USER_AGENT = 'event-center/0.1';
/** Registry versions are asked for this often, so that every process sees a change within a second. */
const REGISTRY_POLL_MS = 400;
const REGISTRY_WAIT_MS = 5_000;
const RECONCILE_MS = 60_000;
const RETRY_MS = 2_000;
/** A start without the database waits this long for it before it goes on with the kept registry. */
export const DATABASE_WAIT_MS = 10_000;

/** What everything else is built on. */
export type Surroundings = Awaited<ReturnType<typeof openSurroundings>>;

/** Database, broker and registry, and what is built on them without doing anything by itself. */
export async function openSurroundings(config: Config, parts: Parts) {
  const { log } = parts;
  const metrics = new PrometheusMetrics(clock);
  const { current, previous } = masterKeysOf(config);
  const secrets = new SecretBox(current, previous);
  const database = parts.add('database', databaseOf(config, log), (part) => part.close());
  await prepareDatabase(config, database, parts);

  const broker = openBroker({ ...config.broker, dataDir: config.dataDir, log, clock, metrics });
  await parts.add('broker', broker, (part) => part.stop()).start();

  const schemas = new AjvSchemaCompiler();
  const registryStore = new SqlRegistryStore({ database, secrets, clock });
  const keeper = new SnapshotFile({ dataDir: config.dataDir, secrets, log });
  const poll = { pollMs: REGISTRY_POLL_MS, waitMs: REGISTRY_WAIT_MS };
  const registry = new RegistryMirror({ store: registryStore, keeper, schemas, clock, log, metrics, ...poll });
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

  const addresses = new AddressPolicy(config.callback);
  const admin = new RegistryAdmin({
    store: registryStore,
    registry,
    schemas,
    addresses,
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
  const lockout = new Lockout({ clock, options: config.access.lockout });
  const access = new Access({ tokens, audit, registry, lockout, metrics, clock, log, adminToken: config.adminToken });
  const caller = createListenerCaller({
    clock,
    userAgent: USER_AGENT,
    addresses,
    lookupThreads: config.callback.lookupThreads,
  });
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
      await migrateAudited(database, { name: 'system', requestId: null }, parts.log);
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

/** Brings the tables up to date and notes in the audit log what ran; gives the names of the migrations. */
export async function migrateAudited(database: Database, actor: Actor, log: Log): Promise<string[]> {
  const migrations = await database.migrate();
  if (migrations.length === 0) return migrations;
  await appendAudit({ audit: new SqlAuditStore({ database }), clock, log }, actor, {
    action: 'database.migrated',
    subjectKind: 'database',
    subjectId: 'tables',
    detail: { migrations },
  });
  return migrations;
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

/** The database of the configuration, which connects when it is asked. */
export function databaseOf(config: Config, log: Log): Database {
  const { url, poolSize, queryTimeoutMs } = config.database;
  return openDatabase({ url, poolSize, queryTimeoutMs, entities, migrations, log });
}
