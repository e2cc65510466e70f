import { pause } from '../../support/pause.js';
import { closeAndCompare } from '../closing.js';
import { startLoad } from '../generator.js';
import { recoveryAfter } from '../recovery.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const OUTAGE_MS = 20_000;

/** RabbitMQ stopped for 20 s under load and started again. */
async function brokerStopped({ setting, report }: Stage): Promise<void> {
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
  const stoppedAt = Date.now();
  await setting.broker.stop();
  await pause(OUTAGE_MS - (Date.now() - stoppedAt));
  await setting.broker.start();
  const startedAt = Date.now();
  await pause(15_000);
  const sends = await load.stop();
  const during = sends.filter((send) => send.sentAt > stoppedAt + 2_000 && send.answeredAt < startedAt - 2_000);
  report.require(
    'senders saw 503 while the broker was away',
    during.length > 0 && during.every((send) => send.httpStatus === 503),
    `${during.length} sends, answers ${[...new Set(during.map((send) => `${send.httpStatus} ${send.code}`))].join(', ')}`,
  );
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 120_000 });
  const recovery = recoveryAfter(startedAt, { sends, calls: setting.calls(), owedBy });
  for (const [name, value] of Object.entries(recovery)) report.figure(name, value);
  report.require('events were accepted before and after', ledger.accepted > 2_000, ledger.accepted);
}

export const scenarios: Scenario[] = [
  {
    name: 'broker-stopped',
    group: 'broker',
    promise:
      'While RabbitMQ is stopped for 20 s senders are answered 503, and what was accepted is delivered after it.',
    run: brokerStopped,
  },
];
