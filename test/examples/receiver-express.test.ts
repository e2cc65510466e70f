import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { Flow } from '../support/flow.js';
import { runProgram } from '../support/run-program.js';
import { until } from '../support/until.js';

const MAIN = 'examples/receiver-express/main.mjs';

describe('the Express example', () => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
  });

  afterAll(async () => {
    await flow.close();
  });

  it('takes signed callbacks, acts once on a repeat, and refuses forged calls', async () => {
    const { code, stdout } = await runProgram(MAIN, [...centre(), '--once']);
    expect([code, stdout.match(/FAILED.*/g)]).toEqual([0, null]);
    expect(stdout).toMatch(/^(\d+) of \1 checks held/m);
    for (const line of [
      'ok     the second attempt was handled',
      'ok     the centre called again and heard success',
      'ok     the inbox knew the event: it was handled once',
      'ok     signed with the client key: answer 200 success',
      'ok     a tampered body: answer 401 BAD_SIGNATURE',
      'ok     ten minutes old: answer 401 TIMESTAMP_EXPIRED',
    ]) {
      expect(stdout).toContain(line);
    }
    expect(stdout.match(/order 1, attempt \d: reserved/g)).toEqual(['order 1, attempt 1: reserved']);
    const events = await flow.settledEvents('EXAMPLE-SHOP', 2);
    expect(events.map((event) => JSON.parse(event.userObject).order).sort()).toEqual([1, 2]);
    for (const { deliveries } of events) {
      expect(deliveries).toEqual([expect.objectContaining({ state: 'succeeded', attempts: 2 })]);
    }
  });

  it('goes on receiving without --once, until it is told to end', async () => {
    const child = spawn(process.execPath, [MAIN, ...centre()], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    try {
      await until('it waits for events', () => output.includes('until Ctrl+C'));
      const event = { sourceId: 'EXAMPLE-SHOP', eventType: 'ORDER_PLACED', userObject: { order: 7 } };
      const { eventId } = await flow.client.must('POST', '/events', event);
      await until('order 7 is handled', () => output.includes('order 7, attempt 1: reserved'));
      await flow.settled(eventId);
      child.kill('SIGINT');
      expect(await ended).toEqual([0, null]);
      expect(await flow.client.all('/listeners')).toEqual([]);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('ends with 1 when its port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const { code, stdout } = await runProgram(MAIN, [...centre(), '--once', '--port', String(port)]);
    other.close();
    expect([code, stdout]).toEqual([1, expect.stringContaining('EADDRINUSE')]);
  });

  function centre(): string[] {
    return ['--url', flow.centre.url, '--token', flow.centre.token];
  }
});
