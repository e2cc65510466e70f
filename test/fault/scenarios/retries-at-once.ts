import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare } from '../closing.js';
import { sendLoad } from '../generator.js';
import type { CallRecord, SendRecord } from '../ledger.js';
import type { CentreClient } from '../../support/centre-client.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const EVENTS = 100;
const DELAY_MS = 1_500;
const CALL_MS = 50;
const ROUNDS = 5;
const WATCH_MS = 8_000;
/** Timers of two processes. */
const EARLY_MS = 20;

/**
 * A listener that fails everything, retried by schedule; in the middle of it all deliveries are retried by hand and
 * replayed at the same time, several times.
 */
async function retriesAtOnce({ setting, report }: Stage): Promise<void> {
  const api = await setting.startCentre('api');
  await setting.startCentre('worker');
  await setting.startCentre('worker');
  const client = setting.client(api);
  const registered = await register(setting, client, {
    nodes: 1,
    listenersPerNode: 2,
    listener: { retry: { strategy: 'loop', delaysMs: [DELAY_MS] } },
  });
  const watched = registered.listeners[0] as (typeof registered.listeners)[number];
  let isWell = false;
  const open = new Map<number, number>();
  let atOnce = 0;
  setting.receivers.behaviours.set(watched.listener, ({ number }, { response }) => {
    const inHand = (open.get(number) ?? 0) + 1;
    open.set(number, inHand);
    if (inHand > 1) atOnce += 1;
    const success = isWell;
    setTimeout(() => {
      open.set(number, (open.get(number) ?? 1) - 1);
      response.writeHead(200).end(`{"success":"${String(success)}"}`);
    }, CALL_MS);
    return success;
  });
  await sendLoad({
    ...setting.target(registered),
    events: EVENTS,
    connections: 4,
    ratePerSecond: 50,
    client: () => client,
  });
  await until(
    'all are retrying',
    async () => (await client.all('/deliveries?state=retrying')).length === EVENTS,
    30_000,
  );

  const done = { retried: 0, refused: 0, replayed: 0 };
  for (let round = 0; round < ROUNDS; round += 1) {
    const sends = setting.sends();
    const [retries, replay] = await Promise.all([
      retryAll(client, sends, watched.id),
      client.must('POST', '/replays', { filter: { listenerId: watched.id } }),
    ]);
    done.retried += retries.accepted;
    done.refused += retries.refused;
    done.replayed += (await replayEnd(client, replay.id)).done;
    await pause(DELAY_MS / 3);
  }
  report.figure('retriedByHand', done.retried);
  report.figure('replayed', done.replayed);
  report.say(`${done.refused} retries by hand refused with NOT_RETRYABLE`);
  report.require('both were done many times', done.retried > EVENTS && done.replayed > EVENTS, done);
  report.figure('callsAtOnce', atOnce);
  report.require(
    'two calls of one event at once only where a retry by hand or a replay overtook a call',
    atOnce <= done.retried + done.replayed,
    `${atOnce} of ${done.retried + done.replayed} actions`,
  );

  // What was published by the last action, and the call of what it overtook, come to their end.
  await pause(2 * DELAY_MS);
  const from = Date.now();
  const atOnceBefore = atOnce;
  await pause(WATCH_MS);
  const calls = setting.calls().filter((call) => call.listener === watched.listener);
  const watchedCalls = calls.filter((call) => call.at >= from);
  const gaps = shortestGaps(watchedCalls);
  report.figure('shortestGapMs', Math.min(...gaps.values()));
  report.require(
    'afterwards one chain goes on for each event, none twice and none early',
    gaps.size === EVENTS && [...gaps.values()].every((gap) => gap >= DELAY_MS - EARLY_MS) && atOnce === atOnceBefore,
    `${gaps.size} events, shortest time between two calls ${Math.min(...gaps.values())} ms`,
  );

  isWell = true;
  const ledger = await closeAndCompare(report, {
    setting,
    client,
    owedBy: () => registered.listeners,
    timeoutMs: 60_000,
  });
  report.requireNoRepeats(ledger);
  const attempts = new Map<string, number>();
  for (const call of setting.calls().filter(({ listener }) => listener === watched.listener))
    attempts.set(call.eventId, Math.max(attempts.get(call.eventId) ?? 0, call.attempt));
  const deliveries: { eventId: string; attempts: number; listenerId: string }[] =
    await client.all('/deliveries?state=succeeded');
  const wrong = deliveries.filter(
    ({ eventId, listenerId, attempts: count }) => listenerId === watched.id && count !== attempts.get(eventId),
  );
  report.require('the API says how many attempts there were', wrong.length === 0, wrong.slice(0, 3));
}

async function retryAll(
  client: CentreClient,
  sends: SendRecord[],
  listenerId: string,
): Promise<{ accepted: number; refused: number }> {
  const found = { accepted: 0, refused: 0 };
  const waiting = [...sends];
  const lane = async (): Promise<void> => {
    for (let send = waiting.pop(); send !== undefined; send = waiting.pop()) {
      const { status, body } = await client.call('POST', `/deliveries/${send.eventId}/${listenerId}/retry`);
      if (status === 202) found.accepted += 1;
      else if (body.code === 'NOT_RETRYABLE') found.refused += 1;
      else throw new Error(`a retry answered ${status}: ${JSON.stringify(body)}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  return found;
}

function replayEnd(client: CentreClient, id: string): Promise<{ done: number }> {
  return until(
    'the replay is over',
    async () => {
      const replay = await client.must('GET', `/replays/${id}`);
      if (replay.state === 'failed') throw new Error(replay.error);
      return replay.state === 'done' && replay;
    },
    60_000,
    200,
  );
}

/** The shortest time between two calls, by event. */
function shortestGaps(calls: CallRecord[]): Map<number, number> {
  const gaps = new Map<number, number>();
  const last = new Map<number, number>();
  for (const { number, at } of calls) {
    const before = last.get(number);
    if (before !== undefined) gaps.set(number, Math.min(gaps.get(number) ?? Infinity, at - before));
    last.set(number, at);
  }
  return gaps;
}

export const scenarios: Scenario[] = [
  {
    name: 'retries-at-once',
    group: 'listeners',
    promise:
      'Retries by hand, replays and scheduled retries of the same deliveries at the same time leave one chain that goes on, and lose nothing.',
    run: retriesAtOnce,
  },
];
