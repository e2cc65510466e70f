import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare, closeFromFiles, waitForDelivery } from '../closing.js';
import { sendLoad, startLoad } from '../generator.js';
import { requireKeptLatency } from '../latencies.js';
import type { ListenerName, SendRecord } from '../ledger.js';
import { residentMemory } from '../resident-memory.js';
import type { Scenario, Stage } from '../scenario.js';
import { hugeAnswers, sick, SICKNESSES } from '../sick-answers.js';
import { addListener, register } from '../setting.js';

const RATE = 4;
/** Of sick listeners; more than a well one takes to answer on a busy machine. */
const TIME_OUT_MS = 4_000;
const HEALTHY_NODES = 4;
const WELL_MS = 10_000;
const SICK_MS = 10_000;
const ATTEMPTS = 3;
/** More than the jitter of a small machine, half of a time-out. */
const LATENCY_MS = 2_000;
const LATENCY_RATIO = 5;
const MOST_MIB = 400;

/**
 * A node for each way to misbehave, whose first listener is sick and whose second is well, beside nodes that are well
 * altogether.
 */
async function listenersSick({ setting, report, short }: Stage): Promise<void> {
  const api = await setting.startCentre('api');
  const worker = await setting.startCentre('worker', {
    EVENT_CENTER_RETRY_DELAYS_MS: '300,600',
    // An open circuit would put the deliveries off without using an attempt.
    EVENT_CENTER_DELIVERY_BREAKER_THRESHOLD: '100000',
  });
  const client = setting.client(api);
  const registered = await register(setting, client, { nodes: HEALTHY_NODES, listenersPerNode: 1 });
  let isSick = false;
  const sickNodes = new Map<string, (typeof SICKNESSES)[number]>();
  for (const sickness of SICKNESSES) {
    const node = `sick-${sickness.name}`;
    await client.must('POST', '/nodes', { nodeCode: node });
    for (const operIndex of [1, 2]) {
      const listener = operIndex === 1 ? { timeoutMs: TIME_OUT_MS } : {};
      const spec = { eventTypeId: registered.eventTypeId, node, operIndex, listener };
      registered.listeners.push(await addListener(setting, client, spec));
    }
    setting.receivers.behaviours.set(
      `${node}-L1`,
      sick(sickness, () => isSick),
    );
    sickNodes.set(node, sickness);
  }
  const owedBy = (): ListenerName[] => registered.listeners;
  const target = { ...setting.target(registered), ratePerSecond: RATE, client: () => client };

  const wellAt = Date.now();
  await sendLoad({ ...target, events: (RATE * (short ? 3_000 : WELL_MS)) / 1_000, connections: 8 });
  await waitForDelivery(setting, { owedBy, timeoutMs: 30_000 });
  const before = residentMemory(worker.pid);
  isSick = true;
  const sickAt = Date.now();
  const load = startLoad({ ...target, firstNumber: 1_000_000, connections: 8 });
  await pause(short ? 4_000 : SICK_MS);
  await load.stop();
  const sickUntil = Date.now();

  const excuse = (send: SendRecord, { node, listener }: ListenerName): 'failed' | null => {
    const error = sickNodes.get(node)?.error ?? null;
    return send.sentAt >= sickAt && error !== null && listener.endsWith('-L1') ? 'failed' : null;
  };
  const failing = [...sickNodes].filter(([, { error }]) => error !== null);
  await until(
    'every delivery to a sick listener has failed for good',
    async () =>
      (await client.all('/deliveries?state=failed')).length === failing.length * sickSends(setting.sends()).length,
    120_000,
    1_000,
  ).catch(() => undefined);
  const ledger = await closeAndCompare(report, { setting, client, owedBy, excuse, timeoutMs: 60_000 });
  report.requireNoRepeats(ledger);
  for (const [node, sickness] of failing) {
    const failures: { lastError: string | null; attempts: number }[] = await client.all(`/failures?nodeCode=${node}`);
    const right = failures.filter(
      ({ lastError, attempts }) => sickness.error?.test(lastError ?? '') === true && attempts === ATTEMPTS,
    );
    report.require(
      `${sickness.name}: each event fails after ${ATTEMPTS} attempts, for what was wrong`,
      right.length === failures.length && failures.length === sickSends(setting.sends()).length,
      `${right.length} of ${failures.length}: ${JSON.stringify(failures.find((one) => !right.includes(one)) ?? failures[0]?.lastError)}`,
    );
  }
  requireKeptLatency(
    report,
    { sends: setting.sends(), calls: setting.calls() },
    {
      name: 'healthy',
      who: 'healthy nodes',
      isOf: ({ node }) => !sickNodes.has(node),
      ...{ wellAt, illAt: sickAt, overAt: sickUntil, mostMs: LATENCY_MS, mostTimes: LATENCY_RATIO },
    },
  );
  const after = residentMemory(worker.pid);
  report.figure('workerMiBBefore', before.mostMiB);
  report.figure('workerMiBMost', after.mostMiB);
  report.require('the worker stays small', after.mostMiB < MOST_MIB, `${Math.round(after.mostMiB)} MiB`);
  report.figure('hugeAnswersMiBEach', hugeAnswers.written / hugeAnswers.begun / 1024 / 1024);

  isSick = false;
  const replay = await client.must('POST', '/replays', { filter: { states: ['failed'] } });
  await until(
    'the replay is done',
    async () => (await client.must('GET', `/replays/${replay.id}`)).state === 'done',
    60_000,
    500,
  );
  await waitForDelivery(setting, { owedBy, timeoutMs: 60_000 });
  const replayed = closeFromFiles(setting, { owedBy });
  report.figure('replayed', ledger.failed.length);
  report.require(
    'a replay delivers all of them once the listeners are well',
    replayed.lost.length === 0 && replayed.delivered === replayed.owed,
    `${replayed.delivered} of ${replayed.owed}`,
  );
  report.requireNoRepeats(replayed);
  await until(
    'the API agrees',
    async () => (await client.all('/deliveries?state=succeeded')).length === replayed.owed,
    30_000,
    1_000,
  ).then(
    () => report.require('the API agrees', true, replayed.owed),
    async () => report.require('the API agrees', false, (await client.all('/deliveries?state=failed')).slice(0, 3)),
  );

  function sickSends(sends: SendRecord[]): SendRecord[] {
    return sends.filter((send) => send.accepted && send.sentAt >= sickAt);
  }
}

export const scenarios: Scenario[] = [
  {
    name: 'listeners-sick',
    group: 'listeners',
    promise:
      'Listeners that hang, trickle, answer 100 MB, close early, redirect or answer nonsense fail after their schedule, hold up nobody, and get everything by a replay once they are well.',
    run: listenersSick,
  },
];
