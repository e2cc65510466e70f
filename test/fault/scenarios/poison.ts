import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeAndCompare } from '../closing.js';
import { startLoad } from '../generator.js';
import { withChannel } from '../queue-surgery.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const QUEUES = ['ec.node.N1', 'ec.journal', 'ec.outcomes'];
/** What a delivery may take while poison comes in, at most. */
const LATENCY_MS = 5_000;

/** Bodies and headers that nobody can read, each in its own way. */
const POISON: { body: Buffer; headers: Record<string, unknown> }[] = [
  { body: Buffer.from([0xff, 0xfe, 0x00, 0x80]), headers: {} },
  { body: Buffer.alloc(0), headers: {} },
  { body: Buffer.from('{"outcomes":'), headers: { ec: '{"v":1' } },
  { body: Buffer.from('{}'), headers: { ec: JSON.stringify({ v: 999, id: 'x' }) } },
  { body: Buffer.from('[]'), headers: { ec: JSON.stringify({ v: 1 }) } },
  { body: Buffer.from('null'), headers: { ec: JSON.stringify({ v: 1, metaBytes: 1e9 }) } },
  { body: Buffer.from('[null,{"state":"perhaps"}]'), headers: { ec: JSON.stringify(['v', 1]) } },
  { body: Buffer.alloc(100_000, 0x41), headers: { ec: 7 } },
];

/** Messages that nobody can read are put into every queue that the centre reads, in the middle of the load. */
async function poison({ setting, report, short }: Stage): Promise<void> {
  const rounds = short ? 2 : 10;
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 2 });
  const load = startLoad({ ...setting.target(registered), connections: 16, ratePerSecond: 50, client: () => client });
  await pause(2_000);
  for (let round = 0; round < rounds; round += 1) {
    await withChannel(setting.broker.url, async (channel) => {
      for (const queue of QUEUES) {
        for (const { body, headers } of POISON) channel.sendToQueue(queue, body, { headers, persistent: true });
      }
      await channel.waitForConfirms();
    });
    await pause(500);
  }
  await pause(2_000);
  const sends = await load.stop();
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 60_000 });
  report.requireNoRepeats(ledger);
  report.require('every event accepted', ledger.accepted === sends.length, `${ledger.accepted} of ${sends.length}`);
  const sentAt = new Map(sends.map((send) => [send.number, send.sentAt]));
  const slowest = Math.max(...setting.calls().map((call) => call.at - (sentAt.get(call.number) ?? call.at)));
  report.figure('slowestDeliveryMs', slowest);
  report.require('nothing was held up', slowest < LATENCY_MS, `${slowest} ms`);
  const put = rounds * QUEUES.length * POISON.length;
  const listed = async (): Promise<number> => (await client.all('/failures')).length;
  await until('each is in the failure log', async () => (await listed()) === put, 30_000, 500).catch(() => undefined);
  const found = await listed();
  report.figure('poisonMessages', put);
  report.require('each is in the failure log, with its reason', found === put, `${found} of ${put}`);
}

export const scenarios: Scenario[] = [
  {
    name: 'poison-messages',
    group: 'broker',
    promise: 'Messages that nobody can read, in any queue, are listed in the failure log and hold up nothing.',
    short: true,
    sharesServices: true,
    run: poison,
  },
];
