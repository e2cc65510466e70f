/**
 * Child process: the floor. What is left of an event centre without any feature: accept, fan out by the broker, call
 * the listeners, write event and delivery rows in batches. `bare` leaves out everything behind the publish.
 */
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { connect, type ConfirmChannel, type ConsumeMessage } from 'amqplib';
import mysql from 'mysql2/promise';
import { Agent, request as call } from 'undici';

interface FloorSettings {
  kind: 'bare' | 'floor';
  brokerUrl: string;
  databaseUrl: string;
  prefix: string;
  /** Listener urls per node. */
  nodes: string[][];
}

const settings = JSON.parse(process.argv[2] ?? '{}') as FloorSettings;
const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1000 } };
const PREFETCH = 1000;
const CALLS_AT_A_TIME = 32;
const BATCH_ROWS = 500;
const BATCH_MS = 50;

const connection = await connect(settings.brokerUrl, { noDelay: true });
const consuming = await connect(settings.brokerUrl, { noDelay: true });
const publisher = await connection.createConfirmChannel();
const exchange = `${settings.prefix}events`;
const journalQueue = `${settings.prefix}journal`;
const nodeQueues = settings.nodes.map((_, index) => `${settings.prefix}node.${index}`);
await publisher.assertExchange(exchange, 'topic', { durable: true });
for (const queue of [journalQueue, ...nodeQueues]) {
  await publisher.assertQueue(queue, QUORUM);
  await publisher.bindQueue(queue, exchange, '#');
}

const database = mysql.createPool({ uri: settings.databaseUrl, connectionLimit: 4 });
if (settings.kind === 'floor') {
  await createTables();
  await consumeJournal();
  for (const [index, urls] of settings.nodes.entries()) await consumeNode(nodeQueues[index] as string, urls);
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const eventId = randomUUID();
    publish(publisher, Buffer.concat(chunks), eventId).then(
      () => response.end(`{"data":{"status":1,"eventId":"${eventId}"}}`),
      () => response.writeHead(503).end('{"data":{"status":0}}'),
    );
  });
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) process.send?.(`http://127.0.0.1:${address.port}`);
});
process.on('disconnect', () => process.exit(0));

function publish(channel: ConfirmChannel, body: Buffer, messageId: string): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.publish(exchange, 'event', body, { persistent: true, mandatory: true, messageId }, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error instanceof Error ? error : new Error('nacked'));
    });
  });
}

async function createTables(): Promise<void> {
  await database.query('CREATE TABLE event (id CHAR(36) PRIMARY KEY, body LONGTEXT, at BIGINT)');
  await database.query(
    'CREATE TABLE delivery (event_id CHAR(36), listener VARCHAR(200), status INT, at BIGINT, PRIMARY KEY (event_id, listener))',
  );
}

/** Collects rows and writes them together; resolves when they are committed. */
function batchedInsert(sql: string): (row: unknown[]) => Promise<void> {
  let rows: { row: unknown[]; done: () => void }[] = [];
  let timer: NodeJS.Timeout | null = null;
  async function flush(): Promise<void> {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const batch = rows;
    rows = [];
    if (batch.length === 0) return;
    await database.query(sql, [batch.map((entry) => entry.row)]);
    for (const entry of batch) entry.done();
  }
  return (row) =>
    new Promise((resolve) => {
      rows.push({ row, done: resolve });
      if (rows.length >= BATCH_ROWS) void flush();
      else timer ??= setTimeout(() => void flush(), BATCH_MS);
    });
}

async function consumeJournal(): Promise<void> {
  const insertEvent = batchedInsert('INSERT INTO event (id, body, at) VALUES ?');
  const channel = await consuming.createChannel();
  await channel.prefetch(BATCH_ROWS * 2);
  await channel.consume(journalQueue, (message) => {
    if (message === null) return;
    const { messageId } = message.properties as { messageId: string };
    void insertEvent([messageId, message.content.toString('utf8'), Date.now()]).then(() => {
      channel.ack(message);
    });
  });
}

async function consumeNode(queue: string, urls: string[]): Promise<void> {
  const insertDelivery = batchedInsert('INSERT INTO delivery (event_id, listener, status, at) VALUES ?');
  const agent = new Agent({ keepAliveTimeout: 60_000 });
  const channel = await consuming.createChannel();
  await channel.prefetch(PREFETCH);
  const waiting: ConsumeMessage[] = [];
  let running = 0;

  async function deliver(message: ConsumeMessage): Promise<void> {
    const { messageId } = message.properties as { messageId: string };
    const rows: unknown[][] = [];
    for (const url of urls) {
      const answer = await call(url, {
        dispatcher: agent,
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: message.content,
      });
      await answer.body.text();
      rows.push([messageId, url, answer.statusCode, Date.now()]);
    }
    running -= 1;
    pump();
    await Promise.all(rows.map((row) => insertDelivery(row)));
    channel.ack(message);
  }

  function pump(): void {
    while (running < CALLS_AT_A_TIME && waiting.length > 0) {
      running += 1;
      void deliver(waiting.shift() as ConsumeMessage);
    }
  }

  await channel.consume(queue, (message) => {
    if (message === null) return;
    waiting.push(message);
    pump();
  });
}
