import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare } from '../closing.js';
import { sendLoad } from '../generator.js';
import type { CallRecord } from '../ledger.js';
import type { Scenario, Stage } from '../scenario.js';
import { addListener, register, type Setting } from '../setting.js';

const EVENTS = 150;
/** Of each listener, in the order of its retries. */
const DELAYS: Record<string, number[]> = { N1: [2_000, 6_000], N2: [4_000, 12_000], N3: [6_000, 10_000, 15_000] };
const AWAY_MS = 5_000;

/**
 * Retries of three listeners with delays of their own; the broker is ended while they wait, is away while some fall due,
 * and is started again. The receivers' record says when each attempt came.
 */
async function delaysOverRestart(stage: Stage, end: 'stop' | 'kill'): Promise<void> {
  const { setting, report } = stage;
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const registered = await register(setting, client, { nodes: 0, listenersPerNode: 0 });
  for (const [nodeCode, delaysMs] of Object.entries(DELAYS)) {
    await client.must('POST', '/nodes', { nodeCode });
    const listener = { retry: { strategy: 'loop', delaysMs } };
    const spec = { eventTypeId: registered.eventTypeId, node: nodeCode, operIndex: 1, listener };
    registered.listeners.push(await addListener(setting, client, spec));
  }
  // Delay queues that were declared less than a second before a kill come back wedged (architecture, measured).
  await pause(3_000);
  setting.receivers.answering = (call) => call.attempt > delaysOf(call.node).length;
  const load = {
    ...setting.target(registered),
    events: EVENTS,
    connections: 8,
    ratePerSecond: 50,
    client: () => client,
  };
  await sendLoad(load);
  await until('every listener was called once', () => callsOf(setting, 1) >= EVENTS * registered.listeners.length);
  const awayFrom = Date.now();
  await setting.broker[end]();
  await pause(AWAY_MS);
  await setting.broker.start();
  const backAt = Date.now();
  report.figure('awayMs', backAt - awayFrom);
  const ledger = await closeAndCompare(report, {
    setting,
    client,
    owedBy: () => registered.listeners,
    timeoutMs: 180_000,
  });
  report.require('every event accepted', ledger.accepted === EVENTS, ledger.accepted);
  requireSchedule(stage, setting.calls(), { awayFrom, backAt });
}

/** No attempt may come before its delay is over; how late those were that did not fall due while the broker was away. */
function requireSchedule({ report }: Stage, calls: CallRecord[], away: { awayFrom: number; backAt: number }): void {
  const chains = new Map<string, CallRecord[]>();
  for (const call of calls) {
    const key = `${call.number} ${call.listener}`;
    chains.set(key, [...(chains.get(key) ?? []), call]);
  }
  let early = 0;
  let retries = 0;
  let latestAfterReturnMs = 0;
  let latestOtherwiseMs = 0;
  for (const chain of chains.values()) {
    for (const call of chain.filter(({ attempt }) => attempt > 1)) {
      const before = chain.filter(({ attempt }) => attempt === call.attempt - 1).map(({ at }) => at);
      const dueAt = Math.min(...before) + (delaysOf(call.node)[call.attempt - 2] as number);
      retries += 1;
      if (call.at < dueAt) early += 1;
      if (dueAt < away.awayFrom || dueAt > away.backAt)
        latestOtherwiseMs = Math.max(latestOtherwiseMs, call.at - dueAt);
      else latestAfterReturnMs = Math.max(latestAfterReturnMs, call.at - away.backAt);
    }
  }
  report.figure('retries', retries);
  report.figure('early', early);
  report.figure('latestOfThoseDueWhileAwayMs', latestAfterReturnMs);
  report.figure('latestOfTheOthersMs', latestOtherwiseMs);
  report.require('no attempt came early', early === 0, `${early} of ${retries}`);
}

function delaysOf(node: string): number[] {
  return DELAYS[node] as number[];
}

function callsOf({ receivers }: Setting, attempt: number): number {
  return receivers.calls.filter((call) => call.attempt === attempt).length;
}

const HELD_EVENTS = 400;
const STEP_MS = 8_000;
/** Long enough for the step to be over, too short for the centre to make the queue anew. */
const HELD_MS = 30_000;
/** Until everything has come, once the queue answers again. */
const MADE_UP_MS = 20_000;

/**
 * The leader of a node's queue answers nothing for half a minute while its retries wait in a delay step that it shares
 * with another node. The broker moves what is due in a step one by one and waits for that leader (3.10.8).
 */
async function targetHeld({ setting, report }: Stage): Promise<void> {
  const events = HELD_EVENTS;
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const listener = { retry: { strategy: 'loop', delaysMs: [STEP_MS] } };
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 1, listener });
  await pause(3_000);
  setting.receivers.answering = (call) => call.attempt > 1;
  await sendLoad({ ...setting.target(registered), events, connections: 16, client: () => client });
  await until('every listener was called', () => callsOf(setting, 1) >= events * 2, 60_000);
  await setting.broker.evaluate(onQueue('suspend', 'ec.node.N1'));
  const heldFrom = Date.now();
  await pause(HELD_MS);
  await setting.broker.evaluate(onQueue('resume', 'ec.node.N1'));
  const heldTo = Date.now();
  const ledger = await closeAndCompare(report, {
    setting,
    client,
    owedBy: () => registered.listeners,
    timeoutMs: 180_000,
  });
  report.require('every event accepted', ledger.accepted === events, ledger.accepted);
  const calls = setting.calls();
  const took = calls.filter((call) => call.node === 'N1' && call.attempt > 1 && call.at > heldFrom && call.at < heldTo);
  const late = calls.filter((call) => call.node === 'N2' && call.attempt > 1 && call.at > heldTo).length;
  report.requireNoRepeats(ledger);
  report.figure('retriesPerNode', events);
  report.figure('heldMs', heldTo - heldFrom);
  report.figure('latestOfTheOtherNodeMs', lateness(calls, 'N2'));
  report.figure('retriesOfTheOtherNodeHeld', late);
  report.figure('retriesTakenWhileHeld', took.length);
  const madeUpMs = calls.reduce((latest, { at }) => Math.max(latest, at), heldTo) - heldTo;
  report.figure('recoveryMs', madeUpMs);
  report.require('all have come soon after the queue answers', madeUpMs < MADE_UP_MS, `${madeUpMs} ms`);
}

/** Lets the process that leads a quorum queue handle nothing, and lets it go on. */
function onQueue(what: 'suspend' | 'resume', queue: string): string {
  return `{ok, Q} = rabbit_amqqueue:lookup({resource, <<"/">>, queue, <<"${queue}">>}), sys:${what}(amqqueue:get_pid(Q)).`;
}

/** How late the last second attempt of a node was. */
function lateness(calls: CallRecord[], node: string): number {
  const firstAt = new Map<number, number>();
  let latest = 0;
  for (const call of calls.filter((one) => one.node === node)) {
    if (call.attempt === 1 && !firstAt.has(call.number)) firstAt.set(call.number, call.at);
    else latest = Math.max(latest, call.at - (firstAt.get(call.number) ?? call.at) - STEP_MS);
  }
  return latest;
}

export const scenarios: Scenario[] = [
  {
    name: 'delays-broker-restarted',
    group: 'broker',
    promise: 'Retries that wait while RabbitMQ is stopped and started again all come, none before its delay is over.',
    run: (stage) => delaysOverRestart(stage, 'stop'),
  },
  {
    name: 'delays-broker-killed',
    group: 'broker',
    promise: 'Retries that wait at a kill -9 of RabbitMQ all come, none before its delay is over.',
    run: (stage) => delaysOverRestart(stage, 'kill'),
  },
  {
    name: 'delay-target-held',
    group: 'broker',
    promise:
      'While a node queue answers nothing, retries of other nodes in the same delay step wait for it; none is lost, none comes twice, and all come once it answers or is made anew.',
    run: targetHeld,
  },
];
