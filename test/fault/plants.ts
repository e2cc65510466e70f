import type { Channel, GetMessage } from 'amqplib';
import { withChannel } from './queue-surgery.js';
import type { RunReport } from './run-report.js';
import type { Plant } from './scenario.js';

const QUEUE = 'ec.node.N1';

/**
 * Spoils a run behind the centre's back while no worker runs, so that the ledger must find it: takes one message out of the
 * queue of N1, or puts one in a second time. A killed worker may have acted on messages that it had, so it is one that
 * none ever had.
 */
export async function plant(what: Plant, brokerUrl: string, report: RunReport): Promise<void> {
  await withChannel(brokerUrl, async (channel) => {
    const message = await firstUntouched(channel);
    if (what === 'loss') {
      channel.ack(message);
      return;
    }
    channel.sendToQueue(QUEUE, message.content, { ...message.properties, persistent: true });
    await channel.waitForConfirms();
    channel.nack(message, false, true);
  });
  report.say(`planted: a ${what} in the queue of N1`);
}

async function firstUntouched(channel: Channel): Promise<GetMessage> {
  for (;;) {
    const message = await channel.get(QUEUE);
    if (message === false) throw new Error('no message was left to plant with');
    if (!message.fields.redelivered) return message;
  }
}
