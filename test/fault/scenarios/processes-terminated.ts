import type { CentreClient } from '../../support/centre-client.js';
import type { CentreProcess } from '../../support/centre-process.js';
import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare } from '../closing.js';
import { startLoad } from '../generator.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const GRACE_MS = 30_000;
/** So long that calls are under way at the signal, and well within the grace. */
const ANSWER_MS = 1_000;

/** What runs, and what is ended in order and replaced, one after another. */
interface Cast {
  roles: ('api' | 'worker' | 'all')[];
  /** Indexes into `roles`. */
  replaced: number[];
}

/** SIGTERM under load, and a new process after each that ended. */
async function terminated({ setting, report, short }: Stage, cast: Cast): Promise<void> {
  const processes: CentreProcess[] = [];
  for (const role of cast.roles) processes.push(await setting.startCentre(role));
  const serving = cast.roles.findIndex((role) => role !== 'worker');
  let client = setting.client(processes[serving] as CentreProcess);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 1 });
  setting.receivers.delayMs = ANSWER_MS;
  const load = startLoad({
    ...setting.target(registered),
    connections: 16,
    ratePerSecond: 25,
    client: (): CentreClient => client,
  });
  await until('calls were made', () => setting.receivers.calls.length >= (short ? 50 : 150), 60_000);
  for (const index of cast.replaced) {
    const inHand = setting.receivers.open;
    const startedAt = Date.now();
    const code = await (processes[index] as CentreProcess).stop();
    const tookMs = Date.now() - startedAt;
    report.figure('callsUnderWayAtTheSignal', inHand);
    report.figure('shutdownMs', tookMs);
    report.require(
      'the process ends in order within the grace',
      code === 0 && tookMs < GRACE_MS,
      `${String(code)} after ${tookMs} ms`,
    );
    processes[index] = await setting.startCentre(cast.roles[index] as 'api');
    if (index === serving) client = setting.client(processes[index]);
    await pause(2_000);
  }
  const sends = await load.stop();
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 90_000 });
  report.requireNoRepeats(ledger);
  report.require('no event came of a send that was not accepted', ledger.unknownOutcome === 0, ledger.unknownOutcome);
  if (!cast.replaced.includes(serving)) {
    report.require('every event accepted', ledger.accepted === sends.length, `${ledger.accepted} of ${sends.length}`);
  }
}

function scenario(name: string, promise: string, cast: Cast): Scenario {
  return { name, group: 'processes', promise, sharesServices: true, run: (stage) => terminated(stage, cast) };
}

export const scenarios: Scenario[] = [
  {
    ...scenario(
      'worker-terminated',
      'A worker that gets SIGTERM under load ends with code 0 within the grace; nothing is lost or repeated.',
      { roles: ['api', 'worker'], replaced: [1] },
    ),
    short: true,
  },
  scenario(
    'api-terminated',
    'An api that gets SIGTERM under load ends with code 0; what it accepted is delivered, and what it did not answer never comes.',
    { roles: ['api', 'worker'], replaced: [0] },
  ),
  scenario('all-terminated', 'The same for a process of the role all.', { roles: ['all'], replaced: [0] }),
  scenario(
    'rolling-restart',
    'Two workers are replaced one after the other under load: every send is accepted, nothing is lost or repeated.',
    { roles: ['api', 'worker', 'worker'], replaced: [1, 2] },
  ),
];
