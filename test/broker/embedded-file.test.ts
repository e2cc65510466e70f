import { spawn } from 'node:child_process';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { EventMessage } from '../../src/core/model.js';
import type { Broker, NodeQueue, Received } from '../../src/core/ports.js';
import { brokerFixture, type BrokerFixture } from '../support/brokers.js';
import { aMessage } from '../support/messages.js';
import { until } from '../support/until.js';

/** Every file that is opened in this process, the newest last. */
const mockOpened: Database.Database[] = [];

jest.mock('better-sqlite3', () => {
  const Real = jest.requireActual<typeof Database>('better-sqlite3');
  return class Opened extends Real {
    constructor(file?: string, options?: Database.Options) {
      super(file, options);
      mockOpened.push(this);
    }
  };
});

const TYPE = '55555555-5555-4555-8555-555555555555';
const A: NodeQueue = { kind: 'url', nodeCode: 'A' };

describe('the embedded broker and its file', () => {
  let fixture: BrokerFixture;

  beforeEach(() => {
    fixture = brokerFixture('embedded');
  });

  afterEach(async () => {
    await fixture.cleanup();
  });

  async function takeAll(broker: Broker, queue: NodeQueue | 'journal'): Promise<Received<EventMessage>[]> {
    const taken: Received<EventMessage>[] = [];
    const handler = (received: Received<EventMessage>) => {
      taken.push(received);
      return Promise.resolve('ack' as const);
    };
    if (queue === 'journal') await broker.consumeJournal({ prefetch: 100 }, handler);
    else await broker.consumeNode(queue, { prefetch: 100 }, handler);
    const ref = queue === 'journal' ? ({ kind: 'journal' } as const) : queue;
    await until('all are taken', async () => (await broker.depth(ref)) === 0);
    return taken;
  }

  it('has every confirmed message after a kill -9', async () => {
    const { dataDir, prefix } = fixture;
    const script = join(__dirname, '../support/embedded-publisher.ts');
    const child = spawn(process.execPath, ['--import', 'tsx', script, dataDir, prefix, TYPE], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.on('data', (data: Buffer) => {
      output += data.toString();
    });
    const closed = new Promise((resolve) => child.once('close', resolve));
    await until('many are confirmed', () => output.length > 200_000, 30_000);
    child.kill('SIGKILL');
    await closed;
    // The kill can have cut the last line.
    const lines = output.slice(0, output.lastIndexOf('\n')).split('\n');
    const idsOf = (word: string): string[] =>
      lines.filter((line) => line.startsWith(word)).map((line) => line.slice(word.length + 1));
    const [confirmed, taken] = [idsOf('confirmed'), idsOf('taken')];
    const broker = await fixture.start();
    const inNode = new Set((await takeAll(broker, A)).map(({ message }) => message.event.eventId));
    const inJournal = await takeAll(broker, 'journal');
    const known = new Set([...taken, ...inJournal.map(({ message }) => message.event.eventId)]);
    expect(confirmed.length).toBeGreaterThan(1000);
    expect(confirmed.filter((id) => !inNode.has(id))).toEqual([]);
    expect(confirmed.filter((id) => !known.has(id))).toEqual([]);
    // What was taken before and comes again says so.
    const wasTaken = new Set(taken);
    expect(inJournal.filter(({ message, redelivered }) => wasTaken.has(message.event.eventId) && !redelivered)).toEqual(
      [],
    );
  }, 60_000);

  it('calls what was never handed out fresh, also after a restart', async () => {
    let broker = await fixture.start();
    await broker.ensureTopology({ nodeQueues: [{ ...A, eventTypeIds: [TYPE] }], delaysMs: [] });
    await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
    await broker.stop();
    broker = await fixture.start();
    expect((await takeAll(broker, A)).map(({ redelivered }) => redelivered)).toEqual([false]);
  });

  it('is refused to a second process, with a sentence that says what to do', async () => {
    await fixture.start();
    await expect(fixture.make().start()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/another process uses .*broker\.sqlite.*RabbitMQ/),
    });
  });

  it('answers UNAVAILABLE while the disk is full, still takes acks, and recovers', async () => {
    const broker = await fixture.start();
    await broker.ensureTopology({ nodeQueues: [{ ...A, eventTypeIds: [TYPE] }], delaysMs: [] });
    // SQLite answers as it does on a full disk.
    mockOpened.at(-1)?.pragma('max_page_count = 500');
    const userObject = Buffer.alloc(64 * 1024);
    const publish = (): Promise<void> => broker.publishEvent(aMessage({ eventTypeId: TYPE, userObject }));
    let confirmed = 0;
    let refused: unknown = null;
    while (refused === null) {
      await publish().then(
        () => (confirmed += 1),
        (error: unknown) => (refused = error),
      );
    }
    expect(refused).toMatchObject({ code: 'UNAVAILABLE' });
    expect(broker.status()).toMatchObject({ ready: false, blocked: true, problem: expect.stringContaining('full') });
    expect(confirmed).toBeGreaterThan(5);
    expect(await takeAll(broker, A)).toHaveLength(confirmed);
    expect(await takeAll(broker, 'journal')).toHaveLength(confirmed);
    await until('it has recovered', () => broker.status().ready);
    expect(broker.status()).toEqual({ ready: true, blocked: false, problem: null, unconfirmedQueues: [] });
    await publish();
  });

  it('takes a foreign file for what it is', async () => {
    const db = new Database(join(fixture.dataDir, 'broker.sqlite'));
    db.exec('CREATE TABLE message (other TEXT)');
    db.close();
    await expect(fixture.make().start()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
