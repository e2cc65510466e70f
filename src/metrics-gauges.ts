import { Gauge, type Registry } from 'prom-client';
import { inTime } from './core/in-time.js';
import type { Broker, BrokerStatus, JournalReader } from './core/ports.js';
import { nodeQueueDepths } from './core/recording/queue-depths.js';
import type { RegistrySnapshot } from './core/registry/registry.js';

/** Where the gauges come from. Functions that return at once, unless they return a promise. */
export interface GaugeSources {
  broker: Pick<Broker, 'depth'> & { status(): BrokerStatus };
  /** null before the first registry was loaded. */
  snapshot: () => RegistrySnapshot | null;
  /** When the registry in memory was last known to be the database's, null before the first time. */
  registryCheckedAt: () => number | null;
  unreadableSecrets: () => number;
  journal: Pick<JournalReader, 'oldestUnsettled'>;
  isDatabaseUp: () => boolean;
  openCircuitBreakers: () => number;
  /** Addresses from which too many unknown tokens came. */
  lockedAddresses: () => number;
  /** Whether this process writes the journal; only then its lag is known. */
  recordsJournal: boolean;
}

/** What the metrics know themselves: the last batch of the journal, its lag then and when it was written. */
interface Known {
  now: number;
  lastRecorded: { lagMs: number; at: number };
}

const SOURCE_TIMEOUT_MS = 3_000;
const OWN_QUEUES = ['journal', 'outcomes', 'dead'] as const;

export type Gauges = ReturnType<typeof createGauges>;

export function createGauges(registry: Registry) {
  const gauge = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Gauge<L>({ name: `event_center_${name}`, help, labelNames, registers: [registry] });
  return {
    queueDepth: gauge('queue_depth', 'Messages that wait in a queue of the centre.', ['queue']),
    nodeQueueDepth: gauge('node_queue_depth', 'Messages that wait for a node.', ['node', 'kind']),
    nodeOldestSeconds: gauge(
      'node_oldest_unsettled_age_seconds',
      'Age of the oldest event that a node has not settled.',
      ['node'],
    ),
    nodeUnsettled: gauge('node_unsettled_deliveries', 'Deliveries of a node that are pending or retrying.', ['node']),
    journalLagSeconds: gauge('journal_lag_seconds', 'How far the journal is behind.', []),
    brokerConnected: gauge('broker_connected', '1 while the broker is ready.', []),
    brokerBlocked: gauge('broker_blocked', '1 while the broker blocks publishers.', []),
    databaseUp: gauge('database_up', '1 while the database answers.', []),
    unconfirmedQueues: gauge('queues_unconfirmed', 'Queues that do not confirm although the broker is well.', []),
    registryVersion: gauge('registry_version', 'Version of the registry in memory.', []),
    registryCheckAge: gauge(
      'registry_check_age_seconds',
      'Time since the registry in memory was last known to be the one of the database.',
      [],
    ),
    unreadableSecrets: gauge('unreadable_secrets', 'Secrets of the registry that cannot be decrypted.', []),
    lockedAddresses: gauge('locked_addresses', 'Addresses that are locked out of the management API.', []),
    openBreakers: gauge('circuit_breakers_open', 'Listeners that are not called for the time being.', []),
  };
}

/** Fills the gauges. Never rejects: what cannot be had in time is left out, not shown as it was. */
export async function collectGauges(gauges: Gauges, sources: GaugeSources, known: Known): Promise<void> {
  const status = sources.broker.status();
  gauges.brokerConnected.set(Number(status.ready));
  gauges.brokerBlocked.set(Number(status.blocked));
  gauges.unconfirmedQueues.set(status.unconfirmedQueues.length);
  gauges.databaseUp.set(Number(sources.isDatabaseUp()));
  gauges.openBreakers.set(sources.openCircuitBreakers());
  gauges.lockedAddresses.set(sources.lockedAddresses());
  collectRegistry(gauges, sources, known.now);
  await Promise.all([
    collectOwnQueues(gauges, sources, known),
    collectNodeQueues(gauges, sources),
    collectUnsettled(gauges, sources, known.now),
  ]);
}

function collectRegistry(gauges: Gauges, sources: GaugeSources, now: number): void {
  const version = sources.snapshot()?.version;
  if (version === undefined) gauges.registryVersion.remove();
  else gauges.registryVersion.set(version);
  const checkedAt = sources.registryCheckedAt();
  if (checkedAt === null) gauges.registryCheckAge.remove();
  else gauges.registryCheckAge.set(Math.max(0, now - checkedAt) / 1000);
  gauges.unreadableSecrets.set(sources.unreadableSecrets());
}

async function collectOwnQueues(gauges: Gauges, sources: GaugeSources, known: Known): Promise<void> {
  gauges.queueDepth.reset();
  gauges.journalLagSeconds.remove();
  const depths = await orNull(Promise.all(OWN_QUEUES.map((kind) => sources.broker.depth({ kind }))));
  if (depths === null) return;
  for (const [index, queue] of OWN_QUEUES.entries()) {
    const depth = depths[index];
    if (typeof depth === 'number') gauges.queueDepth.set({ queue }, depth);
  }
  if (!sources.recordsJournal) return;
  const [journal, outcomes] = depths;
  const isWaiting = (journal ?? 0) + (outcomes ?? 0) > 0;
  // While nothing is written, the lag of what waits grows with the clock.
  const lagMs = isWaiting ? known.lastRecorded.lagMs + Math.max(0, known.now - known.lastRecorded.at) : 0;
  gauges.journalLagSeconds.set(lagMs / 1000);
}

async function collectNodeQueues(gauges: Gauges, sources: GaugeSources): Promise<void> {
  gauges.nodeQueueDepth.reset();
  const snapshot = sources.snapshot();
  if (snapshot === null) return;
  const depths = await orNull(nodeQueueDepths(sources.broker, snapshot));
  for (const { nodeCode, kind, depth } of depths ?? []) {
    if (depth !== null) gauges.nodeQueueDepth.set({ node: nodeCode, kind }, depth);
  }
}

async function collectUnsettled(gauges: Gauges, sources: GaugeSources, now: number): Promise<void> {
  gauges.nodeOldestSeconds.reset();
  gauges.nodeUnsettled.reset();
  const unsettled = await orNull(sources.journal.oldestUnsettled());
  if (unsettled === null) return;
  const oldest = new Map(unsettled.map((one) => [one.nodeCode, one]));
  const registered = sources.snapshot()?.data.nodes.map((node) => node.nodeCode) ?? [];
  for (const node of new Set([...registered, ...oldest.keys()])) {
    const one = oldest.get(node);
    gauges.nodeOldestSeconds.set({ node }, one === undefined ? 0 : Math.max(0, now - one.acceptedAt) / 1000);
    gauges.nodeUnsettled.set({ node }, one?.count ?? 0);
  }
}

/** What `source` answers, or null when it fails or takes too long. */
function orNull<T>(source: Promise<T>): Promise<T | null> {
  return inTime(source, SOURCE_TIMEOUT_MS, () => new Error('no answer')).catch(() => null);
}
