import { closeAndCompare } from '../closing.js';
import { sendLoad } from '../generator.js';
import { plant } from '../plants.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

/** What an api accepts while no worker runs waits in the queues; the smallest run in which something can be planted. */
export async function workerLate({ setting, report, short, plant: planted }: Stage): Promise<void> {
  const events = short ? 200 : 1_000;
  const api = await setting.startCentre('api');
  const client = setting.client(api);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  await sendLoad({ ...setting.target(registered), events, connections: 8, client: () => client });
  report.require('no call without a worker', setting.receivers.calls.length === 0, setting.receivers.calls.length);
  if (planted !== null) await plant(planted, setting.broker.url, report);
  const startedAt = Date.now();
  await setting.startCentre('worker');
  const ledger = await closeAndCompare(report, {
    setting,
    client,
    owedBy: () => registered.listeners,
    timeoutMs: planted === null ? 60_000 : 10_000,
  });
  const lastAt = Math.max(...setting.calls().map((call) => call.at));
  report.figure('recoveryMs', lastAt - startedAt);
  report.require('every event accepted', ledger.accepted === events, ledger.accepted);
  report.requireNoRepeats(ledger);
}

export const scenarios: Scenario[] = [
  {
    name: 'worker-late',
    group: 'processes',
    promise: 'What is accepted while no worker runs is delivered once one does.',
    plantable: ['loss', 'repeat'],
    sharesServices: true,
    run: workerLate,
  },
];
