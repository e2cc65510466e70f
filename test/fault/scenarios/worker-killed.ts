import { connect } from 'amqplib';
import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare, waitForDelivery } from '../closing.js';
import { sendLoad } from '../generator.js';
import { unacknowledged } from '../own-services.js';
import type { RunReport } from '../run-report.js';
import { EVENT_TYPE, SOURCE_ID, register, type Setting } from '../setting.js';

const EVENTS = 5_000;
/** A quorum queue tells its counts only so often. */
const STATISTICS_MS = 7_000;

/**
 * kill -9 of the only worker in the middle of 5,000 events, and a new one. The worker is frozen first, so that the
 * broker's count of unacknowledged messages is the count at the kill.
 * @param plant removes one message from a node's queue while no worker runs: the run must then fail.
 */
export async function workerKilled(setting: Setting, report: RunReport, plant: 'loss' | null): Promise<void> {
  const api = await setting.startCentre('api');
  const worker = await setting.startCentre('worker', { EVENT_CENTER_BROKER_HEARTBEAT_SECONDS: '60' });
  const client = setting.client(api);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  setting.receivers.delayMs = 5;
  const sending = sendLoad({
    app: registered.app,
    sourceId: SOURCE_ID,
    eventType: EVENT_TYPE,
    events: EVENTS,
    connections: 16,
    client: () => client,
  });
  await until('a third of the calls were made', () => setting.receivers.calls.length >= (EVENTS * 4) / 3, 120_000);
  process.kill(worker.pid, 'SIGSTOP');
  await pause(STATISTICS_MS);
  const counts = await unacknowledged(setting.broker);
  await worker.kill();
  const callsAtKill = setting.receivers.calls.length;
  const inFlight = [...counts].filter(([queue]) => queue.includes('.node.')).reduce((sum, [, count]) => sum + count, 0);
  report.say(`killed after ${callsAtKill} calls, with ${inFlight} messages unacknowledged in the node queues`);
  const sends = await sending;
  if (plant === 'loss') await removeOneMessage(setting.broker.url, report);
  await setting.startCentre('worker');
  const owedBy = () => registered.listeners;
  await waitForDelivery(setting.receivers, sends, owedBy, plant === null ? 180_000 : 60_000);
  const ledger = await closeAndCompare(report, {
    sends,
    receivers: setting.receivers,
    owedBy,
    client,
    timeoutMs: plant === null ? 60_000 : 10_000,
  });
  report.require('every event accepted', ledger.accepted === EVENTS, ledger.accepted);
  const messages = new Set(ledger.repeats.map((repeat) => `${repeat.number} ${repeat.node}`)).size;
  report.require(
    'messages repeated are no more than were unacknowledged at the kill',
    messages <= inFlight,
    `${messages} messages (${ledger.repeats.length} calls) repeated, ${inFlight} unacknowledged`,
  );
}

/** The killed worker may have acted on messages that it had; so one that it never had is taken out. */
async function removeOneMessage(brokerUrl: string, report: RunReport): Promise<void> {
  const connection = await connect(brokerUrl);
  const channel = await connection.createChannel();
  for (;;) {
    const message = await channel.get('ec.node.N1');
    if (message === false) throw new Error('no message was left to be removed');
    if (message.fields.redelivered) continue;
    channel.ack(message);
    break;
  }
  // Closing the connection at once would overtake the ack.
  await channel.close();
  await connection.close();
  report.say('planted: one message removed from the queue of N1');
}
