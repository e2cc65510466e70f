import { hasCode } from '../errors.js';
import { kindAtNode } from './generation.js';
import type { DeliveryState, OwedListener } from '../model.js';
import { eachOf } from '../periodic.js';
import type { ChainKey, Log, MatchedEvent, RecordedChain, Replay, ReplayFilter, ReplayStore } from '../ports.js';
import type { Redelivery } from './redelivery.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/** What a replay does to one (event, node): one message for these listeners. */
interface ReplayUnit extends ChainKey {
  listeners: OwedListener[];
  /** Whether a listener is still to be replayed, by what is recorded at the moment of publishing. */
  isWanted: (chain: RecordedChain, listener: OwedListener) => boolean;
}

/** What came of some units, counted in deliveries. */
export interface ReplayCounts {
  matched: number;
  done: number;
  failed: number;
}

export interface ReplayScope {
  store: Pick<ReplayStore, 'userObjectOf'>;
  redelivery: Pick<Redelivery, 'raise'>;
  log: Log;
  replay: Replay;
  snapshot: RegistrySnapshot;
}

const AT_A_TIME = 4;

/** The filter of a replay as it is run: a replay does not run after the events that come in while it runs. */
export function boundedFilter({ filter, createdAt }: Pick<Replay, 'filter' | 'createdAt'>): ReplayFilter {
  if (filter.eventIds !== undefined) return filter;
  return { ...filter, to: Math.min(filter.to ?? Infinity, createdAt + 1) };
}

/**
 * What a replay means for one matched event, per node. With `states` these are its deliveries in those states; an event
 * without deliveries goes to whoever is owed it at the version of the snapshot, as every event does without `states`.
 */
async function unitsOf(scope: ReplayScope, event: MatchedEvent): Promise<ReplayUnit[]> {
  const { states } = scope.replay.filter;
  if (states !== undefined && event.deliveries.length > 0) {
    return byNode(event, event.deliveries, (chain, { listenerId }) => {
      const delivery = chain.deliveries.find((candidate) => candidate.listenerId === listenerId);
      return delivery !== undefined && (states as DeliveryState[]).includes(delivery.state);
    });
  }
  const owed = await owedNow(scope, event);
  if (states === undefined) return byNode(event, owed, (chain) => chain.eventState !== 'scheduled');
  return byNode(event, owed, ({ deliveries }, { listenerId }) =>
    deliveries.every((delivery) => delivery.listenerId !== listenerId),
  );
}

/** Counts what the events come to, without publishing anything. */
export async function countUnits(scope: ReplayScope, events: MatchedEvent[]): Promise<ReplayCounts> {
  let matched = 0;
  await eachOf(events, { width: AT_A_TIME }, async (event) => {
    for (const unit of await unitsOf(scope, event)) matched += unit.listeners.length;
  });
  return { matched, done: 0, failed: 0 };
}

/**
 * Publishes what the events come to. A listener that was deleted, an event that is gone and a unit that the store
 * refuses are counted as failed; what has another state meanwhile is left out.
 * @throws UNAVAILABLE when the broker or the store is away: some may have been published, the rest was not.
 */
export async function publishUnits(scope: ReplayScope, events: MatchedEvent[]): Promise<ReplayCounts> {
  const counts: ReplayCounts = { matched: 0, done: 0, failed: 0 };
  await eachOf(events, { width: AT_A_TIME }, async (event) => {
    for (const unit of await unitsOf(scope, event)) {
      const { done, failed } = await publishUnit(scope, unit);
      counts.done += done;
      counts.failed += failed;
    }
  });
  return counts;
}

async function publishUnit(scope: ReplayScope, unit: ReplayUnit): Promise<{ done: number; failed: number }> {
  const { redelivery, snapshot, replay, log } = scope;
  const { eventId, nodeCode } = unit;
  const callable = unit.listeners.filter((listener) => kindAtNode(snapshot, listener) !== null);
  const deleted = unit.listeners.length - callable.length;
  const chosen: { count: number | null } = { count: null };
  try {
    await redelivery.raise({ eventId, nodeCode }, snapshot, (chain) => {
      const wanted = callable.filter((listener) => unit.isWanted(chain, listener));
      chosen.count = wanted.length;
      return wanted;
    });
    // Never asked: the event is not recorded any more.
    if (chosen.count === null) return { done: 0, failed: unit.listeners.length };
    return { done: chosen.count, failed: deleted };
  } catch (error) {
    if (hasCode(error, 'UNAVAILABLE')) throw error;
    log.warn('replay.delivery-failed', { replayId: replay.id, eventId, nodeCode, error });
    return { done: 0, failed: unit.listeners.length };
  }
}

async function owedNow({ store, replay, snapshot }: ReplayScope, event: MatchedEvent): Promise<OwedListener[]> {
  const { eventId, eventTypeId, tenantCode } = event;
  const { nodeCode, listenerId } = replay.filter;
  const looksAtPayload = snapshot.data.revisions.some(
    (revision) => revision.eventTypeId === eventTypeId && revision.filter !== null && revision.toVersion === null,
  );
  const userObject = looksAtPayload ? await store.userObjectOf(eventId) : null;
  return snapshot
    .owed({ eventTypeId, tenantCode, userObject, registryVersion: snapshot.version })
    .filter((owed) => nodeCode === undefined || owed.nodeCode === nodeCode)
    .filter((owed) => listenerId === undefined || owed.listenerId === listenerId)
    .map((owed) => ({ listenerId: owed.listenerId, nodeCode: owed.nodeCode, operIndex: owed.operIndex }));
}

function byNode({ eventId }: MatchedEvent, listeners: OwedListener[], isWanted: ReplayUnit['isWanted']): ReplayUnit[] {
  const units = new Map<string, ReplayUnit>();
  for (const listener of listeners) {
    const { nodeCode } = listener;
    const unit = units.get(nodeCode);
    if (unit === undefined) units.set(nodeCode, { eventId, nodeCode, listeners: [listener], isWanted });
    else unit.listeners.push(listener);
  }
  return [...units.values()];
}
