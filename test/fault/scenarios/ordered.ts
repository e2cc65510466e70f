import { closeAndCompare, waitForDelivery } from '../closing.js';
import { sendLoad } from '../generator.js';
import type { RunReport } from '../run-report.js';
import { EVENT_TYPE, SOURCE_ID, register, type Setting } from '../setting.js';

/** 3 nodes × 3 listeners, 1,000 events, one listener that fails at random half of the time. */
export async function ordered(setting: Setting, report: RunReport): Promise<void> {
  const centre = await setting.startCentre('all', { EVENT_CENTER_RETRY_DELAYS_MS: '200' });
  const client = setting.client(centre);
  const registered = await register(setting, client, {
    nodes: 3,
    listenersPerNode: 3,
    listener: { retry: { strategy: 'loop', delaysMs: [200] } },
  });
  setting.receivers.answering = (call) => call.listener !== 'N2-L2' || Math.random() < 0.5;
  const sends = await sendLoad({
    app: registered.app,
    sourceId: SOURCE_ID,
    eventType: EVENT_TYPE,
    events: 1_000,
    connections: 16,
    client: () => client,
  });
  const owedBy = () => registered.listeners;
  await waitForDelivery(setting.receivers, sends, owedBy, 120_000);
  const ledger = await closeAndCompare(report, {
    sends,
    receivers: setting.receivers,
    owedBy,
    client,
    timeoutMs: 30_000,
  });
  const failures = setting.receivers.calls.filter((call) => !call.success).length;
  report.require('the failing listener failed about half of its calls', failures > 500, `${failures} failed calls`);
  report.require('every event accepted', ledger.accepted === 1_000, ledger.accepted);
  report.require(
    'every listener answered success exactly once to each',
    ledger.repeats.length === 0,
    `${ledger.repeats.length} repeats`,
  );
}
