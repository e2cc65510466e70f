/**
 * What the core needs of the world. Adapters live in `broker/`, `store/`, `callback/` and meet the core in
 * `compose.ts` only. Unless a method says otherwise, a service that is away makes it throw `UNAVAILABLE`,
 * within a bounded time, and nothing has happened or what happened may be repeated.
 */
import type {
  ChainPosition,
  Delivery,
  DeliveryReason,
  DeliveryState,
  Event,
  EventMessage,
  EventState,
  EventType,
  JsonObject,
  JsonValue,
  Listener,
  ListenerKind,
  ListenerRevision,
  Node,
  Outcome,
  OwedListener,
  RegistryData,
} from './model.js';

// ---------------------------------------------------------------- surroundings

/** Milliseconds since the epoch; injected so that rules about time can be tested. */
export interface Clock {
  now(): number;
}

/** One wide line per happening: a dotted past-tense name and fields. Never a secret or a payload. */
export interface Log {
  debug(event: string, fields?: Record<string, unknown>): void;
  info(event: string, fields?: Record<string, unknown>): void;
  warn(event: string, fields?: Record<string, unknown>): void;
  /** Only when a person must act. */
  error(event: string, fields?: Record<string, unknown>): void;
}

/** What is counted. `metrics.ts` gives each its Prometheus name, help and labels. */
export interface Metrics {
  /** An event was accepted (`DUPLICATE` counts as `duplicate`), after `durationMs`. */
  accepted(code: 'OK' | 'DUPLICATE', durationMs: number): void;
  /** A send was refused with `code`. */
  refused(code: string): void;
  /** A keyed event was accepted without deduplication because the database was away. */
  deduplicationLost(): void;
  /** A listener was called. */
  attempted(result: 'succeeded' | 'failed', durationMs: number): void;
  /** A delivery came to `state`. For `succeeded`, `sinceAcceptedMs` is the time from accepted to success. */
  delivered(state: DeliveryState, sinceAcceptedMs: number | null): void;
  /** Rows written by the journal, and how long ago the oldest of them happened. */
  recorded(events: number, outcomes: number, lagMs: number): void;
  /** What became of leases: given to a node's own process, or ended in one of the three ways. */
  leases(what: 'leased' | 'settled' | 'released' | 'expired', count: number): void;
  /** Something that is not normal but handled: counted by its dotted name. */
  incident(name: string): void;
}

// ---------------------------------------------------------------- schema

/** Checks a JSON value; null when it satisfies the schema, else the first failing path (JSON pointer) and the rule. */
export type SchemaCheck = (value: JsonValue) => { path: string; message: string } | null;

export interface SchemaCompiler {
  /** @throws INVALID_PARAM when `schema` is not a valid JSON Schema (draft 2020-12, or draft-07 by `$schema`), or has a pattern that cannot run in linear time. */
  compile(schema: JsonObject): SchemaCheck;
  /** The same for a listener's filter. @throws INVALID_PARAM also when a part of it would be ignored and match everything. */
  compileFilter(filter: JsonObject): SchemaCheck;
}

// ---------------------------------------------------------------- broker

/** The queue of a node: `url` is taken by the workers, `plugin` by the node's own processes. */
export interface NodeQueue {
  kind: ListenerKind;
  nodeCode: string;
}

export type QueueRef = { kind: 'journal' | 'outcomes' | 'dead' } | NodeQueue;

/** What must be declared for a registry version. */
export interface Topology {
  /** Each node queue with the ids of the event types that are bound to it. */
  nodeQueues: (NodeQueue & { eventTypeIds: string[] })[];
  /** Every delay that a retry can take, at most 32 different ones. */
  delaysMs: number[];
}

export interface EnsureOptions {
  /** Declares also what this process has declared before, because another one may have removed it. */
  again?: boolean;
  /** This is everything that is needed: what else was remembered is forgotten, though not removed. */
  whole?: boolean;
}

/** A message as it was taken from a queue. */
export interface Received<T> {
  message: T;
  /** Identity of the message, the same at every redelivery; the claim of a step is made under it. */
  messageId: string;
  /** True unless the broker is sure that no consumer had it before. */
  redelivered: boolean;
  /** Bytes of the body. */
  bytes: number;
}

/** What a handler decides: `ack` removes the message, `requeue` puts it back, `dead` moves it to the dead queue with the reason. */
export type Settlement = 'ack' | 'requeue' | { dead: string };

/**
 * Must not reject: a rejection counts as `requeue` and is logged as an error of ours. While it is pending the message
 * is unacked and takes a place of the prefetch.
 */
export type Handler<T> = (received: Received<T>) => Promise<Settlement>;

export interface ConsumeOptions {
  /** Unsettled messages at a time. */
  prefetch: number;
}

/** A consumer that lives on over lost connections, until it is stopped. */
export interface Subscription {
  /** Stops taking messages; those in hand are finished. Prefetched ones that the handler has not got yet go back. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Like `pause`, and resolves when no handler is running. */
  stop(): Promise<void>;
}

/** A message in the dead queue: an event that had no place, or one whose bytes nobody could read. */
export interface DeadMessage {
  reason: string;
  /** The queue it was meant for or came from, as the broker names it; null when not known. */
  queue: string | null;
  /** The event message, or null when it cannot be read. */
  message: EventMessage | null;
  /** The body as it came, for an unreadable one. */
  raw: Buffer;
  /** Its headers as JSON text, for an unreadable one. */
  rawHeaders: string;
}

export interface BrokerStatus {
  /** Connected, own queues declared and a confirmed probe came back. */
  ready: boolean;
  /** The broker has blocked publishers (memory or disk alarm). */
  blocked: boolean;
  /** One sentence on what is wrong, or null. */
  problem: string | null;
  /** Names of queues that do not confirm at present, although the broker is well: their event types answer 503. */
  unconfirmedQueues: string[];
}

/**
 * The durable queues. Publishing methods resolve only after the broker has confirmed that the message is on disk in
 * every queue it must reach, and throw `UNAVAILABLE` otherwise: then none, some or all queues may have it.
 */
export interface Broker {
  /** Begins to connect and keeps connected; resolves at once. */
  start(): Promise<void>;
  /** Stops consuming, waits for running handlers, closes. */
  stop(): Promise<void>;
  status(): BrokerStatus;
  /** Resolves when `status().ready`; rejects with UNAVAILABLE after `timeoutMs`. */
  waitUntilReady(timeoutMs: number): Promise<void>;

  /** Declares what is missing. Never removes. Remembered, and declared again after each reconnect. */
  ensureTopology(topology: Topology, options?: EnsureOptions): Promise<void>;
  /** Removes a binding; idempotent. */
  unbind(queue: NodeQueue, eventTypeId: string): Promise<void>;
  /** Deletes a node queue if it is empty; `false` when it still holds messages or somebody consumes it. */
  deleteNodeQueue(queue: NodeQueue): Promise<boolean>;
  /** Messages ready in a queue, null when it does not exist. */
  depth(queue: QueueRef): Promise<number | null>;

  /** To the journal and to every node queue bound for its event type. */
  publishEvent(message: EventMessage): Promise<void>;
  /** To the journal only: a scheduled event. */
  publishToJournal(event: Event): Promise<void>;
  /** To one node's queue, after `delayMs` (0, or one of the declared delays). Without that queue: to the dead queue. */
  publishToNode(queue: NodeQueue, message: EventMessage, delayMs: number): Promise<void>;
  publishOutcomes(outcomes: Outcome[]): Promise<void>;

  consumeNode(queue: NodeQueue, options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription>;
  consumeJournal(options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription>;
  consumeOutcomes(options: ConsumeOptions, handler: Handler<Outcome[]>): Promise<Subscription>;
  consumeDead(options: ConsumeOptions, handler: Handler<DeadMessage>): Promise<Subscription>;

  /** Tells every process that the registry is now at `version`; best effort, processes also poll. */
  announceVersion(version: number): Promise<void>;
  onVersionAnnounced(listener: (version: number) => void): void;
}

// ---------------------------------------------------------------- callback

export interface ListenerCall {
  event: Event;
  listener: Listener;
  node: Node;
  /** 1-based, `X-Event-Attempt`. */
  attempt: number;
}

/** What came back. A listener's refusal is an answer, never an exception. */
export interface ListenerAnswer {
  /**
   * `success` by the format's rule; `refused` for any other complete answer; `unreachable` for connection errors and
   * time-outs (these count for the circuit breaker).
   */
  kind: 'success' | 'refused' | 'unreachable';
  status: number | null;
  /** One sentence; null for a success. */
  error: string | null;
  /** The beginning of the body as text, at most 4 KiB; null when there is none. */
  response: string | null;
  /** From `Retry-After` (seconds or HTTP date), null when absent or unreadable. */
  retryAfterMs: number | null;
  startedAt: number;
  durationMs: number;
}

export interface ListenerCaller {
  /** Never rejects. Ends within the listener's `timeoutMs`. */
  call(call: ListenerCall): Promise<ListenerAnswer>;
  close(): Promise<void>;
}

// ---------------------------------------------------------------- store: registry

/** Who does a write on the management API. */
export interface Actor {
  /** `token:<name>` or `system`. */
  name: string;
  /** Request id, for the audit log. */
  requestId: string | null;
}

export interface AuditEntry {
  action: string;
  /** Kind and id of what was changed, such as `node` and `A`. */
  subjectKind: string;
  subjectId: string;
  /** What was asked, secrets replaced by `***`. */
  detail: JsonObject;
}

/** The registry inside one transaction; sees its own writes. Saves overwrite by id and keep `version` as given. */
export interface RegistryWriter {
  /** The registry version that this change becomes. */
  readonly version: number;
  findNode(nodeCode: string): Promise<Node | null>;
  findEventType(id: string): Promise<EventType | null>;
  findEventTypeByCode(sourceId: string, eventTypeCode: string): Promise<EventType | null>;
  findListener(id: string): Promise<Listener | null>;
  eventTypesOwnedBy(nodeCode: string): Promise<EventType[]>;
  listenersOfNode(nodeCode: string): Promise<Listener[]>;
  listenersOfEventType(eventTypeId: string): Promise<Listener[]>;
  /** All different delays of all listeners. */
  listenerDelaysMs(): Promise<number[]>;
  saveNode(node: Node): Promise<void>;
  deleteNode(nodeCode: string): Promise<void>;
  saveEventType(eventType: EventType): Promise<void>;
  deleteEventType(id: string): Promise<void>;
  saveListener(listener: Listener): Promise<void>;
  deleteListener(id: string): Promise<void>;
  openRevision(revision: ListenerRevision): Promise<void>;
  /** Ends the open revision of a listener at this change's version. */
  closeRevision(listenerId: string, closedAt: number): Promise<void>;
  audit(entry: AuditEntry): Promise<void>;
}

export interface RegistryStore {
  readVersion(): Promise<number>;
  load(): Promise<RegistryData>;
  /**
   * Runs `work` in a transaction that excludes other changes (retried on deadlock, so `work` has no outside effect);
   * what it throws rolls everything back. The version is raised by one.
   */
  change<T>(actor: Actor, work: (writer: RegistryWriter) => Promise<T>): Promise<{ value: T; version: number }>;
  /** Removes closed revisions of before `closedBefore`; returns them. */
  pruneRevisions(closedBefore: number): Promise<ListenerRevision[]>;
}

// ---------------------------------------------------------------- store: accepting

export interface IdempotencyKey {
  appId: string;
  key: string;
}

/** What stands under a key. `freed` is a key whose publish was not confirmed: it may be published again. */
export type KeyState =
  | { state: 'new' }
  /** Taken over from a crashed or refused publish: publish again under the same event id, with claimed steps. */
  | { state: 'again' }
  | { state: 'done'; eventId: string }
  | { state: 'in-progress' }
  | { state: 'other-body' };

export interface IdempotencyStore {
  /** Records the key as pending, unless it is live. `staleAfterMs` is when a pending one counts as crashed. */
  begin(
    key: IdempotencyKey,
    entry: { eventId: string; bodyHash: Buffer; now: number; ttlMs: number; staleAfterMs: number },
  ): Promise<KeyState>;
  done(key: IdempotencyKey): Promise<void>;
  /** After a 503: the next call with this key publishes again (`again`). */
  free(key: IdempotencyKey): Promise<void>;
  deleteExpired(now: number, limit: number): Promise<number>;
}

// ---------------------------------------------------------------- store: delivering

/** A message that asks whether it may act for (event, node). */
export interface ClaimRequest {
  eventId: string;
  nodeCode: string;
  generation: number;
  sequence: number;
  messageId: string;
}

/**
 * `granted`: go on; `settled` maps listener ids that already came to an end in this generation to their state.
 * `lost`: another message has gone further, or holds the same sequence. `stale`: a newer generation exists.
 */
export type Claim =
  { result: 'granted'; settled: Map<string, DeliveryState> } | { result: 'lost' } | { result: 'stale' };

export interface ClaimStore {
  /** The same message may claim again and again. A step whose successor is already recorded is `lost`. */
  claim(request: ClaimRequest): Promise<Claim>;
}

/** Claims of many messages of one node at a time. */
export interface ClaimBatches {
  /** As `claim` for each of them, in their order. */
  claimAll(requests: ClaimRequest[]): Promise<Claim[]>;
}

/** A message that was given to a node's own process for a time (protocol page, section 5). */
export interface Lease {
  leaseId: string;
  nodeCode: string;
  leasedAt: number;
  leasedUntil: number;
  /** The message as it was taken from the queue, and the identity under which its step is claimed. */
  message: EventMessage;
  messageId: string;
  /** The listeners that were named to the process, in the order in which it runs them. */
  listenerIds: string[];
  /** Where the chain goes on when the lease ends without a report. */
  successor: ChainPosition;
}

/** `busy`: another call is settling it. `expired` is known for an hour, afterwards it is `unknown`. */
export type LeaseFound = { found: 'taken'; lease: Lease } | { found: 'expired' | 'unknown' | 'busy' };

/** A lease that is over without a report; `message` is the successor. */
export interface EndedLease {
  leaseId: string;
  nodeCode: string;
  how: 'released' | 'expired';
  message: EventMessage;
}

/** Leases are kept here and not by an unacked message, so that any process can settle them and a crash loses none. */
export interface LeaseStore {
  /**
   * Keeps leases, in one transaction. A message that is already leased, or was, is left out.
   * @returns the ids of those that are kept.
   */
  keep(leases: Lease[]): Promise<Set<string>>;
  /**
   * Takes leases of a node for settling, all at one moment: until `until`, or one of the next three methods, nobody
   * else can take or release them, and they do not end. The answer is in the order of the ids.
   */
  take(of: { nodeCode: string; leaseIds: string[] }, time: { now: number; until: number }): Promise<LeaseFound[]>;
  /** Ends leases that were taken and are settled; a message that comes again is still left out of `keep`. */
  remove(leaseIds: string[], now: number): Promise<void>;
  /** Leaves leases that were taken as they were before. */
  putBack(leaseIds: string[]): Promise<void>;
  /** Ends leases that were taken without a report. */
  giveBack(leaseIds: string[], now: number): Promise<void>;
  /** Ends leases of a node without a report; `taken` says that it was done. In the order of the ids. */
  release(of: { nodeCode: string; leaseIds: string[] }, now: number): Promise<Exclude<LeaseFound['found'], 'busy'>[]>;
  /**
   * Hands up to `limit` leases that are over to `publish`, and forgets those for which it resolved, as
   * `ParkedStore.publishDue` does. Returns how many there were.
   */
  publishEnded(now: number, limit: number, publish: (ended: EndedLease) => Promise<void>): Promise<number>;
}

/** A message that could not be confirmed in time, or a scheduled event that is due. */
export type ParkedMessage =
  | { kind: 'successor'; queue: NodeQueue; message: EventMessage }
  | { kind: 'outcomes'; outcomes: Outcome[] }
  | { kind: 'event'; message: EventMessage };

export interface ParkedStore {
  /** Keeps a message until `dueAt`. */
  park(parked: ParkedMessage, dueAt: number): Promise<void>;
  /**
   * Takes up to `limit` due messages, hands each to `publish`, and removes those for which it resolved, in one
   * transaction (SKIP LOCKED where there is one). A crash between repeats the publish. Returns how many were published.
   */
  publishDue(now: number, limit: number, publish: (parked: ParkedMessage) => Promise<void>): Promise<number>;
}

// ---------------------------------------------------------------- store: journal

export interface RecordedEvent {
  event: Event;
  /** Who is owed it by its registry version; not looked at while it is scheduled. */
  owed: OwedListener[];
  /** A scheduled event that still has to be released. Once a released one is recorded it is never scheduled again. */
  scheduled: boolean;
}

export interface JournalBatch {
  events: RecordedEvent[];
  outcomes: Outcome[];
}

/** An entry that the database refuses for its data, with the reason; everything else of the batch is committed. */
export interface RejectedEntry {
  entry: { kind: 'event'; eventId: string } | { kind: 'outcome'; outcomeId: string };
  reason: string;
}

/** What of a recorded event other events take over. */
export interface EventOrigin {
  eventId: string;
  sourceId: string;
  tenantCode: string | null;
  traceparent: string | null;
}

export interface JournalStore {
  /** Writes a batch and commits. Idempotent; events and outcomes may come in any order and more than once. */
  record(batch: JournalBatch): Promise<RejectedEntry[]>;
  /** Lists an unreadable message, or an entry the database refused, under failures. Idempotent by `id`. */
  recordUnreadable(failure: { id: string; reason: string; raw: Buffer; rawHeaders: string; at: number }): Promise<void>;
  /**
   * Marks all unsettled deliveries of (event, node) `failed` with `dead-lettered` and the reason, in the failure log too.
   * Gives the outcomes of all that are `dead-lettered` now, so that a repeat gives them again.
   */
  failDeadLettered(dead: { message: EventMessage; nodeCode: string; reason: string; at: number }): Promise<Outcome[]>;
  /** Those of the events that are recorded, in any order, by one query. */
  originsOf(eventIds: string[]): Promise<EventOrigin[]>;
  /** Cheap query that fails while the database is away. */
  probe(): Promise<void>;
}

// ---------------------------------------------------------------- store: looking and acting afterwards

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

export interface JournalReader {
  listEvents(filter: EventFilter, page: PageRequest): Promise<Page<EventSummary>>;
  findEvent(eventId: string): Promise<EventDetail | null>;
  listDeliveries(filter: DeliveryFilter, page: PageRequest): Promise<Page<Delivery>>;
  findDelivery(eventId: string, listenerId: string): Promise<(Delivery & { attemptRecords: AttemptRecord[] }) | null>;
  listFailures(filter: FailureFilter, page: PageRequest): Promise<Page<FailureRecord>>;
  stats(from: number, to: number, intervalMs: number): Promise<StatsInterval[]>;
  /** Oldest unsettled delivery per node: when its event was accepted. */
  oldestUnsettled(): Promise<{ nodeCode: string; acceptedAt: number; count: number }[]>;
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

// ---------------------------------------------------------------- store: tokens and audit

export type Role = 'admin' | 'operator' | 'viewer';

export interface ApiToken {
  id: string;
  name: string;
  role: Role;
  createdAt: number;
  expiresAt: number | null;
  revokedAt: number | null;
  lastUsedAt: number | null;
}

export interface TokenStore {
  /** The token of this SHA-256 hash, revoked and expired ones too. */
  findByHash(hash: Buffer): Promise<ApiToken | null>;
  list(): Promise<ApiToken[]>;
  /** @throws CONFLICT when the name is taken by a live token. */
  create(token: ApiToken, hash: Buffer): Promise<void>;
  revoke(id: string, at: number): Promise<boolean>;
  touch(id: string, at: number): Promise<void>;
  count(): Promise<number>;
}

export interface AuditRecord extends AuditEntry {
  id: string;
  at: number;
  actor: string;
  requestId: string | null;
}

export interface AuditStore {
  append(actor: Actor, entry: AuditEntry, at: number): Promise<void>;
  list(page: PageRequest): Promise<Page<AuditRecord>>;
}

// ---------------------------------------------------------------- store: redelivering

/** The unit that a generation belongs to. */
export interface ChainKey {
  eventId: string;
  nodeCode: string;
}

/** All that is recorded of one (event, node), locked until the change is committed. */
export interface RecordedChain {
  nodeCode: string;
  event: Event;
  eventState: EventState;
  /** The highest generation that the chain or one of its deliveries has; 1 when nothing was raised yet. */
  generation: number;
  /** The node's deliveries of the event, in ascending `operIndex`, then id. */
  deliveries: RecordedDelivery[];
}

export interface RecordedDelivery extends Delivery {
  /** The next attempt, or for `pending` since when it is; null once settled. */
  expectedAt: number | null;
}

/** A delivery as a change leaves it: without a next time, its attempts kept; created where there was none. */
export interface DeliveryChange extends OwedListener {
  state: 'pending' | 'cancelled';
  reason: DeliveryReason | null;
  generation: number;
}

export interface ChainChange {
  /** The chain's new generation, with sequence 0 and held by nobody; null leaves the chain as it is. */
  generation: number | null;
  deliveries: DeliveryChange[];
  /** Runs last before the commit, with the locks held, so it must not use the store; a rejection rolls everything back. */
  publish: (() => Promise<void>) | null;
}

export interface RedeliveryStore {
  /** The node of a recorded delivery, null when there is no such delivery. */
  nodeOf(eventId: string, listenerId: string): Promise<string | null>;
  /**
   * Locks the chain, lets `decide` choose from what is recorded, writes that with the event's state, publishes and
   * commits. May be run again after a deadlock, so `decide` and `publish` must bear repeating; what they throw rolls
   * everything back. False when the event is not recorded, or `decide` answered null.
   */
  changeChain(key: ChainKey, at: number, decide: (chain: RecordedChain) => ChainChange | null): Promise<boolean>;
  /** Nodes with an unsettled delivery of which something was expected before `before`. */
  overdueNodes(before: number): Promise<string[]>;
  /**
   * Up to `limit` chains of a node with an unsettled delivery, of none of whose deliveries anything was recorded or
   * expected at `before` or later, and which nobody has leased.
   */
  overdueChains(nodeCode: string, before: number, limit: number): Promise<ChainKey[]>;
}

export interface ScheduledStore {
  /**
   * Takes up to `limit` recorded events that are `scheduled` and due, hands each to `publish`, and marks those as
   * released for which it resolved; the others become due again in a while. Several workers do not take the same ones.
   * A crash between repeats the publish. `publish` must not use the store. Returns how many were released.
   */
  releaseDue(now: number, limit: number, publish: (event: Event) => Promise<void>): Promise<number>;
}

/** How far a replay came. `cursor` is opaque; null is the beginning. */
export interface ReplayProgress {
  /** `counting` finds out how much there is, `publishing` does it. */
  phase: 'counting' | 'publishing';
  cursor: string | null;
  matched: number;
  done: number;
  failed: number;
}

/** Who runs a replay, and until when nobody else may take it. */
export interface ReplayLease {
  id: string;
  owner: string;
  until: number;
}

/** An event that a replay's filter matches; without its payload, so that a page stays small. */
export interface MatchedEvent {
  /** Goes on behind this event. */
  cursor: string;
  eventId: string;
  eventTypeId: string;
  tenantCode: string | null;
  /** With `states`: its matching deliveries in those states; empty for an event that nobody was owed, and without `states`. */
  deliveries: OwedListener[];
}

export interface ReplayStore {
  create(replay: Replay): Promise<void>;
  find(id: string): Promise<Replay | null>;
  /** Ends a replay that is not over yet; changes nothing otherwise. Returns it as it is then. */
  cancel(id: string, at: number): Promise<Replay | null>;
  /** Takes the oldest replay that is not over and that nobody holds at `now`; it is `running` then. */
  take(owner: string, now: number, until: number): Promise<{ replay: Replay; progress: ReplayProgress } | null>;
  /** Keeps the progress and the lease; false when the replay was cancelled or taken over, so that its runner must end. */
  advance(lease: ReplayLease, progress: ReplayProgress): Promise<boolean>;
  finish(lease: ReplayLease, end: { state: 'done' | 'failed'; error: string | null; at: number }): Promise<void>;
  /**
   * The next matched events after `cursor`, by time of acceptance and id, at most `limit`; none only at the end.
   * Scheduled events that were not released never match.
   */
  match(filter: ReplayFilter, page: PageRequest): Promise<MatchedEvent[]>;
  /** The payload of an event, for filters on it; null when there is none. */
  userObjectOf(eventId: string): Promise<Buffer | null>;
}

export interface RetentionStore {
  /** Runs `work` unless another process is running it under this name; false when it was not run. */
  exclusively(name: string, work: () => Promise<void>): Promise<boolean>;
  /**
   * Deletes up to `limit` settled events accepted before `before`, with all that is recorded of them but failures.
   * Never one that is `pending`, `retrying` or `scheduled`.
   */
  deleteEvents(before: number, limit: number): Promise<number>;
  deleteFailures(before: number, limit: number): Promise<number>;
  deleteAudit(before: number, limit: number): Promise<number>;
  /** Replays that were over before `before`. */
  deleteReplays(before: number, limit: number): Promise<number>;
}
