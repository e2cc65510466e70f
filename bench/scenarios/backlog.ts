/** Events are accepted while no worker runs; then one starts and has to catch up. */
import { atPlace, withCentre } from '../centres.js';
import { nowMs } from '../clock.js';
import { arrivalsOf, burst, median, perSecond, ratesOf, withChildren, type Children, type Target } from '../measure.js';
import type { BenchOptions } from '../options.js';
import { registerBench } from '../registration.js';
import { atLeast, ratio, tenths, type Scenario } from '../scenario.js';
import { countRows } from '../surroundings.js';
import type { Place } from '../centres.js';

const RECORD_MS = 300_000;
const LOOK_MS = 100;

interface Drain {
  deliveredPerSecond: number;
  drainedPerSecond: number;
  /** From the start of the worker's process until it is ready. */
  startMs: number;
  /** From the worker's being ready until the journal had written every event. */
  recordedMs: number;
}

export const backlog: Scenario = {
  name: 'backlog',
  title: 'events that were accepted while no worker ran',
  minutes: 3,
  run: (options) =>
    withChildren(async (children) => {
      const drain = await atPlace(['BENCH-0'], (place) => drainAt(place, children, options));
      const share = ratio(drain.drainedPerSecond, drain.deliveredPerSecond);
      return {
        goals: [atLeast('drained, of the delivered rate of the same run', share, 0.9)],
        tables: [
          {
            title: `A backlog of ${options.backlog} events of 1 KB, one api and one worker process`,
            columns: ['delivered/s under load', 'drained/s', 'ready after s', 'recorded after s'],
            rows: [
              [
                drain.deliveredPerSecond,
                drain.drainedPerSecond,
                tenths(drain.startMs / 1000),
                tenths(drain.recordedMs / 1000),
              ],
            ],
          },
        ],
        notes: [
          'Drained is counted from the moment at which the worker is ready to the last callback, delivered from the first ' +
            `send to the last callback of ${options.events} events (median of ${options.rounds}).`,
        ],
        plots: [],
        raw: drain,
      };
    }),
};

async function drainAt(place: Place, children: Children, options: BenchOptions): Promise<Drain> {
  const { settings, events, rounds } = options;
  const role = (name: string): { settings: Record<string, string> } => ({
    settings: { ...settings, EVENT_CENTER_ROLE: name },
  });
  return withCentre(place, role('api'), async (api) => {
    const sender = await registerBench(api, [[`${children.receiverUrl}/n0/l0`]]);
    const target: Target = { urls: [api.url], ...sender, callbacksPerEvent: 1 };
    const deliveredPerSecond = await withCentre(place, role('worker'), async () => {
      await burst(children, target, { events: Math.ceil(events / 10) });
      const rates: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        rates.push(ratesOf(await burst(children, target, { events }), target).deliveredPerSecond ?? NaN);
      }
      return median(rates);
    });
    const recordedBefore = await countRows(place.databaseUrl, 'pub_event');
    await burst(children, target, { events: options.backlog, awaits: 'answers' });
    const startedAt = nowMs();
    return withCentre(place, role('worker'), async () => {
      const readyAt = nowMs();
      const { lastArrivalAt } = await arrivalsOf(children.receiver, options.backlog);
      await recorded(place.databaseUrl, recordedBefore + options.backlog);
      return {
        deliveredPerSecond,
        drainedPerSecond: perSecond(options.backlog, readyAt, lastArrivalAt),
        startMs: readyAt - startedAt,
        recordedMs: nowMs() - readyAt,
      };
    });
  });
}

async function recorded(databaseUrl: string, expected: number): Promise<void> {
  const deadline = nowMs() + RECORD_MS;
  for (;;) {
    const rows = await countRows(databaseUrl, 'pub_event');
    if (rows >= expected) return;
    if (nowMs() > deadline) throw new Error(`only ${rows} of ${expected} events were recorded in ${RECORD_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
