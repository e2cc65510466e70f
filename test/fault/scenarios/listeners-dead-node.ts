import { pause } from '../../support/pause.js';
import { closeAndCompare } from '../closing.js';
import { startLoad } from '../generator.js';
import { requireKeptLatency } from '../latencies.js';
import { recoveryAfter } from '../recovery.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const NODES = 50;
const DEAD = 'N25';
const RATE = 3;
const PHASE_MS = 15_000;
/** More than the jitter of a small machine, half of a time-out. */
const LATENCY_MS = 1_500;
const LATENCY_RATIO = 3;

/** One of 50 nodes takes calls and never answers, for a while. */
async function oneDeadNode({ setting, report }: Stage): Promise<void> {
  const api = await setting.startCentre('api');
  await setting.startCentre('worker');
  const client = setting.client(api);
  const registered = await register(setting, client, {
    nodes: NODES,
    listenersPerNode: 1,
    listener: { timeoutMs: 3_000, retry: { strategy: 'loop', delaysMs: [2_000] } },
  });
  const load = startLoad({ ...setting.target(registered), ratePerSecond: RATE, connections: 8, client: () => client });
  const wellAt = Date.now();
  await pause(PHASE_MS);
  let isDead = true;
  setting.receivers.behaviours.set(`${DEAD}-L1`, (_, { response }) => {
    if (!isDead) response.writeHead(200).end('{"success":"true"}');
    return !isDead;
  });
  const deadAt = Date.now();
  await pause(PHASE_MS);
  isDead = false;
  const backAt = Date.now();
  await pause(5_000);
  const sends = await load.stop();
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 120_000 });
  report.requireNoRepeats(ledger);
  const records = { sends, calls: setting.calls() };
  requireKeptLatency(report, records, {
    name: 'others',
    who: 'the 49 others',
    isOf: ({ node }) => node !== DEAD,
    ...{ wellAt, illAt: deadAt, overAt: backAt, mostMs: LATENCY_MS, mostTimes: LATENCY_RATIO },
  });
  const waited = records.calls.filter(({ node, success }) => node === DEAD && !success).length;
  report.require('the dead node was called in vain', waited > 0, `${waited} calls`);
  report.figure('callsInVain', waited);
  const { recoveryMs } = recoveryAfter(backAt, {
    ...records,
    owedBy: () => registered.listeners.filter(({ node }) => node === DEAD),
  });
  report.figure('recoveryMs', recoveryMs);
}

export const scenarios: Scenario[] = [
  {
    name: 'listeners-dead-node',
    group: 'listeners',
    promise: 'While one of 50 nodes hangs, the other 49 keep their latency; it gets what it is owed once it is back.',
    run: oneDeadNode,
  },
];
