/** The centre beside its floor: rates, latencies and processor time of the way of an event. */
import { end, forkBench, nextMessage, watchProcess } from '../children.js';
import { atPlace, withCentre } from '../centres.js';
import { measure, median, withChildren, type Children, type Figures, type Target } from '../measure.js';
import type { BenchOptions } from '../options.js';
import { registerBench } from '../registration.js';
import { atLeast, atMost, ratio, type Goal, type Scenario, type ScenarioResult, type Table } from '../scenario.js';
import { BROKER_URL, DATABASE_URL, temporaryBroker, temporaryDatabase } from '../surroundings.js';

const TRUSTED_FLOOR = 0.3;

type Kind = 'bare' | 'floor' | 'centre' | 'quiet' | 'embedded';
interface Row extends Figures {
  kind: Kind;
  memoryMb: number | null;
  /** Processor time of the process for one event, over the whole measurement. */
  cpuMsPerEvent: number | null;
}
interface Part {
  name: string;
  /** Number of listeners of each node. */
  nodes: number[];
  kinds: Kind[];
}

const PARTS: Part[] = [
  { name: 'one listener', nodes: [1], kinds: ['bare', 'floor', 'centre', 'quiet', 'embedded'] },
  { name: 'one node with four listeners', nodes: [4], kinds: ['floor', 'centre', 'embedded'] },
  { name: 'four nodes with a listener each', nodes: [1, 1, 1, 1], kinds: ['floor', 'centre', 'embedded'] },
];

export const pipeline: Scenario = {
  name: 'pipeline',
  title: 'rates and latencies beside a floor without any feature',
  minutes: 10,
  run: (options) =>
    withChildren(async (children) => {
      const results: { part: string; rows: Row[] }[] = [];
      for (const part of PARTS.filter(({ name }) => name.includes(options.only))) {
        results.push({ part: part.name, rows: await runPart(children, part, options) });
      }
      return resultOf(results, options);
    }),
};

async function runPart(children: Children, part: Part, options: BenchOptions): Promise<Row[]> {
  const kinds = part.kinds.filter((kind) => options.kinds.includes(kind));
  const taken = new Map<Kind, Row[]>(kinds.map((kind) => [kind, []]));
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const kind of kinds) {
      const row = await runOne({ children, part, options }, kind);
      console.log(`${part.name}, round ${round}, ${kind}: ${JSON.stringify(row)}`);
      taken.get(kind)?.push(row);
    }
  }
  return kinds.map((kind) => medianRow(kind, taken.get(kind) ?? []));
}

function medianRow(kind: Kind, rows: Row[]): Row {
  const pick = (name: Exclude<keyof Row, 'kind'>): number | null =>
    rows.every((row) => row[name] !== null) ? median(rows.map((row) => row[name] as number)) : null;
  return {
    kind,
    acceptedPerSecond: pick('acceptedPerSecond') ?? 0,
    deliveredPerSecond: pick('deliveredPerSecond'),
    p50Ms: pick('p50Ms'),
    p99Ms: pick('p99Ms'),
    p99SentMs: pick('p99SentMs'),
    memoryMb: pick('memoryMb'),
    cpuMsPerEvent: pick('cpuMsPerEvent'),
  };
}

interface Run {
  children: Children;
  part: Part;
  options: BenchOptions;
}

type Measured = (target: Omit<Target, 'callbacksPerEvent'>, pid: number) => Promise<Row>;

async function runOne(run: Run, kind: Kind): Promise<Row> {
  const { children, part, options } = run;
  const callbacksPerEvent = kind === 'bare' ? 0 : part.nodes.reduce((sum, listeners) => sum + listeners, 0);
  const nodes = part.nodes.map((listeners, node) =>
    Array.from({ length: listeners }, (_, listener) => `${children.receiverUrl}/n${node}/l${listener}`),
  );
  const measured: Measured = async (target, pid) => {
    const watched = watchProcess(pid);
    const { sent, ...figures } = await measure(children, { ...target, callbacksPerEvent }, options);
    const { memoryMb, cpuMs } = watched.stop();
    const cpuMsPerEvent = cpuMs === null ? null : Math.round((cpuMs / sent) * 1000) / 1000;
    return { kind, ...figures, memoryMb, cpuMsPerEvent };
  };
  if (kind === 'bare') return onFloor({ kind, nodes: [] }, measured);
  if (kind === 'floor') return onFloor({ kind, nodes }, measured);
  return onCentre(kind, nodes, { options, measured });
}

async function onFloor(settings: { kind: 'bare' | 'floor'; nodes: string[][] }, measured: Measured): Promise<Row> {
  const broker = temporaryBroker(BROKER_URL);
  const database = await temporaryDatabase(DATABASE_URL);
  const floor = forkBench('floor.ts', [
    JSON.stringify({ ...settings, brokerUrl: BROKER_URL, databaseUrl: database.url, prefix: broker.prefix }),
  ]);
  try {
    const url = await nextMessage(floor, (message) => (typeof message === 'string' ? message : null));
    return await measured({ urls: [url], appId: 'BENCH', appKey: 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=' }, floor.pid as number);
  } finally {
    await end(floor);
    await broker.remove(['events'], ['journal', ...settings.nodes.map((_, index) => `node.${index}`)]);
    await database.remove();
  }
}

async function onCentre(
  kind: 'centre' | 'quiet' | 'embedded',
  nodes: string[][],
  { options, measured }: { options: BenchOptions; measured: Measured },
): Promise<Row> {
  const { profile } = options;
  const settings = kind === 'quiet' ? { EVENT_CENTER_LOG_LEVEL: 'warn', ...options.settings } : options.settings;
  const nodeArguments = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const work = (environment: Record<string, string>): Promise<Row> =>
    withCentre({ environment }, { nodeArguments, settings }, async (centre) => {
      const sender = await registerBench(centre, nodes);
      return measured({ urls: [centre.url], ...sender }, centre.pid);
    });
  if (kind === 'embedded') return work({ EVENT_CENTER_BROKER_URL: 'embedded:' });
  const nodeCodes = nodes.map((_, index) => `BENCH-${index}`);
  return atPlace(nodeCodes, ({ environment }) => work(environment));
}

function resultOf(results: { part: string; rows: Row[] }[], options: BenchOptions): ScenarioResult {
  return {
    goals: results.filter(({ part }) => part === PARTS[0]?.name).flatMap(({ rows }) => goalsOf(rows)),
    tables: results.map(({ part, rows }) => tableOf(part, rows, options)),
    notes: results.flatMap(({ rows }) => trustOf(rows)),
    plots: [],
    raw: results,
  };
}

/** The goals are about one listener. */
function goalsOf(rows: Row[]): Goal[] {
  const [floor, centre, embedded] = (['floor', 'centre', 'embedded'] as const).map((kind) =>
    rows.find((row) => row.kind === kind),
  );
  if (centre === undefined) return [];
  const goals: Goal[] = [];
  if (floor !== undefined) {
    goals.push(atLeast('accepted, of the floor', ratio(centre.acceptedPerSecond, floor.acceptedPerSecond), 0.8));
    goals.push(atLeast('delivered, of the floor', ratio(centre.deliveredPerSecond, floor.deliveredPerSecond), 0.9));
  }
  goals.push(atMost('p99 from accepted to received at 1,000 events/s', centre.p99Ms ?? NaN, { most: 25, unit: 'ms' }));
  if (embedded !== undefined) {
    const share = ratio(embedded.deliveredPerSecond, centre.deliveredPerSecond);
    goals.push(atLeast('embedded broker delivered, of RabbitMQ’s figure', share, 0.5));
  }
  return goals;
}

function tableOf(part: string, rows: Row[], options: BenchOptions): Table {
  const floor = rows.find((row) => row.kind === 'floor');
  return {
    title: `${part}, events of 1 KB, ${options.events} events, median of ${options.rounds} rounds`,
    columns: [
      '',
      'accepted/s',
      'accepted of floor',
      'delivered/s',
      'delivered of floor',
      'p50 ms',
      'p99 ms',
      'p99 ms from sent',
      'memory MB',
      'cpu ms/event',
    ],
    rows: rows.map((row) => [
      row.kind,
      row.acceptedPerSecond,
      ratio(row.acceptedPerSecond, floor?.acceptedPerSecond ?? null),
      row.deliveredPerSecond ?? '-',
      row.deliveredPerSecond === null ? '-' : ratio(row.deliveredPerSecond, floor?.deliveredPerSecond ?? null),
      row.p50Ms ?? '-',
      row.p99Ms ?? '-',
      row.p99SentMs ?? '-',
      row.memoryMb ?? '-',
      row.cpuMsPerEvent ?? '-',
    ]),
  };
}

function trustOf(rows: Row[]): string[] {
  const [bare, floor] = (['bare', 'floor'] as const).map((kind) => rows.find((row) => row.kind === kind));
  if (bare === undefined || floor === undefined) return [];
  const share = ratio(floor.acceptedPerSecond, bare.acceptedPerSecond);
  return [`The floor accepts ${share} of bare: ${share >= TRUSTED_FLOOR ? 'trusted' : '**not trusted**'}.`];
}
