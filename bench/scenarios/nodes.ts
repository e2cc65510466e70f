/** A thousand nodes with two listeners each: the start, the idle memory and the rate beside one node. */
import { setTimeout as wait } from 'node:timers/promises';
import { atOwnPlaces, withCentre, type Place } from '../centres.js';
import { residentMbOf } from '../children.js';
import { nowMs } from '../clock.js';
import { burst, median, ratesOf, withChildren, type Children, type Target } from '../measure.js';
import type { BenchOptions } from '../options.js';
import { create, forEachOf, registerNode, registerSender, type Api } from '../registration.js';
import { atLeast, atMost, ratio, tenths, type Scenario } from '../scenario.js';

const LISTENERS = 2;
/** After the start, so that what it needed once is collected. */
const IDLE_MS = 15_000;

interface Measured {
  registeredMs: number;
  startMs: number;
  apiMemoryMb: number;
  workerMemoryMb: number;
  deliveredPerSecond: number;
}

export const nodes: Scenario = {
  name: 'nodes',
  title: 'a thousand nodes with two listeners each, on a RabbitMQ and a MariaDB of its own',
  minutes: 8,
  run: (options) =>
    withChildren(async (children) => {
      const [one, many] = await atOwnPlaces(async (newPlace) => {
        const measured = async (count: number): Promise<Measured> =>
          measureNodes({ place: await newPlace(), children, options }, count);
        return [await measured(1), await measured(options.nodes)] as const;
      });
      const row = (name: string, measured: Measured): (string | number)[] => [
        name,
        tenths(measured.registeredMs / 1000),
        tenths(measured.startMs / 1000),
        measured.apiMemoryMb,
        measured.workerMemoryMb,
        measured.deliveredPerSecond,
      ];
      return {
        goals: [
          atMost('start of the worker until it is ready', tenths(many.startMs / 1000), { most: 30, unit: 's' }),
          atMost('idle memory of the worker', many.workerMemoryMb, { most: 400, unit: 'MB' }),
          atLeast('delivered, of one node', ratio(many.deliveredPerSecond, one.deliveredPerSecond), 0.7),
        ],
        tables: [
          {
            title: `${LISTENERS} listeners and an event type for each node, ${options.events} events to the types in turn`,
            columns: ['nodes', 'registered in s', 'worker ready in s', 'api MB', 'worker MB', 'delivered/s'],
            rows: [row('1', one), row(String(options.nodes), many)],
          },
        ],
        notes: [],
        plots: [],
        raw: { one, many },
      };
    }),
};

async function measureNodes(
  run: { place: Place; children: Children; options: BenchOptions },
  count: number,
): Promise<Measured> {
  const { place, children, options } = run;
  const role = (name: string): { settings: Record<string, string> } => ({
    settings: { ...options.settings, EVENT_CENTER_ROLE: name },
  });
  return withCentre(place, role('api'), async (api) => {
    const begunAt = nowMs();
    const sender = await registerSender(api);
    await registerNodes(api, count, children.receiverUrl);
    const registeredMs = nowMs() - begunAt;
    console.log(`registered ${count} nodes in ${Math.round(registeredMs)} ms`);
    const startedAt = nowMs();
    return withCentre(place, role('worker'), async (worker) => {
      const startMs = nowMs() - startedAt;
      await wait(IDLE_MS);
      const [apiMemoryMb, workerMemoryMb] = [api.pid, worker.pid].map((pid) => Math.round(residentMbOf(pid) ?? NaN));
      console.log(`${count} nodes: ready in ${Math.round(startMs)} ms, worker ${workerMemoryMb ?? '?'} MB`);
      const target: Target = { urls: [api.url], ...sender, callbacksPerEvent: LISTENERS, eventTypes: count };
      await burst(children, target, { events: Math.ceil(options.events / 10) });
      const rates: number[] = [];
      for (let round = 0; round < options.rounds; round += 1) {
        const sent = await burst(children, target, { events: options.events });
        rates.push(ratesOf(sent, target).deliveredPerSecond ?? NaN);
      }
      const deliveredPerSecond = median(rates);
      return {
        registeredMs,
        startMs,
        apiMemoryMb: apiMemoryMb ?? NaN,
        workerMemoryMb: workerMemoryMb ?? NaN,
        deliveredPerSecond,
      };
    });
  });
}

function registerNodes(api: Api, count: number, receiverUrl: string): Promise<void> {
  return forEachOf(count, async (index) => {
    const type = await create(api, '/event-types', { sourceId: 'BENCH', eventTypeCode: `MEASURED-${index}` });
    const urls = Array.from({ length: LISTENERS }, (_, listener) => `${receiverUrl}/n${index}/l${listener}`);
    await registerNode(api, { nodeCode: `BENCH-${index}`, eventTypeId: String(type['id']), urls });
  });
}
