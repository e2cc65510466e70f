import type { CentreClient } from '../support/centre-client.js';
import { until } from '../support/until.js';
import { closeLedger, pairKey, type Excuse, type Ledger, type ListenerName, type SendRecord } from './ledger.js';
import type { RunReport } from './run-report.js';
import type { Setting } from './setting.js';

/** Listing everything costs the centre something. */
const LOOK_MS = 1_000;

/** What a run owed, and how long to wait for it. */
export interface Owing {
  owedBy: (send: SendRecord) => ListenerName[];
  /** What must have become of pairs that are not delivered; without it none may be missing. */
  excuse?: Excuse;
  timeoutMs: number;
}

/**
 * Waits until nothing of the accepted events is missing at the receivers any more, but what is excused; gives up without
 * throwing, because the ledger will tell.
 */
export async function waitForDelivery(setting: Setting, { owedBy, excuse, timeoutMs }: Owing): Promise<void> {
  const missing = new Set<string>();
  for (const send of setting.sends().filter(({ accepted }) => accepted)) {
    for (const name of owedBy(send)) {
      if ((excuse?.(send, name) ?? null) === null) missing.add(pairKey(send.number, name));
    }
  }
  const { calls } = setting.receivers;
  let seen = 0;
  const look = (): boolean => {
    for (; seen < calls.length; seen += 1) {
      const call = calls[seen];
      if (call?.success === true) missing.delete(pairKey(call.number, call));
    }
    return missing.size === 0;
  };
  await until('every accepted event is delivered', look, timeoutMs).catch(() => undefined);
}

/** Closes the ledger from the files of the generators and the receivers alone. */
export function closeFromFiles(setting: Setting, { owedBy, excuse }: Omit<Owing, 'timeoutMs'>): Ledger {
  return closeLedger(setting.sends(), setting.calls(), owedBy, excuse);
}

/**
 * Waits for delivery, closes the ledger from the files alone and requires that nothing is lost and order was kept; only
 * then compares it with what the API says. What is to be required of repeats is the scenario's to say.
 */
export async function closeAndCompare(
  report: RunReport,
  run: Owing & {
    setting: Setting;
    client: CentreClient;
    /** How long the journal may take after everything is delivered; as long as the delivery when absent. */
    recordTimeoutMs?: number;
  },
): Promise<Ledger> {
  await waitForDelivery(run.setting, run);
  const ledger = closeFromFiles(run.setting, run);
  report.requireNothingLost(ledger);
  report.require(
    'order by operindex kept',
    ledger.outOfOrder.length === 0,
    `${ledger.outOfOrder.length} calls out of order`,
  );
  await compareWithApi(report, ledger, {
    sends: run.setting.sends(),
    client: run.client,
    timeoutMs: run.recordTimeoutMs ?? run.timeoutMs,
  });
  return ledger;
}

interface Recorded {
  events: number;
  succeeded: number;
  pending: number;
  failed: number;
  inFailureLog: number;
}

/** The API must know every accepted event, and say of the deliveries of these what the ledger says. */
async function compareWithApi(
  report: RunReport,
  ledger: Ledger,
  run: { sends: SendRecord[]; client: CentreClient; timeoutMs: number },
): Promise<void> {
  const acceptedIds = new Set(run.sends.filter((send) => send.accepted).map((send) => send.eventId as string));
  const expected: Recorded = {
    events: ledger.accepted,
    succeeded: ledger.delivered,
    pending: ledger.pending.length,
    failed: ledger.failed.length,
    inFailureLog: ledger.failed.length,
  };
  let found: Recorded | null = null;
  await until(
    'the API says what the ledger says',
    async () => {
      found = await recorded(run.client, acceptedIds);
      return JSON.stringify(found) === JSON.stringify(expected);
    },
    run.timeoutMs,
    LOOK_MS,
  ).catch((error: unknown) => {
    if (found === null) throw error;
  });
  const { events, succeeded, pending, failed, inFailureLog } = found as unknown as Recorded;
  report.require('the API knows every accepted event', events === expected.events, `${events} of ${expected.events}`);
  report.require(
    'the API counts as many succeeded deliveries as the receivers',
    succeeded === expected.succeeded,
    `${succeeded} of ${expected.succeeded}`,
  );
  report.require(
    'the API counts as many pending and failed ones, and the failure log has each failed one',
    pending === expected.pending && failed === expected.failed && inFailureLog === expected.inFailureLog,
    `pending ${pending} of ${expected.pending}, failed ${failed} of ${expected.failed}, in the failure log ${inFailureLog}`,
  );
}

async function recorded(client: CentreClient, acceptedIds: Set<string>): Promise<Recorded> {
  const ours = async (path: string): Promise<{ eventId: string; listenerId: string }[]> =>
    (await client.all(path)).filter((one: { eventId: string }) => acceptedIds.has(one.eventId));
  const [pending, retrying] = [await ours('/deliveries?state=pending'), await ours('/deliveries?state=retrying')];
  const inFailureLog = await ours('/failures');
  return {
    events: (await ours('/events')).length,
    succeeded: (await ours('/deliveries?state=succeeded')).length,
    pending: pending.length + retrying.length,
    failed: (await ours('/deliveries?state=failed')).length,
    inFailureLog: new Set(inFailureLog.map((one) => `${one.eventId} ${one.listenerId}`)).size,
  };
}
