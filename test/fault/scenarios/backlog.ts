import { readFileSync } from 'node:fs';
import { closeAndCompare } from '../closing.js';
import { sendLoad } from '../generator.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const EVENTS = 20_000;
const EVENTS_SHORT = 2_000;
const LOOK_MS = 1_000;
/** Of a worker that drains, whatever waits: it holds what it has in hand, not the backlog. */
const MAX_RESIDENT_MIB = 600;

/** Events that were accepted while no worker ran, drained by one that is started after it. */
async function backlog({ setting, report, short }: Stage): Promise<void> {
  const events = Number(process.env['FAULT_BACKLOG_EVENTS'] ?? (short ? EVENTS_SHORT : EVENTS));
  const api = await setting.startCentre('api');
  const client = setting.client(api);
  const registered = await register(setting, client, { nodes: 1, listenersPerNode: 1 });
  const sentFrom = Date.now();
  await sendLoad({ ...setting.target(registered), events, connections: 64, client: () => client });
  report.figure('acceptedPerSecond', (events * 1000) / (Date.now() - sentFrom));
  const startedAt = Date.now();
  const worker = await setting.startCentre('worker');
  const resident = [residentMib(worker.pid)];
  const looking = setInterval(() => resident.push(residentMib(worker.pid)), LOOK_MS);
  try {
    const ledger = await closeAndCompare(report, {
      setting,
      client,
      owedBy: () => registered.listeners,
      timeoutMs: 30_000 + events * 20,
    });
    report.require('every event accepted', ledger.accepted === events, ledger.accepted);
    report.requireNoRepeats(ledger);
  } finally {
    clearInterval(looking);
  }
  const calls = setting.calls();
  const [first, last] = [calls[0]?.at ?? startedAt, calls.at(-1)?.at ?? startedAt];
  report.figure('recoveryMs', last - startedAt);
  report.figure('drainedPerSecond', (calls.length * 1000) / Math.max(1, last - first));
  report.figure('residentAtStartMib', resident[0] as number);
  report.figure('residentMostMib', Math.max(...resident));
  report.require(
    "the worker's memory is bounded",
    Math.max(...resident) < MAX_RESIDENT_MIB,
    `${Math.max(...resident)} MiB at most`,
  );
}

/** Resident memory of a process, as Linux counts it; 0 when it is gone. */
function residentMib(pid: number): number {
  try {
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Math.round(Number(kib ?? 0) / 1024);
  } catch {
    return 0;
  }
}

export const scenarios: Scenario[] = [
  {
    name: 'backlog-drained',
    group: 'broker',
    promise:
      'A backlog that was accepted while no worker ran is delivered once and completely, with bounded memory of the worker.',
    timeLimitMs: 3_600_000,
    run: backlog,
  },
];
