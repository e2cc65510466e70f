import { collectDefaultMetrics, Counter, Histogram, Registry } from 'prom-client';
import type { DeliveryState } from './core/model.js';
import type { Clock, Metrics } from './core/ports.js';
import { collectGauges, createGauges, type Gauges, type GaugeSources } from './metrics-gauges.js';

const FAST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];
const CALL_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const DELIVERY_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 1_800, 7_200];

/**
 * The counts of this process for Prometheus, names `event_center_…`, units seconds. Gauges about the surroundings are
 * filled when somebody reads, once `observe` has said where from.
 */
export class PrometheusMetrics implements Metrics {
  readonly #registry = new Registry();
  readonly #clock: Clock;
  readonly #counters = countersOf(this.#registry);
  readonly #gauges: Gauges = createGauges(this.#registry);
  #sources: GaugeSources | null = null;
  #lastRecorded: { lagMs: number; at: number };

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lastRecorded = { lagMs: 0, at: clock.now() };
    collectDefaultMetrics({ register: this.#registry });
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Says where the gauges come from. */
  observe(sources: GaugeSources): void {
    this.#sources = sources;
  }

  /** All metrics as text. A source that does not answer within 3 s leaves its gauges out. */
  async render(): Promise<string> {
    if (this.#sources !== null) {
      await collectGauges(this.#gauges, this.#sources, { now: this.#clock.now(), lastRecorded: this.#lastRecorded });
    }
    return this.#registry.metrics();
  }

  accepted(code: 'OK' | 'DUPLICATE', durationMs: number): void {
    this.#counters.accepted.inc({ result: code === 'OK' ? 'accepted' : 'duplicate' });
    this.#counters.acceptSeconds.observe(durationMs / 1000);
  }

  refused(code: string): void {
    this.#counters.refused.inc({ code });
  }

  deduplicationLost(): void {
    this.#counters.deduplicationLost.inc();
  }

  attempted(result: 'succeeded' | 'failed', durationMs: number): void {
    this.#counters.attempts.inc({ result });
    this.#counters.attemptSeconds.observe({ result }, durationMs / 1000);
  }

  delivered(state: DeliveryState, sinceAcceptedMs: number | null): void {
    this.#counters.outcomes.inc({ state });
    if (sinceAcceptedMs !== null) this.#counters.deliverySeconds.observe(Math.max(0, sinceAcceptedMs) / 1000);
  }

  recorded(events: number, outcomes: number, lagMs: number): void {
    this.#counters.recordedEvents.inc(events);
    this.#counters.recordedOutcomes.inc(outcomes);
    this.#lastRecorded = { lagMs: Math.max(0, lagMs), at: this.#clock.now() };
  }

  leases(what: 'leased' | 'settled' | 'released' | 'expired', count: number): void {
    this.#counters.leases.inc({ result: what }, count);
  }

  callerRefused(reason: string): void {
    this.#counters.callersRefused.inc({ reason });
  }

  incident(name: string): void {
    this.#counters.incidents.inc({ name });
  }
}

function countersOf(registry: Registry) {
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
    new Counter<L>({ name: `event_center_${name}`, help, labelNames, registers });
  const histogram = <L extends string>(shape: { name: string; help: string; labelNames: L[]; buckets: number[] }) =>
    new Histogram<L>({ ...shape, name: `event_center_${shape.name}`, registers });
  return {
    accepted: counter('events_accepted_total', 'Sends answered with status 1.', ['result']),
    refused: counter('events_refused_total', 'Sends refused, by code.', ['code']),
    deduplicationLost: counter('deduplication_lost_total', 'Keyed events accepted while the database was away.', []),
    attempts: counter('attempts_total', 'Calls of listeners.', ['result']),
    outcomes: counter('delivery_outcomes_total', 'Deliveries that came to a state.', ['state']),
    recordedEvents: counter('journal_events_total', 'Events written by the journal.', []),
    recordedOutcomes: counter('journal_outcomes_total', 'Outcomes written by the journal.', []),
    leases: counter('leases_total', 'Leases of events for plugins: given, and how they ended.', ['result']),
    callersRefused: counter('callers_refused_total', 'Calls of the management API that were not let in, by reason.', [
      'reason',
    ]),
    incidents: counter('incidents_total', 'What is not normal but was handled, by name.', ['name']),
    acceptSeconds: histogram({
      name: 'accept_duration_seconds',
      help: 'Time to accept an event, confirm of the broker included.',
      labelNames: [],
      buckets: FAST_SECONDS,
    }),
    attemptSeconds: histogram({
      name: 'attempt_duration_seconds',
      help: 'Time of a call of a listener.',
      labelNames: ['result'],
      buckets: CALL_SECONDS,
    }),
    deliverySeconds: histogram({
      name: 'delivery_latency_seconds',
      help: 'Time from the acceptance of an event to the success of a listener.',
      labelNames: [],
      buckets: DELIVERY_SECONDS,
    }),
  };
}
