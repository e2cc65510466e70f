import type { ChainPosition, DeliveryState, EventMessage, Node, Outcome } from '../model.js';
import type { NodeQueue } from './broker.js';

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
  /** Of these, the ones of which it was told that a failure is for good. */
  lastAttempts: string[];
  /** What it was told to do after such a failure. */
  onExhausted: Node['onExhausted'];
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
