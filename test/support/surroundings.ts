import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createOnServer } from './mysql-server.js';
import { deleteRabbitmq, injectEmbedded, injectRabbitmq, TEST_BROKER_URL, type RawMessage } from './raw-broker.js';

export type SurroundingsKind = 'RabbitMQ and MariaDB' | 'the embedded broker and SQLite';

/** What whole-process suites run over. */
export const SURROUNDINGS: SurroundingsKind[] =
  process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1'
    ? ['the embedded broker and SQLite']
    : ['RabbitMQ and MariaDB', 'the embedded broker and SQLite'];

/** What centre processes keep their events in, under names that nobody else uses. */
export interface Surroundings {
  kind: SurroundingsKind;
  /** Names broker and database to a centre process. */
  environment: Record<string, string>;
  dataDir: string;
  /** Says what the centre is going to declare, so that it can be removed: nobody can list it. */
  noteNode(nodeCode: string): void;
  noteDelays(delaysMs: number[]): void;
  /** Puts a message into a node's queue past the centre. No process may run on the embedded broker. */
  injectForNode(nodeCode: string, message: RawMessage): Promise<void>;
  /** Every process must have ended. */
  remove(): Promise<void>;
}

export async function createSurroundings(kind: SurroundingsKind): Promise<Surroundings> {
  const dataDir = mkdtempSync(join(tmpdir(), 'event-center-flow-'));
  return kind === 'RabbitMQ and MariaDB' ? onServers(dataDir) : embedded(dataDir);
}

function embedded(dataDir: string): Surroundings {
  return {
    kind: 'the embedded broker and SQLite',
    environment: { EVENT_CENTER_BROKER_URL: 'embedded:' },
    dataDir,
    noteNode: () => {},
    noteDelays: () => {},
    injectForNode: async (nodeCode, message) => {
      injectEmbedded(join(dataDir, 'broker.sqlite'), `ec.node.${nodeCode}`, message);
    },
    remove: async () => {
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

async function onServers(dataDir: string): Promise<Surroundings> {
  const prefix = `ecf-${randomBytes(5).toString('hex')}.`;
  const database = await createOnServer();
  const queues = new Set(['journal', 'outcomes', 'dead']);
  const exchanges = new Set(['events', 'redeliver', 'dead', 'outcomes', 'control']);
  return {
    kind: 'RabbitMQ and MariaDB',
    environment: {
      EVENT_CENTER_BROKER_URL: TEST_BROKER_URL,
      EVENT_CENTER_BROKER_PREFIX: prefix,
      EVENT_CENTER_DATABASE_URL: database.url,
    },
    dataDir,
    noteNode: (nodeCode) => {
      queues.add(`node.${nodeCode}`);
      queues.add(`app.${nodeCode}`);
    },
    noteDelays: (delaysMs) => {
      for (const delayMs of delaysMs) {
        queues.add(`delay.${delayMs}`);
        exchanges.add(`delay.${delayMs}`);
      }
    },
    injectForNode: (nodeCode, message) => injectRabbitmq(`${prefix}node.${nodeCode}`, message),
    remove: async () => {
      const named = (names: Set<string>): string[] => [...names].map((name) => prefix + name);
      await Promise.all([deleteRabbitmq(named(queues), named(exchanges)), database.drop()]);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
