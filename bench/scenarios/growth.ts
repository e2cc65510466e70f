/** What an event costs with more and more event types, listeners and stored events around it. */
import { uuidV7 } from '../../src/core/ids.js';
import { atOwnPlaces, withCentre, type Place } from '../centres.js';
import { watchProcess } from '../children.js';
import { fillJournal } from '../journal-filling.js';
import { burst, median, ratesOf, withChildren, type Children } from '../measure.js';
import type { BenchOptions } from '../options.js';
import type { Plot } from '../plot.js';
import { create, forEachOf, registerSender, type Api } from '../registration.js';
import { atMost, ratio, type Scenario } from '../scenario.js';
import { queryRows } from '../surroundings.js';

/** The largest size may cost this many times what the smallest does. */
const MOST_TIMES = 1.1;
/** Other listeners share these, because a queue for each of a thousand nodes is the question of `nodes`. */
const OTHER_NODES = 20;

interface Dimension {
  unit: string;
  sizes: number[];
  /** Puts `size` of them, with the one that the events concern, around it by the management API. */
  register(api: Api, size: number): Promise<void>;
  /** How many event types beside it stand in the database before. */
  types(size: number): number;
}

interface Cost {
  cpuMsPerEvent: number;
  deliveredPerSecond: number;
}

interface Measured extends Pick<Dimension, 'unit' | 'sizes'> {
  /** Medians, one per size. */
  costs: Cost[];
}

interface Run {
  children: Children;
  options: BenchOptions;
  newPlace: () => Promise<Place>;
}

const STORED = 'stored events';

export const growth: Scenario = {
  name: 'growth',
  title: 'cost of an event against the number of event types, listeners and stored events',
  minutes: 30,
  run: (options) =>
    withChildren((children) =>
      atOwnPlaces(async (newPlace) => {
        const measured: Measured[] = [];
        for (const dimension of dimensionsOf(options)) {
          measured.push(await measureDimension({ children, options, newPlace }, dimension));
        }
        return {
          goals: measured.map(({ unit, sizes, costs }) => {
            const times = ratio(costs.at(-1)?.cpuMsPerEvent ?? null, costs[0]?.cpuMsPerEvent ?? null);
            const what = `processor time of an event with ${sizes.at(-1) ?? '?'} ${unit}, of that with ${sizes[0] ?? '?'}`;
            return atMost(what, times, { most: MOST_TIMES, unit: 'times' });
          }),
          tables: measured.map(({ unit, sizes, costs }) => ({
            title: `${unit}, ${options.events} events of 1 KB, median of ${options.rounds} rounds`,
            columns: [unit, 'cpu ms/event', 'delivered/s'],
            rows: costs.map((cost, index) => [sizes[index] ?? '', cost.cpuMsPerEvent, cost.deliveredPerSecond]),
          })),
          notes: [],
          plots: plotsOf(measured),
          raw: measured,
        };
      }),
    ),
};

const nothing = (): Promise<void> => Promise.resolve();

function dimensionsOf({ rows, only }: BenchOptions): Dimension[] {
  const all: Dimension[] = [
    { unit: 'event types', sizes: [10, 100, 1_000, 10_000], register: nothing, types: (size) => size - 1 },
    {
      unit: 'registered listeners',
      sizes: [1, 10, 100, 1_000],
      register: registerListeners,
      types: (size) => size - 1,
    },
    {
      unit: STORED,
      sizes: [0, 100_000, 1_000_000, 5_000_000].filter((size) => size <= rows),
      register: nothing,
      types: () => 0,
    },
  ];
  return all.filter(({ unit }) => unit.includes(only));
}

/** Prepares each size, then measures them in turn, so that what changes on the machine changes all alike. */
async function measureDimension(run: Run, dimension: Dimension): Promise<Measured> {
  const { unit, sizes } = dimension;
  const prepared: Prepared[] = [];
  for (const size of sizes) {
    const begunAt = performance.now();
    prepared.push(await prepare(run, dimension, size));
    console.log(`${size} ${unit} prepared in ${Math.round((performance.now() - begunAt) / 1000)} s`);
  }
  const taken = sizes.map((): Cost[] => []);
  for (let round = 1; round <= run.options.rounds; round += 1) {
    for (const [index, size] of sizes.entries()) {
      const cost = await costAt(run, prepared[index] as Prepared);
      console.log(`${size} ${unit}, round ${round}: ${JSON.stringify(cost)}`);
      taken[index]?.push(cost);
    }
  }
  const costs = taken.map((rounds) => ({
    cpuMsPerEvent: median(rounds.map((cost) => cost.cpuMsPerEvent)),
    deliveredPerSecond: median(rounds.map((cost) => cost.deliveredPerSecond)),
  }));
  return { unit, sizes, costs };
}

interface Prepared {
  place: Place;
  sender: { appId: string; appKey: string };
}

async function prepare({ children, options, newPlace }: Run, dimension: Dimension, size: number): Promise<Prepared> {
  const place = await newPlace();
  const { settings } = options;
  const { sender, listener } = await withCentre(place, { settings }, (api) =>
    registerOne(api, `${children.receiverUrl}/n0/l0`),
  );
  await insertTypes(place.databaseUrl, dimension.types(size));
  await withCentre(place, { settings }, (api) => dimension.register(api, size));
  if (dimension.unit === STORED && size > 0) {
    await fillJournal(place.databaseUrl, { rows: size, now: Date.now(), listeners: [listener] });
  }
  return { place, sender };
}

/** What the events concern: the sender, its type MEASURED, and one listener of it. */
async function registerOne(api: Api, url: string) {
  const sender = await registerSender(api);
  const [sourceId, eventType, nodeCode] = ['BENCH', 'MEASURED', 'BENCH-0'];
  const type = await create(api, '/event-types', { sourceId, eventTypeCode: eventType });
  const eventTypeId = String(type['id']);
  await create(api, '/nodes', { nodeCode });
  const { id, operIndex } = await create(api, '/listeners', { name: 'measured', nodeCode, eventTypeId, url });
  const listener = { listenerId: String(id), nodeCode, operIndex: Number(operIndex), eventTypeId, sourceId, eventType };
  return { sender, listener };
}

/** Other event types of the sender, straight into the database: thousands of calls would each raise the version. */
async function insertTypes(databaseUrl: string, count: number): Promise<void> {
  if (count === 0) return;
  const columns = 'id, sourceid, eventtypecode, owner, version, last_time';
  const rows = Array.from({ length: count }, (_, index) => [
    Buffer.from(uuidV7().replaceAll('-', ''), 'hex'),
    ...['BENCH', `OTHER-${index}`, 'BENCH', 1, Date.now()],
  ]);
  await queryRows(databaseUrl, `INSERT INTO pub_eventtype (${columns}) VALUES ?`, [rows]);
  await queryRows(databaseUrl, 'UPDATE pub_registry SET version = version + 1');
}

/** Each with an event type of its own. */
async function registerListeners(api: Api, size: number): Promise<void> {
  const nodes = Math.min(OTHER_NODES, size - 1);
  await forEachOf(nodes, async (index) => {
    await create(api, '/nodes', { nodeCode: `OTHER-${index}` });
  });
  await forEachOf(size - 1, async (index) => {
    const type = { sourceId: 'BENCH', eventTypeCode: `OTHER-${index}` };
    const target = { nodeCode: `OTHER-${index % nodes}`, url: 'http://127.0.0.1:9/' };
    await create(api, '/listeners', { name: `other ${index}`, ...type, ...target });
  });
}

async function costAt({ children, options }: Run, { place, sender }: Prepared): Promise<Cost> {
  return withCentre(place, { settings: options.settings }, async (centre) => {
    const target = { urls: [centre.url], ...sender, callbacksPerEvent: 1 };
    await burst(children, target, { events: Math.ceil(options.events / 4) });
    const watched = watchProcess(centre.pid);
    const sent = await burst(children, target, { events: options.events });
    const { cpuMs } = watched.stop();
    return {
      cpuMsPerEvent: Math.round(((cpuMs ?? NaN) / options.events) * 1000) / 1000,
      deliveredPerSecond: ratesOf(sent, target).deliveredPerSecond ?? NaN,
    };
  });
}

function plotsOf(measured: Measured[]): Plot[] {
  const x = { title: 'registered or stored', isLogarithmic: true };
  const linesOf = (value: (cost: Cost) => number): Plot['lines'] =>
    measured.map(({ unit, sizes, costs }) => ({
      name: unit,
      points: costs.map((cost, index) => ({ x: sizes[index] ?? NaN, y: value(cost) })),
    }));
  return [
    {
      file: 'growth-cost.svg',
      title: 'Processor time of an event',
      ...{ x, y: { title: 'ms' } },
      lines: linesOf((cost) => cost.cpuMsPerEvent),
    },
    {
      file: 'growth-rate.svg',
      title: 'Events delivered',
      ...{ x, y: { title: 'per second' } },
      lines: linesOf((cost) => cost.deliveredPerSecond),
    },
  ];
}
