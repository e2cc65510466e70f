import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import Database from 'better-sqlite3';
import { namesUnder, type Names } from '../../src/broker/names.js';
import { openBroker, type OpenBrokerOptions } from '../../src/broker/open-broker.js';
import type { Broker, Log, QueueRef } from '../../src/core/ports.js';

export type BrokerKind = 'rabbitmq' | 'embedded';

export const TEST_BROKER_URL = process.env['EVENT_CENTER_TEST_BROKER_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';

/** The brokers that suites over adapters run on. */
export function brokerKinds(): BrokerKind[] {
  return process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? ['embedded'] : ['rabbitmq', 'embedded'];
}

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A message as somebody else might put it into a queue. */
export interface RawMessage {
  body: Buffer;
  headers: Record<string, unknown>;
  messageId?: string;
}

/** A broker of either kind that nobody else uses. */
export interface BrokerFixture {
  kind: BrokerKind;
  names: Names;
  prefix: string;
  dataDir: string;
  /** Makes a broker on it, not started; those of RabbitMQ count as ready without resting unless `settleMs` is given. */
  make(overrides?: Partial<OpenBrokerOptions>): Broker;
  /** Makes one, starts it and waits until it is ready. */
  start(overrides?: Partial<OpenBrokerOptions>): Promise<Broker>;
  /** Puts a message into a queue past the centre. Every broker of the fixture must be stopped. */
  inject(queue: QueueRef, message: RawMessage): Promise<void>;
  /** Stops all brokers and deletes every queue and exchange, or the file. */
  cleanup(): Promise<void>;
}

export function brokerFixture(kind: BrokerKind): BrokerFixture {
  const prefix = `ect-${randomBytes(5).toString('hex')}.`;
  const names = namesUnder(prefix);
  const dataDir = mkdtempSync(join(tmpdir(), 'ec-broker-'));
  const made: Broker[] = [];
  const queues = new Set<string>([names.journal, names.outcomes, names.dead]);
  const exchanges = new Set<string>([names.events, names.redeliver, names.dead, names.control]);
  const noteDelay = (delayMs: number): void => {
    queues.add(names.delay(delayMs));
    exchanges.add(names.delay(delayMs));
  };
  const make = (overrides: Partial<OpenBrokerOptions> = {}): Broker => {
    const broker = openBroker({
      url: kind === 'rabbitmq' ? TEST_BROKER_URL : 'embedded:',
      prefix,
      connectTimeoutMs: 5000,
      confirmTimeoutMs: 5000,
      heartbeatSeconds: 5,
      dataDir,
      log: silentLog,
      settleMs: 0,
      ...overrides,
    });
    made.push(broker);
    const { ensureTopology, publishToNode, consumeNode } = broker;
    // Noted as they are declared, because without a plug-in nobody can list what there is.
    broker.ensureTopology = (topology) => {
      for (const queue of topology.nodeQueues) queues.add(names.node(queue));
      for (const delayMs of topology.delaysMs) noteDelay(delayMs);
      return ensureTopology.call(broker, topology);
    };
    broker.publishToNode = (queue, message, delayMs) => {
      if (delayMs > 0) noteDelay(delayMs);
      return publishToNode.call(broker, queue, message, delayMs);
    };
    broker.consumeNode = (queue, options, handler) => {
      queues.add(names.node(queue));
      return consumeNode.call(broker, queue, options, handler);
    };
    return broker;
  };
  return {
    kind,
    names,
    prefix,
    dataDir,
    make,
    start: async (overrides) => {
      const broker = make(overrides);
      await broker.start();
      await broker.waitUntilReady(20_000);
      return broker;
    },
    inject: (queue, message) =>
      kind === 'rabbitmq'
        ? injectRabbitmq(names.queue(queue), message)
        : Promise.resolve(injectEmbedded(join(dataDir, 'broker.sqlite'), names.queue(queue), message)),
    cleanup: async () => {
      await Promise.all(made.map((broker) => broker.stop()));
      if (kind === 'rabbitmq') await deleteAll([...queues], [...exchanges]);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

async function injectRabbitmq(queue: string, { body, headers, messageId }: RawMessage): Promise<void> {
  const connection = await connect(TEST_BROKER_URL);
  try {
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue(queue, body, { headers, persistent: true, ...(messageId === undefined ? {} : { messageId }) });
    await channel.waitForConfirms();
  } finally {
    await connection.close();
  }
}

function injectEmbedded(file: string, queue: string, { body, headers, messageId }: RawMessage): void {
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

async function deleteAll(queues: string[], exchanges: string[]): Promise<void> {
  const connection = await connect(TEST_BROKER_URL);
  try {
    const channel = await connection.createChannel();
    for (const queue of queues) await channel.deleteQueue(queue);
    for (const exchange of exchanges) await channel.deleteExchange(exchange);
  } finally {
    await connection.close();
  }
}
