import { until } from '../../support/until.js';
import { closeAndCompare } from '../closing.js';
import { sendLoad } from '../generator.js';
import { killCounted, PATIENT_HEARTBEAT } from '../killing.js';
import { plant } from '../plants.js';
import { recoveryAfter } from '../recovery.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

/** kill -9 of the only worker in the middle of the load, and a new one. */
async function workerKilled({ setting, report, short, plant: planted }: Stage): Promise<void> {
  const events = short ? 600 : 5_000;
  const api = await setting.startCentre('api');
  const worker = await setting.startCentre('worker', PATIENT_HEARTBEAT);
  const client = setting.client(api);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  setting.receivers.delayMs = 5;
  const sending = sendLoad({ ...setting.target(registered), events, connections: 16, client: () => client });
  await until('a third of the calls were made', () => setting.receivers.calls.length >= (events * 4) / 3, 120_000);
  const inFlight = await killCounted([worker], setting.broker);
  report.figure('inFlight', inFlight);
  const sends = await sending;
  if (planted !== null) await plant(planted, setting.broker.url, report);
  const restartedAt = Date.now();
  await setting.startCentre('worker');
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, {
    setting,
    client,
    owedBy,
    timeoutMs: planted === null ? 180_000 : 60_000,
    recordTimeoutMs: planted === null ? 60_000 : 10_000,
  });
  const { recoveryMs } = recoveryAfter(restartedAt, { sends, calls: setting.calls(), owedBy });
  report.figure('recoveryMs', recoveryMs);
  report.require('every event accepted', ledger.accepted === events, ledger.accepted);
  report.requireRepeatsWithin(ledger, inFlight, 'were unacknowledged at the kill');
}

export const scenarios: Scenario[] = [
  {
    name: 'worker-killed',
    group: 'processes',
    promise: 'After kill -9 of the only worker nothing is lost, and only what it had unacknowledged may be repeated.',
    short: true,
    plantable: ['loss'],
    run: workerKilled,
  },
];
