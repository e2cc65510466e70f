import type { Event, EventMessage, ListenerKind, Outcome } from '../model.js';

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
 * Must not reject: a rejection counts as `requeue`, in the end as `dead`, and is logged as an error of ours. While it is
 * pending the message is unacked and takes a place of the prefetch.
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
