/** `npm run bench`: the centre beside its floor, as a table of medians with ratios, and as JSON. See bench/README.md. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ChildProcess } from 'node:child_process';
import { startCentreProcess } from '../test/support/centre-process.js';
import { end, forkBench, nextMessage, watchProcess } from './children.js';
import { measure, median, type Figures, type Target } from './measure.js';
import type { ReceiverReport } from './protocol.js';
import { registerBench } from './registration.js';
import { BROKER_URL, DATABASE_URL, temporaryBroker, temporaryDatabase } from './surroundings.js';

const { values: options } = parseArgs({
  options: {
    events: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    profile: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    kinds: { type: 'string', default: 'bare,floor,centre,embedded' },
  },
});
const KINDS = options.kinds.split(',');
const SETTINGS = Object.fromEntries(options.set.map((setting) => setting.split('=') as [string, string]));
const EVENTS = Number(options.events);
const ROUNDS = Number(options.rounds);
const BODY_BYTES = 1024;
const CONNECTIONS = 64;
const TRUSTED_FLOOR = 0.3;

type Kind = 'bare' | 'floor' | 'centre' | 'embedded';
interface Row extends Figures {
  kind: Kind;
  memoryMb: number | null;
  /** Processor time of the process for one event, over the whole measurement. */
  cpuMsPerEvent: number | null;
}
interface Scenario {
  name: string;
  /** Number of listeners of each node. */
  nodes: number[];
  kinds: Kind[];
}

const SCENARIOS: Scenario[] = [
  { name: 'one listener', nodes: [1], kinds: ['bare', 'floor', 'centre', 'embedded'] },
  { name: 'one node with four listeners', nodes: [4], kinds: ['floor', 'centre', 'embedded'] },
  { name: 'four nodes with a listener each', nodes: [1, 1, 1, 1], kinds: ['floor', 'centre', 'embedded'] },
];

interface Children {
  load: ChildProcess;
  receiver: ChildProcess;
  receiverUrl: string;
}

async function run(): Promise<void> {
  const receiver = forkBench('receiver.ts');
  const receiverUrl = await nextMessage(receiver, (message) => {
    const report = message as ReceiverReport;
    return report.kind === 'ready' ? report.url : null;
  });
  const load = forkBench('load.ts');
  await nextMessage(load, (message) => ((message as { kind?: string }).kind === 'ready' ? true : null));
  const children = { load, receiver, receiverUrl };
  try {
    const results: { scenario: string; rows: Row[] }[] = [];
    for (const scenario of SCENARIOS.filter((one) => one.name.includes(options.only))) {
      results.push({ scenario: scenario.name, rows: await runScenario(children, scenario) });
    }
    report(results);
  } finally {
    await Promise.all([end(load), end(receiver)]);
  }
}

async function runScenario(children: Children, scenario: Scenario): Promise<Row[]> {
  const kinds = scenario.kinds.filter((kind) => KINDS.includes(kind));
  const taken = new Map<Kind, Row[]>(kinds.map((kind) => [kind, []]));
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const kind of kinds) {
      const row = await runOne(children, scenario, kind);
      console.log(`${scenario.name}, round ${round}, ${kind}: ${JSON.stringify(row)}`);
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
    memoryMb: pick('memoryMb'),
    cpuMsPerEvent: pick('cpuMsPerEvent'),
  };
}

async function runOne(children: Children, scenario: Scenario, kind: Kind): Promise<Row> {
  const callbacksPerEvent = kind === 'bare' ? 0 : scenario.nodes.reduce((sum, listeners) => sum + listeners, 0);
  const settings = { events: EVENTS, bytes: BODY_BYTES, connections: CONNECTIONS };
  const measureWatched = async (pid: number, target: Target) => {
    const watched = watchProcess(pid);
    const { sent, ...figures } = await measure(children, target, settings);
    const { memoryMb, cpuMs } = watched.stop();
    return { ...figures, memoryMb, cpuMsPerEvent: cpuMs === null ? null : Math.round((cpuMs / sent) * 1000) / 1000 };
  };
  const nodes = scenario.nodes.map((listeners, node) =>
    Array.from({ length: listeners }, (_, listener) => `${children.receiverUrl}/n${node}/l${listener}`),
  );
  if (kind === 'bare' || kind === 'floor') {
    return withFloor({ kind, nodes: kind === 'bare' ? [] : nodes }, async (target, pid) => {
      return { kind, ...(await measureWatched(pid, { ...target, callbacksPerEvent })) };
    });
  }
  return withCentre(kind, nodes, async (target, pid) => {
    return { kind, ...(await measureWatched(pid, { ...target, callbacksPerEvent })) };
  });
}

type Measured = (target: Omit<Target, 'callbacksPerEvent'>, pid: number) => Promise<Row>;

async function withFloor(settings: { kind: 'bare' | 'floor'; nodes: string[][] }, work: Measured): Promise<Row> {
  const broker = temporaryBroker(BROKER_URL);
  const database = await temporaryDatabase(DATABASE_URL);
  const floor = forkBench('floor.ts', [
    JSON.stringify({ ...settings, brokerUrl: BROKER_URL, databaseUrl: database.url, prefix: broker.prefix }),
  ]);
  try {
    const url = await nextMessage(floor, (message) => (typeof message === 'string' ? message : null));
    return await work({ url, appId: 'BENCH', appKey: 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=' }, floor.pid as number);
  } finally {
    await end(floor);
    await broker.remove(['events'], ['journal', ...settings.nodes.map((_, index) => `node.${index}`)]);
    await database.remove();
  }
}

async function withCentre(kind: 'centre' | 'embedded', nodes: string[][], work: Measured): Promise<Row> {
  const broker = temporaryBroker(BROKER_URL);
  const database = kind === 'centre' ? await temporaryDatabase(DATABASE_URL) : null;
  const environment: Record<string, string> =
    database === null
      ? { EVENT_CENTER_BROKER_URL: 'embedded:' }
      : {
          EVENT_CENTER_BROKER_URL: BROKER_URL,
          EVENT_CENTER_BROKER_PREFIX: broker.prefix,
          EVENT_CENTER_DATABASE_URL: database.url,
        };
  const centre = await startCentreProcess({
    environment: { ...environment, ...SETTINGS },
    nodeArguments: options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`],
  });
  try {
    const { appId, appKey } = await registerBench(centre, nodes);
    return await work({ url: centre.url, appId, appKey }, centre.pid);
  } finally {
    await centre.stop();
    if (database !== null) {
      await broker.removeCentre(nodes.map((_, index) => `node.BENCH-${index}`));
      await database.remove();
    }
  }
}

function report(results: { scenario: string; rows: Row[] }[]): void {
  for (const { scenario, rows } of results) {
    const floor = rows.find((row) => row.kind === 'floor');
    const bare = rows.find((row) => row.kind === 'bare');
    console.log(`\n${scenario}, ${BODY_BYTES} bytes, ${EVENTS} events, median of ${ROUNDS}`);
    console.table(Object.fromEntries(rows.map((row) => [row.kind, tableRow(row, floor)])));
    if (bare !== undefined && floor !== undefined) {
      const share = ratio(floor.acceptedPerSecond, bare.acceptedPerSecond);
      console.log(`the floor accepts ${share} of bare: ${share >= TRUSTED_FLOOR ? 'trusted' : 'NOT trusted'}`);
    }
  }
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${new Date().toISOString().replaceAll(':', '-')}.json`);
  const machine = { cpus: cpus().length, model: cpus()[0]?.model, node: process.version };
  writeFileSync(
    file,
    `${JSON.stringify({ machine, events: EVENTS, rounds: ROUNDS, bytes: BODY_BYTES, results }, null, 2)}\n`,
  );
  console.log(`\nwritten as JSON: bench/results/${file.slice(folder.length + 1)}`);
}

function tableRow(row: Row, floor: Row | undefined): Record<string, number | string> {
  return {
    'accepted/s': row.acceptedPerSecond,
    'of floor (accepted)': ratio(row.acceptedPerSecond, floor?.acceptedPerSecond ?? null),
    'delivered/s': row.deliveredPerSecond ?? '-',
    'of floor (delivered)': ratio(row.deliveredPerSecond, floor?.deliveredPerSecond ?? null),
    'p50 ms': row.p50Ms ?? '-',
    'p99 ms': row.p99Ms ?? '-',
    'memory MB': row.memoryMb ?? '-',
    'cpu ms/event': row.cpuMsPerEvent ?? '-',
  };
}

function ratio(value: number | null, floor: number | null): number {
  return value === null || floor === null ? Number.NaN : Math.round((value / floor) * 100) / 100;
}

await run();
