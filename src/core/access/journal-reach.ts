import { expectWithin, isWithin, type Caller } from './caller.js';
import { EventCenterError } from '../errors.js';
import { DELIVERY_STATES, type Delivery } from '../model.js';
import type {
  AttemptRecord,
  Broker,
  DeliveryAdmin,
  DeliveryFilter,
  EventDetail,
  EventFilter,
  EventSummary,
  FailureFilter,
  FailureRecord,
  JournalReader,
  Page,
  PageRequest,
  Replay,
  ReplayFilter,
  StatsInterval,
  StatsRequest,
} from '../ports.js';
import { nodeQueueDepths, type NodeQueueDepth } from '../recording/queue-depths.js';
import { noSuchDelivery } from '../redelivering/generation.js';
import { listenerNames, type ListenerNames } from '../registry/listener-names.js';
import type { RegistryView } from '../registry/registry.js';

export interface JournalReachDeps {
  journal: JournalReader;
  deliveries: DeliveryAdmin;
  broker: Pick<Broker, 'depth'>;
  registry: Pick<RegistryView, 'current'>;
}

/** What waits for a node. */
export interface NodeBacklog {
  nodeCode: string;
  queues: Pick<NodeQueueDepth, 'kind' | 'depth'>[];
  unsettled: number;
  oldestAcceptedAt: number | null;
}

type ReplayRequest = Parameters<DeliveryAdmin['startReplay']>[1];

const NO_ITEMS: Page<never> = { items: [], nextCursor: null };

/**
 * The journal as one caller reaches it. For a caller of one node: the events that it sent or that have a delivery to it,
 * its deliveries, failures and replays, and its figures. What is another's is not there (NOT_FOUND). Lists are bounded in
 * their queries, so pages are full and a cursor from elsewhere shows nothing more.
 */
export class JournalReach {
  readonly #deps: JournalReachDeps;
  readonly #caller: Caller;

  constructor(deps: JournalReachDeps, caller: Caller) {
    this.#deps = deps;
    this.#caller = caller;
  }

  /** The state of an event is that of all its deliveries, also of those that the caller cannot see. */
  listEvents(filter: EventFilter, page: PageRequest): Promise<Page<EventSummary>> {
    const { nodeCode } = this.#caller;
    return this.#deps.journal.listEvents(nodeCode === null ? filter : { ...filter, concerning: nodeCode }, page);
  }

  /** An event with those of its deliveries that are in reach. @throws NOT_FOUND. */
  async event(eventId: string): Promise<EventDetail> {
    const found = await this.#deps.journal.findEvent(eventId);
    const deliveries = found?.deliveries.filter(({ nodeCode }) => isWithin(this.#caller, nodeCode)) ?? [];
    if (found === null || !(isWithin(this.#caller, found.appId) || deliveries.length > 0)) {
      throw new EventCenterError('NOT_FOUND', `there is no recorded event ${eventId}`);
    }
    return { ...found, deliveries };
  }

  async listDeliveries(filter: DeliveryFilter, page: PageRequest): Promise<Page<Delivery>> {
    const bounded = this.#bounded(filter);
    return bounded === null ? NO_ITEMS : this.#deps.journal.listDeliveries(bounded, page);
  }

  /** @throws NOT_FOUND. */
  async delivery(eventId: string, listenerId: string): Promise<Delivery & { attemptRecords: AttemptRecord[] }> {
    const found = await this.#deps.journal.findDelivery(eventId, listenerId);
    if (found === null || !isWithin(this.#caller, found.nodeCode)) throw noSuchDelivery(eventId, listenerId);
    return found;
  }

  async listFailures(filter: FailureFilter, page: PageRequest): Promise<Page<FailureRecord>> {
    const bounded = this.#bounded(filter);
    return bounded === null ? NO_ITEMS : this.#deps.journal.listFailures(bounded, page);
  }

  /** Names of the listeners that the caller may know. */
  listenerNames(): ListenerNames {
    return listenerNames(this.#deps.registry.current(), this.#caller.nodeCode);
  }

  stats(request: Omit<StatsRequest, 'nodeCode'>): Promise<StatsInterval[]> {
    return this.#deps.journal.stats({ ...request, nodeCode: this.#caller.nodeCode });
  }

  /** What waits, per node in ascending order of codes. */
  async backlogs(): Promise<NodeBacklog[]> {
    const { journal, broker, registry } = this.#deps;
    const { nodeCode: only } = this.#caller;
    const snapshot = registry.current();
    const [unsettled, depths] = await Promise.all([
      journal.oldestUnsettled(only ?? undefined),
      nodeQueueDepths(broker, snapshot, only),
    ]);
    const registered = snapshot.data.nodes.map((node) => node.nodeCode).filter((code) => isWithin(this.#caller, code));
    const nodeCodes = [...new Set([...registered, ...unsettled.map((one) => one.nodeCode)])].sort();
    return nodeCodes.map((nodeCode) => {
      const oldest = unsettled.find((one) => one.nodeCode === nodeCode);
      return {
        nodeCode,
        queues: depths.filter((queue) => queue.nodeCode === nodeCode).map(({ kind, depth }) => ({ kind, depth })),
        unsettled: oldest?.count ?? 0,
        oldestAcceptedAt: oldest?.acceptedAt ?? null,
      };
    });
  }

  /** @throws what `DeliveryAdmin.retry` throws. */
  async retry(eventId: string, listenerId: string): Promise<void> {
    await this.#expectDelivery(eventId, listenerId);
    await this.#deps.deliveries.retry(this.#caller.actor, eventId, listenerId);
  }

  /** @throws what `DeliveryAdmin.cancel` throws. */
  async cancel(eventId: string, listenerId: string): Promise<void> {
    await this.#expectDelivery(eventId, listenerId);
    await this.#deps.deliveries.cancel(this.#caller.actor, eventId, listenerId);
  }

  /**
   * A caller of one node replays to that node, and only what the node was owed before: else it could have delivered to
   * itself what others were sent.
   * @throws FORBIDDEN for more than that.
   */
  async startReplay(request: ReplayRequest): Promise<Replay> {
    const filter = this.#replayable(request.filter);
    return this.#deps.deliveries.startReplay(this.#caller.actor, { ...request, filter });
  }

  /** @throws NOT_FOUND. */
  async replay(id: string): Promise<Replay> {
    const found = await this.#deps.deliveries.findReplay(id);
    if (found === null || !isWithin(this.#caller, found.filter.nodeCode ?? null)) {
      throw new EventCenterError('NOT_FOUND', `there is no replay ${id}`);
    }
    return found;
  }

  /** @throws NOT_FOUND. */
  async cancelReplay(id: string): Promise<Replay> {
    if (this.#caller.nodeCode !== null) await this.replay(id);
    return this.#deps.deliveries.cancelReplay(this.#caller.actor, id);
  }

  async #expectDelivery(eventId: string, listenerId: string): Promise<void> {
    if (this.#caller.nodeCode !== null) await this.delivery(eventId, listenerId);
  }

  /** The filter with the caller's node; null when it asks for another one, of which there is nothing to see. */
  #bounded<F extends { nodeCode?: string }>(filter: F): F | null {
    const { nodeCode } = this.#caller;
    if (nodeCode === null) return filter;
    return filter.nodeCode === undefined || filter.nodeCode === nodeCode ? { ...filter, nodeCode } : null;
  }

  #replayable(filter: ReplayFilter): ReplayFilter {
    const { nodeCode } = this.#caller;
    if (nodeCode === null) return filter;
    if (filter.nodeCode !== undefined) expectWithin(this.#caller, 'filter.nodeCode', filter.nodeCode);
    const states = filter.states ?? [...DELIVERY_STATES];
    if (states.includes('no-listener')) {
      throw new EventCenterError(
        'FORBIDDEN',
        'filter.states: events that nobody was owed are replayed by a token of the whole centre only',
      );
    }
    return { ...filter, nodeCode, states };
  }
}
