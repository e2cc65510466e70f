import { pause } from '../../support/pause.js';
import { closeAndCompare } from '../closing.js';
import { startLoad } from '../generator.js';
import { recoveryAfter } from '../recovery.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const OUTAGE_MS = 20_000;

/** MariaDB stopped for 20 s under load and started again. */
async function databaseStopped({ setting, report }: Stage): Promise<void> {
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  const load = startLoad({
    ...setting.target(registered),
    connections: 16,
    ratePerSecond: 200,
    client: () => client,
  });
  await pause(5_000);
  await setting.database.stop();
  const stoppedAt = Date.now();
  await pause(OUTAGE_MS / 2);
  const ready = await fetch(`${centre.url}/readyz`);
  report.require(
    '/readyz answers 200 and names the database',
    ready.status === 200,
    `${ready.status} ${await ready.text()}`,
  );
  await pause(OUTAGE_MS - (Date.now() - stoppedAt));
  const delivered = setting.receivers.calls.filter((call) => call.at > stoppedAt + 1_000).length;
  const startedAt = Date.now();
  await setting.database.start();
  await pause(5_000);
  const sends = await load.stop();
  const during = sends.filter((send) => send.sentAt > stoppedAt && send.answeredAt < startedAt);
  report.require(
    'sending went on while the database was away',
    during.length > 1_000 && during.every((send) => send.accepted),
    `${during.filter((send) => send.accepted).length} of ${during.length} accepted`,
  );
  report.require('delivering went on while the database was away', delivered > 4_000, `${delivered} calls`);
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 60_000 });
  const { recoveryMs } = recoveryAfter(startedAt, { sends, calls: setting.calls(), owedBy });
  report.figure('recoveryMs', recoveryMs);
  report.requireNoRepeats(ledger);
}

export const scenarios: Scenario[] = [
  {
    name: 'database-stopped',
    group: 'database',
    promise: 'While MariaDB is stopped for 20 s sending and delivering go on, and the journal catches up after it.',
    run: databaseStopped,
  },
];
