import { createConnection, type Connection } from 'mysql2/promise';
import { pause } from '../support/pause.js';
import { until } from '../support/until.js';
import type { CentreClient, SendAnswer } from '../support/centre-client.js';
import { closeAndCompare, closeFromFiles } from './closing.js';
import { sendLoad, startLoad } from './generator.js';
import type { CallRecord, SendRecord } from './ledger.js';
import { quantile } from './quantile.js';
import { recoveryAfter } from './recovery.js';
import type { RunReport } from './run-report.js';
import type { Stage } from './scenario.js';
import { register, type Registered, type Setting } from './setting.js';

/** Something that happens to the database under load. */
export interface DatabaseFault {
  /** 0 where it is over as soon as it was brought about. */
  lastsMs: number;
  /** Beside those of every centre. */
  environment?: (setting: Setting) => Promise<Record<string, string>>;
  /** Brings the fault about; what it returns ends it, and resolves when the database works again. */
  begin(stage: Stage): Promise<() => Promise<void>>;
  /** What `/readyz` must name under `degraded` before the end; null where the fault may be over before anybody sees it. */
  shows: 'database' | 'journal' | null;
}

const RATE = 40;
/** What of the rate must be reached on a machine that is busy with other things. */
const SHARE = 0.3;
/** Each event of so many is sent under a key, or fails at its first attempt. */
const KEYED_EACH = 10;
const FAILING_EACH = 20;
const BEFORE_MS = 4_000;
const AFTER_MS = 5_000;
const LOOK_MS = 500;
/** A change of the registry is several statements, and each may wait for a lock or for a connection. */
const LONGEST_ANSWER_MS = 60_000;

/** The key of a keyed event, by its number. */
const keyOf = (number: number): { uuid: string } => ({ uuid: `key-${number}` });

/**
 * A centre under steady load, a tenth of it under keys, with a listener that fails now and then, so that retries fall due
 * while the fault lasts. Sending, delivering and retrying must go on; the API must answer, if only that it cannot; the
 * journal must catch up; a key of before the fault must be known after it.
 */
export async function underDatabaseFault(stage: Stage, fault: DatabaseFault): Promise<void> {
  const { setting, report } = stage;
  const centre = await setting.startCentre('all', (await fault.environment?.(setting)) ?? {});
  const client = setting.client(centre);
  const registered = await register(setting, client, {
    nodes: 2,
    listenersPerNode: 2,
    listener: { retry: { strategy: 'default', delaysMs: [1_000] } },
  });
  setting.receivers.answering = ({ listener, number, attempt }) =>
    listener !== 'N2-L1' || number % FAILING_EACH !== 0 || attempt > 1;
  const load = startLoad({
    ...setting.target(registered),
    connections: 32,
    ratePerSecond: RATE,
    fields: (number) => (number % KEYED_EACH === 0 ? keyOf(number) : {}),
    client: () => client,
  });
  await pause(BEFORE_MS);
  const beganAt = Date.now();
  setting.mark('the fault begins');
  const end = await fault.begin(stage);
  if (fault.lastsMs > 0) await watchFault({ report, client, registered, fault });
  await end();
  const endedAt = Date.now();
  setting.mark('the fault is over');
  const caughtUp = journalCaughtUp(setting, endedAt);
  await pause(AFTER_MS);
  const sends = await load.stop();
  requireThatItWentOn(report, { sends, calls: setting.calls(), beganAt, endedAt });
  const owedBy = () => registered.listeners;
  report.figure('recordedAgainMs', await caughtUp);
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 90_000 });
  report.figure('recoveryMs', recoveryAfter(endedAt, { sends, calls: setting.calls(), owedBy }).recoveryMs);
  report.requireNoRepeats(ledger);
  await repeatKeyed({ setting, report, client, registered }, { sends, beganAt, endedAt });
}

/** Looks at `/readyz` as long as the fault lasts, and asks the API in the middle of it. */
async function watchFault(watch: {
  report: RunReport;
  client: CentreClient;
  registered: Registered;
  fault: DatabaseFault;
}): Promise<void> {
  const { report, client, registered, fault } = watch;
  const beganAt = Date.now();
  const degraded = new Set<string>();
  const statuses = new Set<number>();
  let asked: Promise<void> | null = null;
  while (Date.now() - beganAt < fault.lastsMs) {
    const answer = await client.get('/readyz');
    statuses.add(answer.status);
    for (const name of (JSON.parse(answer.text) as { degraded: string[] }).degraded) degraded.add(name);
    if (asked === null && Date.now() - beganAt > fault.lastsMs / 2) asked = requireAnswers(report, client, registered);
    await pause(LOOK_MS);
  }
  await asked;
  report.require('/readyz answers 200 all the time', statuses.size === 1 && statuses.has(200), [...statuses]);
  if (fault.shows === null) return;
  report.require(`/readyz names ${fault.shows}`, degraded.has(fault.shows), [...degraded]);
}

/** The API does what it is asked, or says with 503 that it cannot and when to come again, in a bounded time. */
async function requireAnswers(report: RunReport, client: CentreClient, registered: Registered): Promise<void> {
  const startedAt = Date.now();
  const unknown = '018f0000-0000-7000-8000-000000000000';
  const asked: [string, string, unknown?][] = [
    ['GET', '/events?limit=1'],
    ['POST', `/deliveries/${unknown}/${registered.listeners[0]?.id}/retry`],
    ['PATCH', '/nodes/N1', { nodeName: 'changed meanwhile' }],
  ];
  const answers = await Promise.all(
    asked.map(async ([method, path, body]) => {
      const { status, body: answer } = await client.call(method, path, body);
      return { what: `${method} ${path.split('/')[1]}`, status, code: answer?.code ?? null };
    }),
  );
  const tookMs = Date.now() - startedAt;
  const known = answers.every(({ status, code }) => status < 300 || status === 404 || code === 'UNAVAILABLE');
  report.require(
    `the API answers within ${LONGEST_ANSWER_MS} ms, 503 UNAVAILABLE at worst`,
    known && tookMs < LONGEST_ANSWER_MS,
    `${answers.map(({ what, status }) => `${what} ${status}`).join(', ')} after ${tookMs} ms`,
  );
}

/** From the end of the fault until everything is recorded that was accepted before. */
async function journalCaughtUp(setting: Setting, endedAt: number): Promise<number> {
  const before = setting.sends().filter((send) => send.accepted && send.sentAt < endedAt).length;
  const database = await createConnection(setting.database.url);
  try {
    await until(
      'the journal has recorded what was accepted before',
      async () => (await countOf(database, 'SELECT COUNT(*) AS count FROM pub_event')) >= before,
      120_000,
    );
  } finally {
    await database.end();
  }
  return Date.now() - endedAt;
}

async function countOf(database: Connection, sql: string): Promise<number> {
  const [rows] = await database.query(sql);
  return Number((rows as { count: number }[])[0]?.count);
}

function requireThatItWentOn(
  report: RunReport,
  run: { sends: SendRecord[]; calls: CallRecord[]; beganAt: number; endedAt: number },
): void {
  const { sends, calls, beganAt, endedAt } = run;
  const seconds = (endedAt - beganAt) / 1_000;
  const during = sends.filter((send) => send.sentAt > beganAt && send.sentAt < endedAt);
  const accepted = during.filter((send) => send.accepted).length;
  report.require(
    'sending goes on, under keys too',
    accepted === during.length && accepted > SHARE * RATE * seconds,
    `${accepted} of ${during.length} accepted in ${seconds} s`,
  );
  const called = calls.filter((call) => call.at > beganAt && call.at < endedAt);
  report.require(
    'delivering goes on',
    called.length > SHARE * 4 * RATE * seconds,
    `${called.length} calls in ${seconds} s`,
  );
  const retried = called.filter((call) => call.attempt > 1 && call.at > beganAt + 1_000).length;
  if (seconds > 10) report.require('retries go on', retried > 0, `${retried} in ${seconds} s`);
  const isKeyed = ({ number }: SendRecord): boolean => number % KEYED_EACH === 0;
  const took = (of: SendRecord[], share: number): number =>
    quantile(
      of.map((send) => send.answeredAt - send.sentAt),
      share,
    );
  const before = sends.filter((send) => send.answeredAt < beganAt);
  report.figure('acceptP50BeforeMs', took(before, 0.5));
  report.figure('acceptP50Ms', took(during, 0.5));
  report.figure('keyedP99BeforeMs', took(before.filter(isKeyed), 0.99));
  report.figure('keyedP99Ms', took(during.filter(isKeyed), 0.99));
}

/**
 * Sends events again under their keys. Those of before the fault are known, and nobody is called again; those that were
 * accepted during it may not be (protocol page, section 2), and keep their id.
 */
async function repeatKeyed(
  run: { setting: Setting; report: RunReport; client: CentreClient; registered: Registered },
  { sends, beganAt, endedAt }: { sends: SendRecord[]; beganAt: number; endedAt: number },
): Promise<void> {
  const { setting, report, client, registered } = run;
  const keyed = sends.filter((send) => send.number % KEYED_EACH === 0);
  const before = keyed.filter((send) => send.answeredAt < beganAt).slice(-10);
  const during = keyed.filter((send) => send.sentAt > beganAt && send.answeredAt < endedAt).slice(0, 10);
  const { app, sourceId, eventType } = setting.target(registered);
  const answers = new Map<number, SendAnswer>();
  for (const { number } of [...before, ...during]) {
    const fields = { sourceID: sourceId, eventType, userObject: JSON.stringify({ number }), ...keyOf(number) };
    answers.set(number, await client.send(app, fields));
  }
  const codesOf = (of: SendRecord[]): (string | undefined)[] => of.map(({ number }) => answers.get(number)?.code);
  report.require(
    'a repeat under a key is accepted and keeps its eventId',
    [...before, ...during].every(
      ({ number, eventId }) => answers.get(number)?.status === 1 && answers.get(number)?.eventId === eventId,
    ),
    answers.size,
  );
  report.require(
    'keys of before the fault are known',
    codesOf(before).every((code) => code === 'DUPLICATE'),
    codesOf(before),
  );
  report.figure('forgottenKeys', codesOf(during).filter((code) => code === 'OK').length);
  // Queues are first in, first out: when these are called, the repeats have had their turn.
  await sendMarkers(run, Math.max(...sends.map(({ number }) => number)) + 1);
  const numbers = new Set(before.map(({ number }) => number));
  const again = closeFromFiles(setting, { owedBy: () => registered.listeners }).repeats.filter(({ number }) =>
    numbers.has(number),
  );
  report.require('events under known keys are not called again', again.length === 0, again);
}

/** Sends a few more events and waits until all of them are delivered. */
async function sendMarkers(
  { setting, registered, client }: { setting: Setting; registered: Registered; client: CentreClient },
  firstNumber: number,
): Promise<void> {
  const markers = await sendLoad({
    ...setting.target(registered),
    firstNumber,
    events: 5,
    connections: 1,
    client: () => client,
  });
  const owed = markers.length * registered.listeners.length;
  const { calls } = setting.receivers;
  await until(
    'the markers are delivered',
    () => calls.filter((call) => call.number >= firstNumber && call.success).length >= owed,
  );
}
