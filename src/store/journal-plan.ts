import {
  eventStateOf,
  isAhead,
  mergeOutcome,
  mergeOwed,
  type AttemptRow,
  type ChainProgress,
  type DeliveryRecord,
} from '../core/recording/delivery-state.js';
import type { EventState, Outcome } from '../core/model.js';
import type { FailureRecord, JournalBatch, RecordedEvent } from '../core/ports.js';

/** All that a batch says of one event. */
export interface EventEntries {
  eventId: string;
  recorded: RecordedEvent | null;
  outcomes: Outcome[];
}

/** What is stored of an event's own row. */
export interface StoredEvent {
  state: EventState;
  registryVersion: number;
}

/** What is stored of an event: its row, null when there is none, and its deliveries by listener id. */
export interface Stored {
  event: StoredEvent | null;
  deliveries: ReadonlyMap<string, DeliveryRecord>;
}

/** What has to be written for an event. */
export interface EventPlan {
  /** As the event's row must say; null when there is no row and none comes with the entries. */
  event: StoredEvent | null;
  /** Deliveries without a row yet, and those whose row changes. */
  added: DeliveryRecord[];
  changed: DeliveryRecord[];
  attempts: AttemptRow[];
  failures: FailureRecord[];
  chains: ChainProgress[];
}

/** Nothing is stored of an event that nobody saw. */
export const NOTHING_STORED: Stored = { event: null, deliveries: new Map() };

/** The batch by event, in the order of event ids, so that concurrent writers lock in the same order. */
export function groupByEvent(batch: JournalBatch): EventEntries[] {
  const groups = new Map<string, EventEntries>();
  const groupOf = (eventId: string): EventEntries => {
    let group = groups.get(eventId);
    if (group === undefined) groups.set(eventId, (group = { eventId, recorded: null, outcomes: [] }));
    return group;
  };
  for (const recorded of batch.events) {
    const group = groupOf(recorded.event.eventId);
    group.recorded = group.recorded === null ? recorded : bothOf(group.recorded, recorded);
  }
  for (const outcome of batch.outcomes) groupOf(outcome.eventId).outcomes.push(outcome);
  return [...groups.values()].sort((a, b) => (a.eventId < b.eventId ? -1 : 1));
}

/** What to write for one event's entries, given what is stored. */
export function planEvent(entries: EventEntries, stored: Stored): EventPlan {
  const { recorded } = entries;
  const deliveries = new Map(stored.deliveries);
  const owed = recorded === null || recorded.scheduled ? [] : recorded.owed;
  for (const listener of owed) {
    const existing = deliveries.get(listener.listenerId) ?? null;
    if (recorded !== null) deliveries.set(listener.listenerId, mergeOwed(existing, listener, recorded.event));
  }
  const plan: EventPlan = { event: null, added: [], changed: [], attempts: [], failures: [], chains: [] };
  const chains = new Map<string, ChainProgress>();
  for (const outcome of entries.outcomes) {
    const merged = mergeOutcome(deliveries.get(outcome.listenerId) ?? null, outcome);
    deliveries.set(outcome.listenerId, merged.delivery);
    plan.attempts.push(...merged.attemptRows);
    if (merged.failureRow !== null) plan.failures.push(merged.failureRow);
    const { chainProgress } = merged;
    if (chainProgress === null) continue;
    const known = chains.get(chainProgress.nodeCode);
    if (known === undefined || isAhead(chainProgress, known)) chains.set(chainProgress.nodeCode, chainProgress);
  }
  plan.chains = [...chains.values()].sort((a, b) => (a.nodeCode < b.nodeCode ? -1 : 1));
  for (const delivery of [...deliveries.values()].sort((a, b) => (a.listenerId < b.listenerId ? -1 : 1))) {
    const before = stored.deliveries.get(delivery.listenerId);
    if (before === undefined) plan.added.push(delivery);
    else if (!isSame(before, delivery)) plan.changed.push(delivery);
  }
  plan.event = eventAfter(recorded, stored.event, deliveries.values());
  return plan;
}

function eventAfter(
  recorded: RecordedEvent | null,
  stored: StoredEvent | null,
  deliveries: Iterable<DeliveryRecord>,
): StoredEvent | null {
  if (recorded === null && stored === null) return null;
  const scheduled = (stored === null || stored.state === 'scheduled') && (recorded === null || recorded.scheduled);
  return {
    state: eventStateOf(statesOf(deliveries), { scheduled }),
    registryVersion: Math.max(recorded?.event.registryVersion ?? 0, stored?.registryVersion ?? 0),
  };
}

function* statesOf(deliveries: Iterable<DeliveryRecord>) {
  for (const { state } of deliveries) yield state;
}

/** An event that is twice in a batch: released counts more than scheduled, and whoever is owed by either is owed. */
function bothOf(a: RecordedEvent, b: RecordedEvent): RecordedEvent {
  if (a.scheduled !== b.scheduled) return a.scheduled ? b : a;
  const [older, newer] = a.event.registryVersion <= b.event.registryVersion ? [a, b] : [b, a];
  const known = new Set(newer.owed.map(({ listenerId }) => listenerId));
  return { ...newer, owed: [...newer.owed, ...older.owed.filter(({ listenerId }) => !known.has(listenerId))] };
}

function isSame(a: DeliveryRecord, b: DeliveryRecord): boolean {
  return a === b || (Object.keys(b) as (keyof DeliveryRecord)[]).every((field) => a[field] === b[field]);
}
