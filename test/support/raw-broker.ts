/** What stands in a broker, touched past the centre. */
import { connect } from 'amqplib';
import Database from 'better-sqlite3';

export const TEST_BROKER_URL = process.env['EVENT_CENTER_TEST_BROKER_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';

/** A message as somebody else might put it into a queue. */
export interface RawMessage {
  body: Buffer;
  headers: Record<string, unknown>;
  messageId?: string;
}

export async function injectRabbitmq(queue: string, { body, headers, messageId }: RawMessage): Promise<void> {
  const connection = await connect(TEST_BROKER_URL);
  try {
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue(queue, body, { headers, persistent: true, ...(messageId === undefined ? {} : { messageId }) });
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}

/** `file` is the embedded broker's; no process may hold it. */
export function injectEmbedded(file: string, queue: string, { body, headers, messageId }: RawMessage): void {
  const db = new Database(file);
  try {
    const { ec, ...extra } = headers;
    db.prepare(
      `INSERT INTO message (queue_id, message_id, meta, extra, body)
       VALUES ((SELECT id FROM queue WHERE name = ?), ?, ?, ?, ?)`,
    ).run(queue, messageId ?? null, typeof ec === 'string' ? ec : null, JSON.stringify(extra), body);
  } finally {
    db.close();
  }
}

/** Deletes queues and exchanges; those that are not there are none. */
export async function deleteRabbitmq(queues: Iterable<string>, exchanges: Iterable<string>): Promise<void> {
  const connection = await connect(TEST_BROKER_URL);
  try {
    const channel = await connection.createChannel();
    for (const queue of queues) await channel.deleteQueue(queue);
    for (const exchange of exchanges) await channel.deleteExchange(exchange);
  } finally {
    await connection.close();
  }
}
