import type { CentreClient } from '../../support/centre-client.js';
import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare, closeFromFiles, waitForDelivery } from '../closing.js';
import { sendLoad, startLoad } from '../generator.js';
import { deleteQueue } from '../queue-surgery.js';
import { recoveryAfter } from '../recovery.js';
import type { Scenario, Stage } from '../scenario.js';
import { EVENT_TYPE, register, SOURCE_ID } from '../setting.js';

/** Short times of the sweeper; the grace is longer than any call takes here. */
const SWEEP = { EVENT_CENTER_JOURNAL_SWEEP_INTERVAL_MS: '1000', EVENT_CENTER_JOURNAL_SWEEP_GRACE_MS: '10000' };
const DELAY_MS = 4_000;

/** What is deleted, and what must hold of repeats. */
interface Deletion {
  queue: string;
  /** Slow listeners, so that messages wait in the node queues. */
  backlog?: boolean;
  /** Every first attempt fails, so that the delay queue is full. */
  firstAttemptsFail?: boolean;
  /** Outcomes that are gone make the sweeper repeat the calls that they were about. */
  repeatsAllowed?: boolean;
  /** Events that were in the journal queue are delivered, and missing in the log. */
  logMayMiss?: boolean;
}

/** A queue is deleted under our feet in the middle of the load, with what is in it. */
async function queueDeleted({ setting, report, short }: Stage, deletion: Deletion): Promise<void> {
  const centre = await setting.startCentre('all', SWEEP);
  const client = setting.client(centre);
  const registered = await register(setting, client, {
    nodes: 2,
    listenersPerNode: 2,
    ...(deletion.backlog === true ? { node: { concurrency: 4 } } : {}),
    listener: { retry: { strategy: 'loop', delaysMs: [DELAY_MS] } },
  });
  if (deletion.firstAttemptsFail === true) setting.receivers.answering = (call) => call.attempt > 1;
  setting.receivers.delayMs = deletion.backlog === true ? 100 : 20;
  const load = startLoad({ ...setting.target(registered), connections: 16, ratePerSecond: 50, client: () => client });
  await pause(short ? 3_000 : 8_000);
  const gone = await deleteQueue(setting.broker.url, deletion.queue);
  const deletedAt = Date.now();
  report.figure('messagesInTheDeletedQueue', gone);
  await pause(short ? 3_000 : 8_000);
  const sends = await load.stop();
  const owedBy = () => registered.listeners;
  const owing = { setting, client, owedBy, timeoutMs: 120_000 };
  const ledger =
    deletion.logMayMiss === true ? await closeDelivered(report, owing) : await closeAndCompare(report, owing);
  const { recoveryMs } = recoveryAfter(deletedAt, { sends, calls: setting.calls(), owedBy });
  report.figure('recoveryMs', recoveryMs);
  report.require('events were accepted', ledger.accepted > 100, `${ledger.accepted} of ${ledger.sent}`);
  if (deletion.repeatsAllowed === true) {
    const late = repeatsOfOlderCalls(setting.calls(), ledger.repeats, deletedAt);
    report.require(
      'repeated is only what was called within 10 s before the deletion',
      late === 0,
      `${late} of earlier calls`,
    );
  } else report.requireNoRepeats(ledger);
}

/** Closes the ledger without asking that the log is complete; counts what it misses. */
async function closeDelivered(report: Stage['report'], run: Parameters<typeof closeAndCompare>[1]) {
  await waitForDelivery(run.setting, run);
  const ledger = closeFromFiles(run.setting, run);
  report.requireNothingLost(ledger);
  report.require('order by operindex kept', ledger.outOfOrder.length === 0, ledger.outOfOrder.length);
  await settled(run.client);
  const known = new Set((await run.client.all('/events')).map((event) => event.eventId));
  const missing = run.setting.sends().filter((send) => send.accepted && !known.has(send.eventId));
  report.figure('deliveredButMissingInTheLog', missing.length);
  return ledger;
}

async function settled(client: CentreClient): Promise<void> {
  await until(
    'the journal is quiet',
    async () => (await client.all('/deliveries?state=pending')).length === 0,
    60_000,
    1_000,
  ).catch(() => undefined);
}

function repeatsOfOlderCalls(
  calls: { number: number; listener: string; at: number }[],
  repeats: { number: number; listener: string }[],
  deletedAt: number,
): number {
  const first = new Map<string, number>();
  for (const { number, listener, at } of calls) {
    const key = `${number} ${listener}`;
    if (!first.has(key)) first.set(key, at);
  }
  return repeats.filter(({ number, listener }) => (first.get(`${number} ${listener}`) ?? 0) < deletedAt - 10_000)
    .length;
}

/** The one loss that is not covered: the journal queue and the node queues are gone before anything was recorded. */
async function journalAndNodeQueuesLost({ setting, report, short }: Stage): Promise<void> {
  const count = short ? 50 : 300;
  const api = await setting.startCentre('api', SWEEP);
  const worker = await setting.startCentre('worker', SWEEP);
  const client = setting.client(api);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  const send = (firstNumber: number) =>
    sendLoad({ ...setting.target(registered), firstNumber, events: count, connections: 8, client: () => client });
  const owedBy = () => registered.listeners;
  await send(0);
  await waitForDelivery(setting, { owedBy, timeoutMs: 60_000 });
  await worker.stop();
  await send(count);
  for (const queue of ['ec.journal', 'ec.node.N1', 'ec.node.N2']) await deleteQueue(setting.broker.url, queue);
  await setting.startCentre('worker', SWEEP);
  let probe = 0;
  await until(
    'an event arrives again',
    async () => {
      probe -= 1;
      const fields = { sourceID: SOURCE_ID, eventType: EVENT_TYPE, userObject: JSON.stringify({ number: probe }) };
      const answer = await client.send(registered.app, fields);
      return answer.status === 1 && setting.receivers.calls.some((call) => call.number < 0);
    },
    60_000,
    1_000,
  );
  await send(2 * count);
  const isGone = ({ number }: { number: number }): boolean => number >= count && number < 2 * count;
  const rest = (one: { number: number }) => (isGone(one) ? [] : registered.listeners);
  await waitForDelivery(setting, { owedBy: rest, timeoutMs: 60_000 });
  await pause(15_000);
  const ledger = closeFromFiles(setting, { owedBy });
  Object.assign(report.figures, { accepted: ledger.accepted, owed: ledger.owed, delivered: ledger.delivered });
  Object.assign(report.figures, { pending: 0, failed: 0, lost: ledger.lost.length, repeats: ledger.repeats.length });
  report.require(
    'all of the events that nobody had recorded are lost',
    ledger.lost.length === count * 4,
    `${ledger.lost.length} deliveries of ${count} events`,
  );
  report.require('and none besides', ledger.lost.every(isGone), ledger.lost.filter((pair) => !isGone(pair)).length);
  const known = new Set((await client.all('/events')).map((event) => event.eventId));
  const knownOfGone = setting.sends().filter((one) => isGone(one) && known.has(one.eventId));
  report.require('nor does the log know of them', knownOfGone.length === 0, knownOfGone.length);
}

function deleted(name: string, promise: string, deletion: Deletion): Scenario {
  return { name, group: 'broker', promise, sharesServices: true, run: (stage) => queueDeleted(stage, deletion) };
}

export const scenarios: Scenario[] = [
  deleted(
    'node-queue-deleted',
    'A node queue that is deleted under load with what is in it comes back, and the sweeper sends again what it held.',
    { queue: 'ec.node.N1', backlog: true },
  ),
  deleted(
    'delay-queue-deleted',
    'A delay queue that is deleted with the retries in it comes back, and the sweeper sends them again.',
    { queue: `ec.delay.${DELAY_MS}`, firstAttemptsFail: true },
  ),
  deleted(
    'journal-queue-deleted',
    'A journal queue that is deleted under load comes back; all is delivered, what it held may be missing in the log.',
    { queue: 'ec.journal', logMayMiss: true },
  ),
  deleted(
    'outcomes-queue-deleted',
    'An outcomes queue that is deleted under load comes back; calls whose outcomes it held may be repeated by the sweeper.',
    { queue: 'ec.outcomes', repeatsAllowed: true },
  ),
  {
    name: 'journal-and-node-queues-lost',
    group: 'broker',
    promise:
      'Not covered: when the journal queue and the node queues are lost together before recording, exactly the events in them are lost.',
    sharesServices: true,
    run: journalAndNodeQueuesLost,
  },
];
