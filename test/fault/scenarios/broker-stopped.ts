import { pause } from '../../support/pause.js';
import { closeAndCompare, waitForDelivery } from '../closing.js';
import { startLoad } from '../generator.js';
import type { RunReport } from '../run-report.js';
import { EVENT_TYPE, SOURCE_ID, register, type Setting } from '../setting.js';

const OUTAGE_MS = 20_000;

/** RabbitMQ stopped for 20 s under load and started again. */
export async function brokerStopped(setting: Setting, report: RunReport): Promise<void> {
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  const load = startLoad({
    app: registered.app,
    sourceId: SOURCE_ID,
    eventType: EVENT_TYPE,
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
  const firstAfter = sends
    .filter((send) => send.accepted && send.answeredAt >= startedAt)
    .map((send) => send.answeredAt);
  report.say(`first event accepted again ${Math.min(...firstAfter) - startedAt} ms after the broker answered`);
  const owedBy = () => registered.listeners;
  await waitForDelivery(setting.receivers, sends, owedBy, 120_000);
  const ledger = await closeAndCompare(report, {
    sends,
    receivers: setting.receivers,
    owedBy,
    client,
    timeoutMs: 60_000,
  });
  report.require('events were accepted before and after', ledger.accepted > 2_000, ledger.accepted);
  report.say(
    `calls repeated: ${ledger.repeats.length}; calls about events answered with 503: ${ledger.unknownOutcome}`,
  );
}
