import type { Delivery, DeliveryState, EventState } from '../model.js';
import type { Actor } from './registry-store.js';

/** Keyset page: `cursor` is opaque, from the page before. */
export interface PageRequest {
  limit: number;
  cursor: string | null;
}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

export interface EventSummary {
  eventId: string;
  appId: string;
  eventTypeId: string;
  sourceId: string;
  eventType: string;
  tenantCode: string | null;
  senderUuid: string | null;
  state: EventState;
  acceptedAt: number;
  deliverAt: number | null;
  registryVersion: number;
}

export interface EventDetail extends EventSummary {
  userObject: string | null;
  traceparent: string | null;
  deliveries: Delivery[];
}

export interface AttemptRecord {
  outcomeId: string;
  attempt: number;
  generation: number;
  state: DeliveryState;
  startedAt: number;
  durationMs: number;
  status: number | null;
  error: string | null;
  response: string | null;
}

export interface EventFilter {
  sourceId?: string;
  eventType?: string;
  tenantCode?: string;
  appId?: string;
  state?: EventState;
  /** Sent by this node, or with a delivery to it. */
  concerning?: string;
  /** Accepted at or after / before. */
  from?: number;
  to?: number;
}

export interface DeliveryFilter {
  eventId?: string;
  listenerId?: string;
  nodeCode?: string;
  state?: DeliveryState;
  from?: number;
  to?: number;
}

export interface FailureRecord {
  id: string;
  /** `delivery` for an exhausted delivery, `unreadable` for a message or entry that nobody could read or store. */
  kind: 'delivery' | 'unreadable';
  eventId: string | null;
  listenerId: string | null;
  nodeCode: string | null;
  generation: number | null;
  attempts: number | null;
  reason: string;
  lastStatus: number | null;
  lastError: string | null;
  lastResponse: string | null;
  /** Of an unreadable message: its body as Base64 (at most 64 KiB of it) and its headers. */
  raw: string | null;
  rawHeaders: string | null;
  failedAt: number;
}

export interface FailureFilter {
  kind?: 'delivery' | 'unreadable';
  eventId?: string;
  listenerId?: string;
  nodeCode?: string;
  from?: number;
  to?: number;
}

/** Counts of one interval; deliveries by the state they are in now, events by when they were accepted. */
export interface StatsInterval {
  from: number;
  to: number;
  accepted: number;
  delivered: number;
  retrying: number;
  failed: number;
}

/** What is counted, per interval. */
export interface StatsRequest {
  from: number;
  to: number;
  intervalMs: number;
  /** Counts only what this node has sent and is delivered to it; null counts everything. */
  nodeCode: string | null;
}

export interface JournalReader {
  listEvents(filter: EventFilter, page: PageRequest): Promise<Page<EventSummary>>;
  findEvent(eventId: string): Promise<EventDetail | null>;
  listDeliveries(filter: DeliveryFilter, page: PageRequest): Promise<Page<Delivery>>;
  findDelivery(eventId: string, listenerId: string): Promise<(Delivery & { attemptRecords: AttemptRecord[] }) | null>;
  listFailures(filter: FailureFilter, page: PageRequest): Promise<Page<FailureRecord>>;
  stats(request: StatsRequest): Promise<StatsInterval[]>;
  /** Oldest unsettled delivery per node, or of one node only: when its event was accepted. */
  oldestUnsettled(nodeCode?: string): Promise<{ nodeCode: string; acceptedAt: number; count: number }[]>;
}

export interface ReplayFilter {
  eventIds?: string[];
  sourceId?: string;
  eventType?: string;
  nodeCode?: string;
  listenerId?: string;
  /** Delivery states, and `no-listener` for events that nobody was owed. */
  states?: (DeliveryState | 'no-listener')[];
  from?: number;
  to?: number;
}

export interface Replay {
  id: string;
  filter: ReplayFilter;
  dryRun: boolean;
  ratePerSecond: number | null;
  state: 'pending' | 'running' | 'done' | 'cancelled' | 'failed';
  /** Deliveries that the filter matched, that were published again, that could not be. */
  matched: number;
  done: number;
  failed: number;
  error: string | null;
  createdAt: number;
  createdBy: string;
  finishedAt: number | null;
}

/** Acting on single deliveries and on many. Implemented by core services over the store and the broker. */
export interface DeliveryAdmin {
  /** @throws NOT_FOUND; NOT_RETRYABLE while it is pending or an earlier listener of the event and node is unsettled. */
  retry(actor: Actor, eventId: string, listenerId: string): Promise<void>;
  /** @throws NOT_FOUND; CONFLICT when it is already settled. */
  cancel(actor: Actor, eventId: string, listenerId: string): Promise<void>;
  startReplay(
    actor: Actor,
    request: { filter: ReplayFilter; dryRun: boolean; ratePerSecond: number | null },
  ): Promise<Replay>;
  findReplay(id: string): Promise<Replay | null>;
  /** @throws NOT_FOUND. Cancelling one that is over changes nothing. */
  cancelReplay(actor: Actor, id: string): Promise<Replay>;
}
