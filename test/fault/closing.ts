import type { CentreClient } from '../support/centre-client.js';
import { until } from '../support/until.js';
import { closeLedger, type Ledger, type ListenerName, type SendRecord } from './ledger.js';
import type { Receivers } from './receivers.js';
import type { RunReport } from './run-report.js';

/** Waits until nothing of the accepted events is missing at the receivers any more; gives up without throwing. */
export async function waitForDelivery(
  receivers: Receivers,
  sends: SendRecord[],
  owedBy: (send: SendRecord) => ListenerName[],
  timeoutMs: number,
): Promise<void> {
  const owed = sends
    .filter((send) => send.accepted)
    .flatMap((send) => owedBy(send).map((name) => key(send.number, name)));
  await until(
    'every accepted event is delivered',
    () => {
      const succeeded = new Set(receivers.calls.filter((call) => call.success).map((call) => key(call.number, call)));
      return owed.every((pair) => succeeded.has(pair));
    },
    timeoutMs,
  ).catch(() => undefined);
}

function key(number: number, name: ListenerName): string {
  return `${number} ${name.node} ${name.listener}`;
}

/** Closes the ledger from the records alone, then compares it with what the API says. */
export async function closeAndCompare(
  report: RunReport,
  run: {
    sends: SendRecord[];
    receivers: Receivers;
    owedBy: (send: SendRecord) => ListenerName[];
    client: CentreClient;
    timeoutMs: number;
  },
): Promise<Ledger> {
  const ledger = closeLedger(run.sends, run.receivers.calls, run.owedBy);
  report.requireNothingLost(ledger);
  report.require(
    'order by operindex kept',
    ledger.outOfOrder.length === 0,
    `${ledger.outOfOrder.length} calls out of order`,
  );
  await compareWithApi(report, run, ledger);
  return ledger;
}

async function compareWithApi(
  report: RunReport,
  run: { sends: SendRecord[]; client: CentreClient; timeoutMs: number },
  ledger: Ledger,
): Promise<void> {
  const acceptedIds = new Set(run.sends.filter((send) => send.accepted).map((send) => send.eventId));
  const counted = await until(
    'the journal has recorded every accepted event as settled',
    async () => {
      const events = (await run.client.all('/events')).filter((event) => acceptedIds.has(event.eventId));
      const settled = events.filter((event) => event.state === 'succeeded');
      return settled.length === ledger.accepted ? { events: events.length, settled: settled.length } : null;
    },
    run.timeoutMs,
  ).catch(async () => {
    const events = (await run.client.all('/events')).filter((event) => acceptedIds.has(event.eventId));
    return { events: events.length, settled: events.filter((event) => event.state === 'succeeded').length };
  });
  report.require(
    'the API knows every accepted event',
    counted.events === ledger.accepted,
    `${counted.events} of ${ledger.accepted}`,
  );
  report.require(
    'the API says succeeded of each',
    counted.settled === ledger.accepted,
    `${counted.settled} of ${ledger.accepted}`,
  );
  const deliveries = (await run.client.all('/deliveries?state=succeeded')).filter((one) =>
    acceptedIds.has(one.eventId),
  );
  report.require(
    'the API counts as many deliveries as the receivers',
    deliveries.length === ledger.delivered,
    `${deliveries.length} of ${ledger.delivered}`,
  );
}
