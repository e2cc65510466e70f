import { connect, type ConfirmChannel } from 'amqplib';

/** Touches the queues of a run past the centre. */
export async function withChannel<T>(brokerUrl: string, work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await connect(brokerUrl);
  try {
    const channel = await connection.createConfirmChannel();
    const result = await work(channel);
    await channel.waitForConfirms();
    // Closing the connection at once would overtake acks.
    await channel.close();
    return result;
  } finally {
    await connection.close();
  }
}

/** Deletes a queue with what is in it. @returns how many messages were ready in it. */
export function deleteQueue(brokerUrl: string, queue: string): Promise<number> {
  return withChannel(brokerUrl, async (channel) => (await channel.deleteQueue(queue)).messageCount);
}
