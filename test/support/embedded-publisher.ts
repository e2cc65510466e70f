/**
 * A process that publishes to an embedded broker until it is killed, and prints the id of every confirmed event; then
 * what it takes and acks. Run by a test with `tsx`: folder, event type.
 */
import { writeSync } from 'node:fs';
import { openBroker } from '../../src/broker/open-broker.js';
import { silentLog } from './brokers.js';
import { aMessage } from './messages.js';

async function publish(dataDir: string, prefix: string, eventTypeId: string): Promise<void> {
  const broker = openBroker({
    url: 'embedded:',
    prefix,
    connectTimeoutMs: 1000,
    confirmTimeoutMs: 1000,
    heartbeatSeconds: 5,
    dataDir,
    log: silentLog,
  });
  await broker.start();
  await broker.ensureTopology({
    nodeQueues: [{ kind: 'url', nodeCode: 'A', eventTypeIds: [eventTypeId] }],
    delaysMs: [],
  });
  await broker.consumeJournal({ prefetch: 10 }, ({ message }) => {
    writeSync(1, `taken ${message.event.eventId}\n`);
    return Promise.resolve('ack');
  });
  const one = async (): Promise<never> => {
    for (;;) {
      const message = aMessage({ eventTypeId });
      await broker.publishEvent(message);
      // Written at once, so that the test knows of every confirm before the kill.
      writeSync(1, `confirmed ${message.event.eventId}\n`);
    }
  };
  await Promise.all(Array.from({ length: 20 }, one));
}

const [, , dataDir = '', prefix = '', eventTypeId = ''] = process.argv;
void publish(dataDir, prefix, eventTypeId);
