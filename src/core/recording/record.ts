import type { FailureAnnouncer } from './announce-failures.js';
import { hasCode } from '../errors.js';
import { BoundedIntake } from './bounded-intake.js';
import { batchOf, HeldMessage, JournalHand, type HeldEvent } from './journal-hand.js';
import type { EventMessage, Outcome } from '../model.js';
import { isMisplaced, MISPLACED } from './outcome-place.js';
import { Periodic, sleep, type Sleep, type TaskResult } from '../periodic.js';
import type { Broker, Clock, JournalStore, Log, Metrics, Received, RecordedEvent, Settlement } from '../ports.js';
import { listRefused } from './refused-entries.js';
import type { RegistryView } from '../registry/registry.js';
import { StoreOutage } from './store-outage.js';

export interface RecorderOptions {
  /** Rows and bytes of a batch. */
  batchRows: number;
  batchBytes: number;
  /** How long what is complete waits for others, and an event for its outcomes. */
  flushMs: number;
  outcomeWaitMs: number;
  /** Transactions at a time; 2 unless given, so that the next batch is written while one commits. */
  maxFlights?: number;
}

export interface RecorderDeps {
  broker: Pick<Broker, 'consumeJournal' | 'consumeOutcomes' | 'depth'>;
  journalStore: Pick<JournalStore, 'record' | 'recordUnreadable' | 'probe'>;
  registry: RegistryView;
  announcer: Pick<FailureAnnouncer, 'recorded'>;
  clock: Clock;
  /** Measures how long messages are held; one that does not follow jumps of the wall clock. `clock` when absent. */
  steadyClock?: Clock;
  log: Log;
  metrics: Metrics;
  options: RecorderOptions;
  sleep?: Sleep;
}

/** How far recording is behind, for health and metrics. */
export interface JournalLag {
  /** Age of the oldest thing in hand that is not recorded, or of the outage; null when there is none. */
  oldestMs: number | null;
  databaseAway: boolean;
  /** Messages in the journal's queues; null when not known. */
  queued: number | null;
}

const MAX_FLIGHTS = 2;
/** More than are in hand when none waits any more, for what is being written counts too. */
const EVENTS_PREFETCH_BATCHES = 6;
/** A message holds the outcomes of some milliseconds, and waits for `outcomeWaitMs` where its events are with others. */
const OUTCOMES_PREFETCH = 1_000;
/** Bytes of messages in hand, in batches, beyond which the consumers of a queue pause. */
const MOST_BATCHES_HELD = 16;
/** Before an event goes back whose registry version is not known yet, so that it does not come again at once. */
const UNKNOWN_VERSION_PAUSE_MS = 1_000;
const DEPTH_INTERVAL_MS = 2_000;
/** Recording is behind when what it records is older than this. */
const BEHIND_MS = 5_000;

/**
 * Takes events and outcomes from the journal's queues and writes them in batches; a message is acked when everything it
 * says is committed, and the failures in it are announced where that is not done by a worker. While the database is away everything goes back to its queue, and nothing is taken.
 */
export class Recorder {
  readonly #deps: RecorderDeps;
  readonly #steadyClock: Clock;
  readonly #hand: JournalHand;
  readonly #events: BoundedIntake<'store' | 'stop'>;
  readonly #outcomes: BoundedIntake<'store' | 'stop'>;
  readonly #outage: StoreOutage;
  readonly #depth: Periodic;
  readonly #stop = new AbortController();
  readonly #maxFlights: number;
  #flights = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = 0;
  #whenEmpty: (() => void)[] = [];
  #queued: number | null = null;
  #lastLagMs: number | null = null;

  constructor(deps: RecorderDeps) {
    this.#deps = deps;
    const { clock, log, metrics, journalStore, options } = deps;
    this.#steadyClock = deps.steadyClock ?? clock;
    this.#hand = new JournalHand({ ...options, rows: options.batchRows, bytes: options.batchBytes });
    this.#maxFlights = options.maxFlights ?? MAX_FLIGHTS;
    const mostBytes = MOST_BATCHES_HELD * options.batchBytes;
    this.#events = new BoundedIntake(log, mostBytes);
    this.#outcomes = new BoundedIntake(log, mostBytes);
    this.#outage = new StoreOutage({
      name: 'journal',
      probe: () => journalStore.probe(),
      onAway: () => {
        this.#pauseAll('store');
        this.#giveBackAll();
      },
      onBack: () => {
        this.#events.resume('store');
        this.#outcomes.resume('store');
      },
      clock,
      log,
      metrics,
      ...(deps.sleep === undefined ? {} : { sleep: deps.sleep }),
    });
    this.#depth = new Periodic({
      name: 'journal.depth',
      intervalMs: DEPTH_INTERVAL_MS,
      log,
      task: () => this.#readDepth(),
    });
  }

  /** Begins to consume. */
  async start(): Promise<void> {
    const { broker, options } = this.#deps;
    const prefetch = EVENTS_PREFETCH_BATCHES * options.batchRows;
    const takeEvent = (received: Received<EventMessage>) =>
      this.#events.take(received.bytes, () => this.#takeEvent(received));
    const takeOutcomes = (received: Received<Outcome[]>) =>
      this.#outcomes.take(received.bytes, () => this.#takeOutcomes(received));
    this.#events.add(await broker.consumeJournal({ prefetch }, takeEvent));
    this.#outcomes.add(await broker.consumeOutcomes({ prefetch: OUTCOMES_PREFETCH }, takeOutcomes));
    this.#depth.start();
  }

  /** Stops consuming and writes what is in hand; with the database away it goes back to its queues. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#pauseAll('stop');
    await Promise.all([this.#depth.stop(), this.#outage.stop()]);
    this.#pump();
    if (!this.#hand.isEmpty) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    if (this.#timer !== null) clearTimeout(this.#timer);
    await Promise.all([this.#events.stop(), this.#outcomes.stop()]);
  }

  lag(): JournalLag {
    const now = this.#deps.clock.now();
    const since = [this.#hand.oldestHappenedAt, this.#outage.since].filter((at) => at !== null);
    return {
      oldestMs: since.length === 0 ? null : Math.max(0, now - Math.min(...since)),
      databaseAway: this.#outage.since !== null,
      queued: this.#queued,
    };
  }

  /**
   * Whether something may not be recorded that happened more than a few seconds ago. A queue that is never quite empty
   * under load is not behind as long as what is recorded is fresh.
   */
  isBehind(): boolean {
    const { oldestMs, databaseAway, queued } = this.lag();
    if (databaseAway || queued === null || (oldestMs ?? 0) > BEHIND_MS) return true;
    return queued > 0 && (this.#lastLagMs ?? Infinity) > BEHIND_MS;
  }

  async #takeEvent(received: Received<EventMessage>): Promise<Settlement> {
    if (this.#isShut()) return 'requeue';
    let recorded: RecordedEvent;
    try {
      recorded = await this.#recordedEvent(received.message);
    } catch (error) {
      const { eventId, registryVersion } = received.message.event;
      this.#deps.log.warn('journal.event-given-back', { eventId, registryVersion, error });
      await (this.#deps.sleep ?? sleep)(UNKNOWN_VERSION_PAUSE_MS, this.#stop.signal);
      return 'requeue';
    }
    return this.#hold((message, now) => {
      this.#hand.hold(recorded.event.eventId, now, (held) => {
        held.addEvent(message, recorded);
      });
    });
  }

  async #takeOutcomes({ message: outcomes }: Received<Outcome[]>): Promise<Settlement> {
    if (outcomes.length === 0) return 'ack';
    const snapshot = this.#deps.registry.current();
    const misplaced = new Set(outcomes.filter((outcome) => isMisplaced(outcome, snapshot)));
    if (misplaced.size === outcomes.length) return { dead: MISPLACED };
    if (misplaced.size > 0 && !(await this.#listMisplaced([...misplaced]))) return 'requeue';
    return this.#holdOutcomes(misplaced.size === 0 ? outcomes : outcomes.filter((one) => !misplaced.has(one)));
  }

  /** What stands beside them in the message is of other nodes too, and must not be lost with them. */
  async #listMisplaced(outcomes: Outcome[]): Promise<boolean> {
    const rejected = outcomes.map(({ outcomeId }) => ({
      entry: { kind: 'outcome' as const, outcomeId },
      reason: MISPLACED,
    }));
    try {
      await listRefused(this.#deps, rejected, { events: [], outcomes });
      return true;
    } catch (error) {
      this.#outage.begin(error);
      return false;
    }
  }

  #holdOutcomes(all: Outcome[]): Promise<Settlement> {
    const byEvent = new Map<string, Outcome[]>();
    for (const outcome of all) {
      const known = byEvent.get(outcome.eventId);
      if (known === undefined) byEvent.set(outcome.eventId, [outcome]);
      else known.push(outcome);
    }
    return this.#hold((message, now) => {
      for (const [eventId, outcomes] of byEvent) {
        this.#hand.hold(eventId, now, (held) => {
          held.addOutcomes(message, outcomes);
        });
      }
    });
  }

  /** Who is owed an event, by its version. One that was released, or is due at once, is not scheduled. */
  async #recordedEvent({ event, claimSteps }: EventMessage): Promise<RecordedEvent> {
    const { registry } = this.#deps;
    // The due scanner releases a scheduled event under claimed steps; from the sender it comes without.
    const scheduled = event.deliverAt !== null && !claimSteps;
    if (scheduled) return { event, owed: [], scheduled };
    const current = registry.current();
    const isKnown = current.version >= event.registryVersion;
    const snapshot = isKnown ? current : await registry.forVersion(event.registryVersion);
    const owed = snapshot
      .owed(event)
      .map(({ listenerId, nodeCode, operIndex }) => ({ listenerId, nodeCode, operIndex }));
    return { event, owed, scheduled };
  }

  #isShut(): boolean {
    return this.#stop.signal.aborted || this.#outage.since !== null;
  }

  #hold(add: (message: HeldMessage, now: number) => void): Promise<Settlement> {
    if (this.#isShut()) return Promise.resolve('requeue');
    return new Promise((resolve) => {
      add(new HeldMessage(resolve), this.#steadyClock.now());
      this.#pump();
    });
  }

  #pauseAll(reason: 'store' | 'stop'): void {
    this.#events.pause(reason);
    this.#outcomes.pause(reason);
  }

  /** Sends off what has to leave, as far as there are free flights, and comes back when the next has waited enough. */
  #pump(): void {
    const all = this.#stop.signal.aborted;
    while (this.#flights < this.#maxFlights) {
      const batch = this.#hand.take(this.#steadyClock.now(), all);
      if (batch === null) break;
      this.#flights += 1;
      void this.#fly(batch);
    }
    if (this.#hand.isEmpty) for (const resolve of this.#whenEmpty.splice(0)) resolve();
    this.#setTimer();
  }

  #setTimer(): void {
    // The end of a flight pumps.
    if (this.#flights === this.#maxFlights) return;
    const flushAt = this.#hand.nextFlushAt;
    if (flushAt === null || (this.#timer !== null && this.#timerAt <= flushAt)) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = flushAt;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#pump();
      },
      Math.max(1, flushAt - this.#steadyClock.now()),
    );
  }

  /** Writes a batch and settles its messages. Never rejects. */
  async #fly(held: HeldEvent[]): Promise<void> {
    const { journalStore } = this.#deps;
    const batch = batchOf(held);
    try {
      const rejected = await journalStore.record(batch);
      const reasons = await listRefused(this.#deps, rejected, batch);
      await this.#deps.announcer.recorded(
        reasons.size === 0 ? batch.outcomes : batch.outcomes.filter(({ outcomeId }) => !reasons.has(outcomeId)),
        batch.events.map(({ event }) => event),
      );
      this.#hand.written(held);
      this.#noteRecorded(held, { events: batch.events.length, outcomes: batch.outcomes.length });
      for (const { eventId, parts } of held) {
        for (const { message, recorded, outcomes } of parts) {
          const ids = [...(recorded === null ? [] : [eventId]), ...outcomes.map(({ outcomeId }) => outcomeId)];
          message.donePart(ids.map((id) => reasons.get(id)).find((reason) => reason !== undefined) ?? null);
        }
      }
    } catch (error) {
      this.#hand.written(held);
      // Paused first, so that what goes back does not come again at once.
      this.#outage.begin(error);
      giveBack(held);
      // No outage begins any more, and each further batch could wait as long as this one.
      if (this.#stop.signal.aborted) this.#giveBackAll();
    } finally {
      this.#flights -= 1;
      this.#pump();
    }
  }

  #noteRecorded(held: HeldEvent[], { events, outcomes }: { events: number; outcomes: number }): void {
    const oldest = Math.min(...held.map(({ happenedAt }) => happenedAt));
    this.#lastLagMs = Math.max(0, this.#deps.clock.now() - oldest);
    this.#deps.metrics.recorded(events, outcomes, this.#lastLagMs);
  }

  #giveBackAll(): void {
    giveBack(this.#hand.dropAll());
  }

  async #readDepth(): Promise<TaskResult> {
    const { broker } = this.#deps;
    try {
      const [journal, outcomes] = await Promise.all([
        broker.depth({ kind: 'journal' }),
        broker.depth({ kind: 'outcomes' }),
      ]);
      this.#queued = journal === null || outcomes === null ? null : journal + outcomes;
    } catch (error) {
      this.#queued = null;
      // That the broker is away is said by its connection, which is not even made when this is first asked.
      if (!hasCode(error, 'UNAVAILABLE')) throw error;
    }
    return 'idle';
  }
}

function giveBack(events: HeldEvent[]): void {
  for (const { message } of events.flatMap(({ parts }) => parts)) message.giveBack();
}
