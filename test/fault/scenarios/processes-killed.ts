import type { CentreClient } from '../../support/centre-client.js';
import type { CentreProcess } from '../../support/centre-process.js';
import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare } from '../closing.js';
import { sendLoad, startLoad } from '../generator.js';
import { killCounted, PATIENT_HEARTBEAT } from '../killing.js';
import { plant } from '../plants.js';
import { recoveryAfter } from '../recovery.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const CONNECTIONS = 16;

/** kill -9 of the only worker in the middle of the load, and a new one. */
async function workerKilled({ setting, report, short, plant: planted }: Stage): Promise<void> {
  const events = short ? 600 : 5_000;
  const api = await setting.startCentre('api');
  const worker = await setting.startCentre('worker', PATIENT_HEARTBEAT);
  const client = setting.client(api);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  setting.receivers.delayMs = 5;
  const sending = sendLoad({ ...setting.target(registered), events, connections: CONNECTIONS, client: () => client });
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

/** What is killed under load, and started again; `serving` takes the sends. */
interface Victims {
  start(): Promise<CentreProcess[]>;
  kill(processes: CentreProcess[]): Promise<number>;
}

/** kill -9 of the process that takes the sends, alone or with the one that delivers, in the middle of the load. */
async function killedUnderLoad({ setting, report }: Stage, victims: Victims): Promise<void> {
  const killed = await victims.start();
  let client = setting.client(killed[0] as CentreProcess);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  const load = startLoad({
    ...setting.target(registered),
    connections: CONNECTIONS,
    ratePerSecond: 100,
    client: (): CentreClient => client,
  });
  await until('calls were made', () => setting.receivers.calls.length >= 1_000, 60_000);
  const inFlight = await victims.kill(killed);
  report.figure('inFlight', inFlight);
  const restartedAt = Date.now();
  client = setting.client((await victims.start())[0] as CentreProcess);
  await pause(4_000);
  const sends = await load.stop();
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 120_000 });
  const recovery = recoveryAfter(restartedAt, { sends, calls: setting.calls(), owedBy });
  for (const [name, value] of Object.entries(recovery)) report.figure(name, value);
  const arrived = new Set(setting.calls().map((call) => call.number));
  const unanswered = sends.filter((send) => !send.accepted && arrived.has(send.number));
  report.figure('unansweredSendsThatArrived', unanswered.length);
  report.require(
    'no more unanswered sends arrived than were under way',
    unanswered.length <= CONNECTIONS,
    unanswered.length,
  );
  report.require('sends were accepted again', recovery.acceptedAgainMs >= 0, recovery.acceptedAgainMs);
  report.requireRepeatsWithin(ledger, inFlight, 'were unacknowledged at the kill');
}

async function kill(processes: CentreProcess[]): Promise<number> {
  await Promise.all(processes.map((one) => one.kill()));
  return 0;
}

export const scenarios: Scenario[] = [
  {
    name: 'worker-killed',
    group: 'processes',
    promise: 'After kill -9 of the only worker nothing is lost, and only what it had unacknowledged may be repeated.',
    short: true,
    sharesServices: true,
    plantable: ['loss'],
    run: workerKilled,
  },
  {
    name: 'api-killed',
    group: 'processes',
    promise:
      'After kill -9 of the only api under load everything that it had answered is delivered, and nothing is repeated.',
    sharesServices: true,
    run: async (stage) => {
      await stage.setting.startCentre('worker');
      await killedUnderLoad(stage, { start: async () => [await stage.setting.startCentre('api')], kill });
    },
  },
  {
    name: 'api-and-worker-killed',
    group: 'processes',
    promise: 'The same after kill -9 of both together, but for repeats of what the worker had unacknowledged.',
    sharesServices: true,
    run: (stage) =>
      killedUnderLoad(stage, {
        start: () =>
          Promise.all([
            stage.setting.startCentre('api', PATIENT_HEARTBEAT),
            stage.setting.startCentre('worker', PATIENT_HEARTBEAT),
          ]),
        kill: (processes) => killCounted(processes, stage.setting.broker),
      }),
  },
];
