import type { CentreClient } from '../support/centre-client.js';
import type { CentreProcess } from '../support/centre-process.js';
import { pause } from '../support/pause.js';
import { until } from '../support/until.js';
import { closeAndCompare } from './closing.js';
import { startLoad } from './generator.js';
import type { Ledger, SendRecord } from './ledger.js';
import { recoveryAfter } from './recovery.js';
import type { Stage } from './scenario.js';
import { register, type Registered } from './setting.js';

const NODES = 2;
const LISTENERS_PER_NODE = 2;
const NODE_CONCURRENCY = 16;
/** What a worker takes from a node's queue beyond the calls that it makes at a time. */
const PREFETCH_BEYOND_CONCURRENCY = 96;
/** What a worker can have unacknowledged when it loses its connection. */
const IN_HAND = NODES * (NODE_CONCURRENCY + PREFETCH_BEYOND_CONCURRENCY);

const RATE_PER_SECOND = 100;
const BEFORE_MS = 4_000;
const AFTER_MS = 5_000;

/** What a fault works with. */
export interface Scene {
  centre: CentreProcess;
  client: CentreClient;
  registered: Registered;
}

export interface FaultUnderLoad {
  /** Brings the fault about and takes it back; resolves when it is over. */
  fault: (scene: Scene) => Promise<void>;
  /** How often the fault may make the worker lose what it had in hand; 1 when absent, 0 forbids repeats. */
  losses?: number;
  /** How long to wait until everything is delivered. */
  timeoutMs?: number;
}

/** The run as it was closed. `from` and `to` are the times of the fault. */
export interface FaultRun {
  ledger: Ledger;
  sends: SendRecord[];
  from: number;
  to: number;
}

/**
 * Steady load of 100 events/s through one process, to two nodes with two listeners each, a fault in the middle of it, and
 * the ledger closed. Requires that nothing is lost, order is kept, events are accepted again, and repeats are bounded.
 */
export async function faultUnderLoad(stage: Stage, options: FaultUnderLoad): Promise<FaultRun> {
  const { setting, report } = stage;
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const registered = await register(setting, client, {
    nodes: NODES,
    listenersPerNode: LISTENERS_PER_NODE,
    node: { concurrency: NODE_CONCURRENCY },
  });
  const load = startLoad({
    ...setting.target(registered),
    connections: 32,
    ratePerSecond: RATE_PER_SECOND,
    client: () => client,
  });
  await pause(BEFORE_MS);
  const from = Date.now();
  setting.mark('the fault begins');
  await options.fault({ centre, client, registered });
  const to = Date.now();
  setting.mark('the fault is over');
  await untilAcceptedAgain(stage, to).catch(() => undefined);
  await pause(AFTER_MS);
  const sends = await load.stop();
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: options.timeoutMs ?? 120_000 });
  const recovery = recoveryAfter(to, { sends, calls: setting.calls(), owedBy });
  for (const [name, value] of Object.entries(recovery)) report.figure(name, value);
  report.figure('refused', ledger.refused);
  report.require('events are accepted again', recovery.acceptedAgainMs >= 0, `${recovery.acceptedAgainMs} ms after`);
  const losses = options.losses ?? 1;
  if (losses === 0) report.requireNoRepeats(ledger);
  else report.requireRepeatsWithin(ledger, losses * IN_HAND, `a worker holds, ${losses} times`);
  return { ledger, sends, from, to };
}

async function untilAcceptedAgain({ setting }: Stage, since: number): Promise<void> {
  await until(
    'an event is accepted again',
    () => setting.sends().some((send) => send.accepted && send.sentAt >= since),
    60_000,
    500,
  );
}

/** The sends that were begun and answered within the fault, without its first and last moments. */
export function sendsWithin({ sends, from, to }: FaultRun, marginMs: number): SendRecord[] {
  return sends.filter((send) => send.sentAt > from + marginMs && send.answeredAt < to - marginMs);
}

/** How sends were answered, for a report. */
export function answersOf(sends: SendRecord[]): string {
  const counts = new Map<string, number>();
  for (const { httpStatus, code } of sends) {
    const answer = `${httpStatus} ${code}`;
    counts.set(answer, (counts.get(answer) ?? 0) + 1);
  }
  return [...counts].map(([answer, count]) => `${count} × ${answer}`).join(', ') || 'none';
}

/** Longest answer in ms; 0 without any. */
export function longestAnswerMs(sends: SendRecord[]): number {
  return sends.reduce((longest, send) => Math.max(longest, send.answeredAt - send.sentAt), 0);
}
