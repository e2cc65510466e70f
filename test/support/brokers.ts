import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { namesUnder, type Names } from '../../src/broker/names.js';
import { openBroker, type OpenBrokerOptions } from '../../src/broker/open-broker.js';
import type { Broker, Log, QueueRef } from '../../src/core/ports.js';
import { deleteRabbitmq, injectEmbedded, injectRabbitmq, TEST_BROKER_URL, type RawMessage } from './raw-broker.js';

export type BrokerKind = 'rabbitmq' | 'embedded';

/** The brokers that suites over adapters run on. */
export function brokerKinds(): BrokerKind[] {
  return process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? ['embedded'] : ['rabbitmq', 'embedded'];
}

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

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
  const exchanges = new Set<string>([names.events, names.redeliver, names.dead, names.outcomes, names.control]);
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
    broker.ensureTopology = (topology, options) => {
      for (const queue of topology.nodeQueues) queues.add(names.node(queue));
      for (const delayMs of topology.delaysMs) noteDelay(delayMs);
      return ensureTopology.call(broker, topology, options);
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
    inject: async (queue, message) => {
      if (kind === 'rabbitmq') await injectRabbitmq(names.queue(queue), message);
      else injectEmbedded(join(dataDir, 'broker.sqlite'), names.queue(queue), message);
    },
    cleanup: async () => {
      await Promise.all(made.map((broker) => broker.stop()));
      if (kind === 'rabbitmq') await deleteRabbitmq(queues, exchanges);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
