import { exhaustedEvent, isExhaustionListenedTo, type FailedEvent } from '../delivering/exhausted-event.js';
import { kindOf } from '../registry/listener-kind.js';
import type { Event, EventMessage, ListenerKind, Outcome } from '../model.js';
import type { Broker, Clock, JournalStore, Log, Metrics, ParkedStore } from '../ports.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';

export interface FailureAnnouncerDeps {
  broker: Pick<Broker, 'publishEvent'>;
  parked: Pick<ParkedStore, 'park'>;
  journalStore: Pick<JournalStore, 'originsOf'>;
  registry: RegistryView;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** Announcements on their way to the broker at a time. */
const PARALLEL = 32;
/** Outcomes that are put off in one message. */
const TOGETHER = 200;
/** An outcome whose event is not recorded yet comes again after this. */
const LATER_MS = 5_000;
/** An outcome this old is announced without what only its event says. */
const LONGEST_WAIT_MS = 10 * 60_000;

/**
 * Announces the failures of which no worker tells, once they are recorded: of plugins, whose outcomes come from the
 * node's own processes, and of what came to the dead queue. What is announced again is the same event again.
 */
export class FailureAnnouncer {
  readonly #deps: FailureAnnouncerDeps;

  constructor(deps: FailureAnnouncerDeps) {
    this.#deps = deps;
  }

  /**
   * Announces the failures among outcomes that were just recorded; `events` are those recorded with them.
   * @throws UNAVAILABLE when neither broker nor store takes an announcement: then record them again.
   */
  async recorded(outcomes: Outcome[], events: Event[]): Promise<void> {
    const failed = outcomes.filter(({ state }) => state === 'failed');
    if (failed.length === 0) return;
    const snapshot = await this.#snapshotWith(failed);
    if (!isExhaustionListenedTo(snapshot)) return;
    const silent = failed.filter(
      (outcome) => outcome.reason === 'dead-lettered' || kindIn(snapshot, outcome) === 'plugin',
    );
    if (silent.length === 0) return;
    const origins = await this.#originsOf(silent, events);
    const isEarly = (outcome: Outcome): boolean => !origins.has(outcome.eventId) && this.#mayStillBeRecorded(outcome);
    const early = silent.filter(isEarly);
    if (early.length > 0) await this.#later(early);
    const due = silent.filter((outcome) => !isEarly(outcome));
    await this.#publish(due, (outcome) => origins.get(outcome.eventId) ?? unrecorded(snapshot, outcome), snapshot);
  }

  /** Announces failed deliveries of an event that is in hand. @throws UNAVAILABLE as `recorded` does. */
  async failed(event: Event, outcomes: Outcome[]): Promise<void> {
    await this.#publish(outcomes, () => event, this.#deps.registry.current());
  }

  /** A listener that this process has not heard of may have been registered a moment ago. */
  async #snapshotWith(outcomes: Outcome[]): Promise<RegistrySnapshot> {
    const { registry } = this.#deps;
    const snapshot = registry.current();
    return outcomes.every((outcome) => kindIn(snapshot, outcome) !== null) ? snapshot : registry.refreshed();
  }

  async #originsOf(outcomes: Outcome[], events: Event[]): Promise<Map<string, FailedEvent>> {
    const origins = new Map<string, FailedEvent>(events.map((event) => [event.eventId, event]));
    const missing = new Set(outcomes.map(({ eventId }) => eventId).filter((eventId) => !origins.has(eventId)));
    if (missing.size === 0) return origins;
    for (const origin of await this.#deps.journalStore.originsOf([...missing])) origins.set(origin.eventId, origin);
    return origins;
  }

  #mayStillBeRecorded({ startedAt, durationMs }: Outcome): boolean {
    return this.#deps.clock.now() - (startedAt + durationMs) < LONGEST_WAIT_MS;
  }

  /** Outcomes and events come in any order: these come again, and are announced when their event is there. */
  async #later(outcomes: Outcome[]): Promise<void> {
    const { parked, clock, metrics } = this.#deps;
    for (let start = 0; start < outcomes.length; start += TOGETHER) {
      const some = outcomes.slice(start, start + TOGETHER);
      await parked.park({ kind: 'outcomes', outcomes: some }, clock.now() + LATER_MS);
      metrics.incident('built-in-event.put-off');
    }
  }

  async #publish(
    outcomes: Outcome[],
    originOf: (outcome: Outcome) => FailedEvent | null,
    snapshot: RegistrySnapshot,
  ): Promise<void> {
    const now = this.#deps.clock.now();
    const announcements = outcomes.flatMap((outcome) => {
      const origin = originOf(outcome);
      const announcement = origin === null ? null : exhaustedEvent(origin, outcome, { snapshot, now });
      return announcement === null ? [] : [announcement];
    });
    const broker = { isAway: false };
    for (let start = 0; start < announcements.length; start += PARALLEL) {
      const some = announcements.slice(start, start + PARALLEL);
      const brought = await Promise.allSettled(some.map((announcement) => this.#bring(announcement, broker)));
      for (const result of brought) if (result.status === 'rejected') throw result.reason;
    }
  }

  /** To the broker, or to the store, from where it is published later; once the broker did not confirm it is not asked again. */
  async #bring(announcement: EventMessage, broker: { isAway: boolean }): Promise<void> {
    const { parked, clock, log, metrics } = this.#deps;
    const { eventId } = announcement.event;
    if (!broker.isAway) {
      try {
        await this.#deps.broker.publishEvent(announcement);
        return;
      } catch (error) {
        broker.isAway = true;
        log.warn('built-in-event.not-confirmed', { eventId, error });
      }
    }
    await parked.park({ kind: 'event', message: announcement }, clock.now());
    metrics.incident('built-in-event.parked');
  }
}

/** Null for a listener that nobody knows any more, or not yet. */
function kindIn(snapshot: RegistrySnapshot, { listenerId }: Outcome): ListenerKind | null {
  const listener = snapshot.listener(listenerId);
  if (listener !== null) return kindOf(listener);
  return snapshot.data.revisions.find((revision) => revision.listenerId === listenerId)?.kind ?? null;
}

/** What the registry knows of an event by its listener; null when that is nothing. */
function unrecorded(snapshot: RegistrySnapshot, { listenerId }: Outcome): FailedEvent | null {
  const revision = snapshot.data.revisions.find((candidate) => candidate.listenerId === listenerId);
  const eventType = revision === undefined ? null : snapshot.eventType(revision.eventTypeId);
  return eventType === null ? null : { sourceId: eventType.sourceId, tenantCode: null, traceparent: null };
}
