import { closeAndCompare } from '../closing.js';
import { sendLoad } from '../generator.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

/** 3 nodes × 3 listeners, 1,000 events, one listener that fails at random half of the time. */
async function ordered({ setting, report }: Stage): Promise<void> {
  const centre = await setting.startCentre('all', { EVENT_CENTER_RETRY_DELAYS_MS: '200' });
  const client = setting.client(centre);
  const registered = await register(setting, client, {
    nodes: 3,
    listenersPerNode: 3,
    listener: { retry: { strategy: 'loop', delaysMs: [200] } },
  });
  setting.receivers.answering = (call) => call.listener !== 'N2-L2' || Math.random() < 0.5;
  await sendLoad({
    ...setting.target(registered),
    events: 1_000,
    connections: 16,
    client: () => client,
  });
  const ledger = await closeAndCompare(report, {
    setting,
    client,
    owedBy: () => registered.listeners,
    timeoutMs: 120_000,
  });
  const failures = setting.receivers.calls.filter((call) => !call.success).length;
  report.require('the failing listener failed about half of its calls', failures > 500, `${failures} failed calls`);
  report.require('every event accepted', ledger.accepted === 1_000, ledger.accepted);
  report.figure('failedCalls', failures);
  report.requireNoRepeats(ledger);
}

export const scenarios: Scenario[] = [
  {
    name: 'ordered',
    group: 'listeners',
    promise: 'A listener that fails half of its calls holds back those behind it at its node and nobody else.',
    sharesServices: true,
    run: ordered,
  },
];
