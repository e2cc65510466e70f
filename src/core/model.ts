/**
 * The nouns of the event centre. Every other file uses these words and no synonyms.
 * Times are milliseconds since the epoch unless a name says otherwise; absent values are `null`.
 */

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };
export type JsonObject = Record<string, JsonValue>;

export type SignatureAlgorithm = 'HmacSHA1' | 'HmacSHA256' | 'HmacSHA384' | 'HmacSHA512';

/** The node code that owns the centre's built-in event types; nobody can register it. */
export const BUILT_IN_NODE_CODE = 'EVENT_CENTER';
/** The built-in event type that announces an exhausted delivery (protocol page, section 4). */
export const DELIVERY_EXHAUSTED = 'DELIVERY_EXHAUSTED';
/** The owner that lets every node send an event type. */
export const OWNER_ALL = 'ALL';
/** The end of the year 9999: what is later has no RFC 3339. */
export const LATEST_TIME = 253_402_300_799_999;

/**
 * A secret that does not open under the master key. It is of no use, and its type keeps anybody from using it; saving
 * its row keeps it as it stands, until it is replaced. An object inside, because a listener's headers are texts.
 */
export interface UnreadableSecret {
  unreadable: {
    /** As it stands in the store. */
    sealed: string;
    /** One sentence, which names the place and not the secret. */
    why: string;
  };
}

/** A key that was rotated away. */
export interface PreviousKey {
  key: string;
  expiresAt: number;
}

/** An application that sends or receives events (`pub_event_node`). Keys are in clear text in memory only. */
export interface Node {
  nodeCode: string;
  nodeName: string | null;
  note: string | null;
  /** The key with which the node signs what it sends. */
  appKey: string | UnreadableSecret;
  /** The keys before the last rotations, the newest first; each is good until its own time. */
  previousKeys: PreviousKey[] | UnreadableSecret;
  /** The key with which the centre signs callbacks to the node; null sends them unsigned. */
  clientKey: string | UnreadableSecret | null;
  algorithm: SignatureAlgorithm;
  /** What the centre signs as `contentLength` of a callback: the true length, or 0 for the vendor's light SDK. */
  contentLength: 'exact' | 'zero';
  enabled: boolean;
  /** What happens to the later listeners of an event once one is exhausted. */
  onExhausted: 'continue' | 'stop';
  /** Calls to the node at a time, per worker. */
  concurrency: number;
  /** Events per second that the node may send, per process; null is unlimited. */
  sendRateLimit: number | null;
  /** Callbacks per second to the node, per process; null is unlimited. */
  deliverRateLimit: number | null;
  version: number;
  lastTime: number;
}

/** A kind of event, identified by `(sourceId, eventTypeCode)` (`pub_eventtype`). */
export interface EventType {
  /** UUID. Also the routing key of the type's events. */
  id: string;
  sourceId: string;
  sourceName: string | null;
  eventTypeCode: string;
  eventTypeName: string | null;
  /** The node code that may send it, or `ALL`. */
  owner: string;
  note: string | null;
  /** JSON Schema that `userObject` must satisfy, or null. */
  schema: JsonObject | null;
  version: number;
  lastTime: number;
}

/** How the failures of a listener are retried (protocol page, section 4). */
export interface RetryPolicy {
  strategy: 'default' | 'loop' | 'none';
  /** Attempts in all; null means the number of delays + 1. */
  maxAttempts: number | null;
  /** Delay before each retry; null means the centre's default schedule. */
  delaysMs: number[] | null;
}

export type ListenerKind = 'url' | 'plugin';

export type ListenerFormat = 'iuap';

/** What is called for an event: a url, or a plugin class in the node's own process (`pub_eventlistener`). */
export interface Listener {
  id: string;
  eventTypeId: string;
  name: string;
  namei18n: string | null;
  /** Class name of a plugin; exactly one of `implClassName` and `url` is set. */
  implClassName: string | null;
  url: string | null;
  owner: string | null;
  note: string | null;
  /** Place in the order of the node's listeners of this event type, ascending. */
  operIndex: number;
  nodeCode: string;
  enabled: boolean;
  /** Only events of this tenant; null takes all. */
  tenantCode: string | null;
  /** Only events whose payload satisfies this JSON Schema; null takes all. */
  filter: JsonObject | null;
  format: ListenerFormat;
  method: 'POST' | 'PUT';
  headers: Record<string, string> | UnreadableSecret;
  timeoutMs: number;
  secret: string | UnreadableSecret | null;
  fieldsAsHeaders: boolean;
  retry: RetryPolicy;
  version: number;
  lastTime: number;
}

/**
 * The time during which a listener was owed events under one tenant and filter, in registry versions:
 * `fromVersion` inclusive, `toVersion` exclusive, null while it lasts. Rows outlive the listener, because
 * who is owed an event is decided by the version that accepted it (architecture, decision 3).
 */
export interface ListenerRevision {
  listenerId: string;
  listenerName: string;
  eventTypeId: string;
  nodeCode: string;
  kind: ListenerKind;
  operIndex: number;
  fromVersion: number;
  toVersion: number | null;
  /** When `toVersion` was set, for clearing up topology and old rows. */
  closedAt: number | null;
  tenantCode: string | null;
  filter: JsonObject | null;
}

/** Everything that is registered, at one version. */
export interface RegistryData {
  version: number;
  nodes: Node[];
  eventTypes: EventType[];
  listeners: Listener[];
  revisions: ListenerRevision[];
}

/** An event as the centre accepted it. `userObject` is the sender's text, byte for byte, or null when absent. */
export interface Event {
  /** UUIDv7, or UUIDv5 of appId and key for a keyed event. */
  eventId: string;
  /** Node code of the sender; `EVENT_CENTER` for built-in events and for events published by token without an app. */
  appId: string;
  eventTypeId: string;
  sourceId: string;
  eventType: string;
  tenantCode: string | null;
  userObject: Buffer | null;
  /** The sender's idempotency key. */
  senderUuid: string | null;
  traceparent: string | null;
  acceptedAt: number;
  /** When a scheduled event becomes due; null for at once. */
  deliverAt: number | null;
  /** The registry version that decides who is owed the event. */
  registryVersion: number;
}

/**
 * Where the chain of one (event, node) stands. A fresh first message has none; successors, replays and retries do.
 */
export interface ChainPosition {
  nodeCode: string;
  /** 1 for the first run; each manual retry, replay or sweep raises it. */
  generation: number;
  /**
   * Counts the successors within a generation; a fresh message is 0. Of two messages with the same
   * sequence only one is allowed to go on, so a fork cannot live on.
   */
  sequence: number;
  /** Listener ids to run, or null for all that are owed. */
  targets: string[] | null;
  /** Listener ids that are settled in this generation. */
  settled: string[];
  /** The listener that is tried next, null to begin at the lowest operindex. */
  listenerId: string | null;
  /** Number of the next attempt at `listenerId`, 1-based, counting on over generations (`X-Event-Attempt`). */
  attempt: number;
  /** Attempts per listener id made in earlier generations; absent is 0. */
  attemptsBefore: Record<string, number>;
  /** Not to be called before this time; null for at once. Beside a delay step that is shorter than the wait. */
  dueAt: number | null;
}

/** An event on its way to a node. `chain: null` is the fresh first message. */
export interface EventMessage {
  event: Event;
  chain: ChainPosition | null;
  /** True when workers must claim their steps although the message is fresh (scheduled and repeated publishes). */
  claimSteps: boolean;
}

export const DELIVERY_STATES = ['pending', 'retrying', 'succeeded', 'failed', 'skipped', 'cancelled'] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];
export type EventState = 'no-listener' | 'scheduled' | 'pending' | 'retrying' | 'failed' | 'succeeded' | 'skipped';

/** Why a delivery has its state, where the state alone does not say. */
export type DeliveryReason =
  | 'listener-disabled'
  | 'listener-deleted'
  | 'chain-stopped'
  | 'circuit-open'
  | 'exhausted'
  | 'gone'
  | 'cancelled'
  | 'dead-lettered';

/**
 * What came of one attempt at a listener, or of a decision not to make one (skipped, cancelled, circuit open).
 * Travels in batches to the journal. Idempotent by `outcomeId`.
 */
export interface Outcome {
  /** UUIDv7 of this attempt or decision. */
  outcomeId: string;
  eventId: string;
  listenerId: string;
  nodeCode: string;
  operIndex: number;
  generation: number;
  /** Sequence of the message that made the attempt. */
  sequence: number;
  /** 1-based attempt number, counting on over generations; for a decision, the attempts made so far. */
  attempt: number;
  /** False for a decision without a call. */
  called: boolean;
  state: DeliveryState;
  reason: DeliveryReason | null;
  startedAt: number;
  durationMs: number;
  /** HTTP status of the answer, null when there was none. */
  status: number | null;
  /** One sentence on why it failed; never a secret or a payload of ours. */
  error: string | null;
  /** Beginning of the answer's body, at most 4 KiB of text; null for a success. */
  response: string | null;
  /** When the successor is due; only for `retrying`. */
  nextAttemptAt: number | null;
}

/** One listener that is owed one event. */
export interface OwedListener {
  listenerId: string;
  nodeCode: string;
  operIndex: number;
}

/** The record of one (event, listener). */
export interface Delivery {
  eventId: string;
  listenerId: string;
  nodeCode: string;
  operIndex: number;
  state: DeliveryState;
  reason: DeliveryReason | null;
  generation: number;
  /** Attempts made, over all generations. */
  attempts: number;
  lastStatus: number | null;
  lastError: string | null;
  lastResponse: string | null;
  /** `outcomeId`, start and length of the last attempt. */
  lastOutcomeId: string | null;
  lastStartedAt: number | null;
  lastDurationMs: number | null;
  nextAttemptAt: number | null;
  /** When the event was accepted. */
  createdAt: number;
  updatedAt: number;
}
