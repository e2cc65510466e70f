import { createConnection } from 'mysql2/promise';
import { until } from '../../support/until.js';
import { closeFromFiles, waitForDelivery } from '../closing.js';
import { sendLoad } from '../generator.js';
import type { SendRecord } from '../ledger.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const UNWELCOME_EVENTS = `
  CREATE TRIGGER some_events_refused BEFORE INSERT ON pub_event FOR EACH ROW
  IF NEW.user_object REGEXP '"number":([0-9]*[05])?7[}]$' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'an unwelcome event'; END IF`;
const UNWELCOME_OUTCOMES = `
  CREATE TRIGGER some_outcomes_refused BEFORE INSERT ON pub_event_attempt FOR EACH ROW
  IF NEW.response LIKE '%unwelcome%' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'an unwelcome outcome'; END IF`;

const isUnwelcomeEvent = (number: number): boolean => number % 50 === 7;
const hasUnwelcomeOutcome = (number: number): boolean => number % 50 === 4;
/** Longest time from the last send until everything else is recorded. */
const RECORDED_MS = 20_000;

interface Failure {
  reason: string;
  raw: string;
}

/** Triggers refuse one of 50 events, and the record of the first attempt of another one of 50. */
async function rowsRefused({ setting, report, short }: Stage): Promise<void> {
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const listener = { retry: { strategy: 'default', delaysMs: [500] } };
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2, listener });
  setting.receivers.behaviours.set('N1-L1', ({ number, attempt }, { response }) => {
    const success = !hasUnwelcomeOutcome(number) || attempt > 1;
    const message = success ? 'thank you' : 'unwelcome';
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ success: String(success), message }));
    return success;
  });
  const database = await createConnection(setting.database.url);
  await database.query(UNWELCOME_EVENTS);
  await database.query(UNWELCOME_OUTCOMES);
  await database.end();

  const load = { ...setting.target(registered), ratePerSecond: 100, client: () => client };
  const events = short ? 200 : 1_000;
  await sendLoad({ ...load, events, connections: 16 });
  const sentAt = Date.now();
  const unreadable = (): Promise<Failure[]> => client.all('/failures?kind=unreadable');
  const recorded = async (): Promise<string[]> => (await client.all('/events')).map((event) => event.eventId);
  const refusedCount = (sends: SendRecord[]): number =>
    sends.filter(({ accepted, number }) => accepted && (isUnwelcomeEvent(number) || hasUnwelcomeOutcome(number)))
      .length;
  await until(
    'the rest is recorded',
    async () => {
      const known = new Set(await recorded());
      const wanted = setting.sends().filter(({ accepted, number }) => accepted && !isUnwelcomeEvent(number));
      return wanted.every(({ eventId }) => known.has(eventId as string));
    },
    60_000,
  ).catch(() => undefined);
  report.figure('restRecordedMs', Date.now() - sentAt);
  report.require('the rest is not held up', Date.now() - sentAt < RECORDED_MS, `${Date.now() - sentAt} ms`);

  // One by itself: nothing else of its batch shows that the database works.
  const alone = events - (events % 50) + 57;
  await sendLoad({ ...load, events: 1, firstNumber: alone, connections: 1 });
  const owing = { owedBy: () => registered.listeners, timeoutMs: 30_000 };
  await waitForDelivery(setting, owing);
  const ledger = closeFromFiles(setting, owing);
  report.requireNothingLost(ledger);
  report.requireNoRepeats(ledger);
  report.require('order by operindex kept', ledger.outOfOrder.length === 0, ledger.outOfOrder.length);

  const sends = setting.sends();
  const wanted = refusedCount(sends);
  const listed = await until(
    'what was refused is listed',
    async () => {
      const failures = await unreadable();
      return failures.length >= wanted && failures;
    },
    20_000,
  ).catch(unreadable);
  report.figure('refusedRows', wanted);
  report.require(
    'each refused row is listed under failures, with what the database said',
    listed.length === wanted &&
      listed.every(({ reason }) => /^not storable: .*an unwelcome (event|outcome)$/.test(reason)),
    `${listed.length} of ${wanted}, such as ${JSON.stringify(listed[0]?.reason)}`,
  );
  const contents = listed.map(({ raw }) => Buffer.from(raw, 'base64').toString());
  const missing = sends.filter(
    ({ eventId, number }) => isUnwelcomeEvent(number) && !contents.some((text) => text.includes(eventId as string)),
  );
  report.require('with its content', missing.length === 0, `${missing.length} without`);
  const known = new Set(await recorded());
  const wrong = sends.filter(({ eventId, number }) => known.has(eventId as string) === isUnwelcomeEvent(number));
  report.require('the API knows exactly the other events', wrong.length === 0, wrong.slice(0, 5));
  const pending = await client.all('/deliveries?state=retrying');
  report.require('no delivery is left retrying', pending.length === 0, pending.length);
}

export const scenarios: Scenario[] = [
  {
    name: 'database-rows-refused',
    group: 'database',
    promise:
      'Rows that the database refuses are listed under failures with the reason, one by one; the rest is recorded, everything is delivered.',
    short: true,
    run: rowsRefused,
  },
];
