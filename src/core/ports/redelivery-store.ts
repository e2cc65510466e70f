import type { Delivery, DeliveryReason, Event, EventState, OwedListener } from '../model.js';
import type { PageRequest, Replay, ReplayFilter } from './journal-reader.js';

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
  /** Takes the replay that has waited for longest of those that are not over and that nobody holds at `now`; it is `running` then. */
  take(owner: string, now: number, until: number): Promise<{ replay: Replay; progress: ReplayProgress } | null>;
  /** Whether there is one to take. */
  isAnyFree(now: number): Promise<boolean>;
  /**
   * Keeps the progress and the lease; false when the replay was cancelled or taken over, so that its runner must end. What
   * was published while it was cancelled is counted.
   */
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
  /** Chains of which no event is recorded: claims, and outcomes whose event never came, last gone on before `before`. */
  deleteChains(before: number, limit: number): Promise<number>;
  deleteFailures(before: number, limit: number): Promise<number>;
  deleteAudit(before: number, limit: number): Promise<number>;
  /** Replays that were over before `before`. */
  deleteReplays(before: number, limit: number): Promise<number>;
}
