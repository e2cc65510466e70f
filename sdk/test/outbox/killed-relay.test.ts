import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from '../../../test/support/until.js';
import type { RelayedEvent } from '../../src/outbox/index.js';
import { addOrder, FakeCentre, mariaDbByMysql2, type OutboxFixture } from './outbox-fixtures.js';

const TRANSACTIONS = 500;
const ROLLED_BACK = 50;

const onServer = process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? describe.skip : describe;

onServer('a relay that is killed', () => {
  let fixture: OutboxFixture & { url: string };
  let centre: FakeCentre;
  let server: Server;
  let children: ChildProcess[];

  beforeEach(async () => {
    fixture = await mariaDbByMysql2();
    centre = new FakeCentre();
    children = [];
    server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        void centre.send(JSON.parse(body) as RelayedEvent).then(() => response.end('{}'));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });

  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    server.close();
    server.closeAllConnections();
    await fixture.close();
  });

  it('loses nothing, sends nothing that was rolled back, and repeats under the same uuid', async () => {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const startRelay = (): ChildProcess => {
      const program = 'sdk/test/outbox/relay-program.ts';
      const child = spawn(process.execPath, ['--import', 'tsx', program, url, fixture.url], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      children.push(child);
      return child;
    };
    /** Kills the relay while answers to it are on their way, so that what it sent is not marked. */
    const killInTheMiddle = async (child: ChildProcess, after: number): Promise<void> => {
      let arrived = (): void => {};
      const inHand = new Promise<void>((resolve) => (arrived = resolve));
      centre.after = () => {
        if (centre.accepted.size < after) return;
        arrived();
        return new Promise<void>((resolve) => setTimeout(resolve, 300));
      };
      await inHand;
      child.kill('SIGKILL');
      await once(child, 'exit');
      centre.after = () => {};
    };

    const committed: string[] = [];
    const first = startRelay();
    const killed = killInTheMiddle(first, 60);
    for (let number = 0; number < TRANSACTIONS; number += 1) {
      const fails = number % (TRANSACTIONS / ROLLED_BACK) === 3;
      const order = { order: `${number}`, aggregate: `order:${number % 60}` };
      if (!fails) committed.push(await addOrder(fixture, order));
      else {
        const placed = fixture.inTransaction(async (executor) => {
          await fixture.outbox.add(executor, { sourceId: 'shop', eventType: 'ORDER', userObject: 'rolled back' });
          throw new Error('out of stock');
        });
        await expect(placed).rejects.toThrow('out of stock');
      }
    }
    await killed;
    await killInTheMiddle(startRelay(), 200);
    startRelay();
    await until('nothing is pending', async () => {
      const [row] = await fixture.rows(`SELECT COUNT(*) AS total FROM event_outbox WHERE state <> 'published'`);
      return Number(row.total) === 0;
    });

    expect(committed).toHaveLength(TRANSACTIONS - ROLLED_BACK);
    expect([...centre.accepted.keys()].sort()).toEqual([...committed].sort());
    expect(centre.payloads()).not.toContain('rolled back');
    expect(centre.duplicates).toBeGreaterThan(0);
    for (let aggregate = 0; aggregate < 60; aggregate += 1) {
      const of = centre
        .payloads()
        .map(Number)
        .filter((number) => number % 60 === aggregate);
      expect(of).toEqual([...of].sort((a, b) => a - b));
    }
  });
});
