import { createConnection } from 'mysql2/promise';
import { Flow } from '../support/flow.js';
import { createOnServer } from '../support/mysql-server.js';
import { runProgram } from '../support/run-program.js';

const MAIN = 'examples/outbox/main.mjs';

describe('the outbox example', () => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
  });

  afterAll(async () => {
    await flow.close();
  });

  it('relays exactly the committed orders from SQLite, and says so', async () => {
    const { code, stdout } = await run();
    expectSaid(code, stdout);
    expect(stdout).toContain('Placing orders on SQLite');
    const committed = ['01', '02', '03', '05', '06', '07', '08', '09', '10'];
    const events = await flow.settledEvents('EXAMPLE-ORDERS', 2 * committed.length);
    const orders = events.map((event) => JSON.parse(event.userObject).order.split('-')[1]);
    expect(orders.sort()).toEqual(committed.flatMap((order) => [order, order]));
    expect(events.map((event) => event.state)).toEqual(events.map(() => 'succeeded'));
    expect(await flow.client.all('/listeners')).toEqual([]);
  });

  const onServer = process.env['EVENT_CENTER_TEST_EMBEDDED_ONLY'] === '1' ? it.skip : it;

  onServer('does the same on MariaDB, and leaves no table behind', async () => {
    const { url, drop } = await createOnServer();
    try {
      const { code, stdout } = await run('--database', url);
      expectSaid(code, stdout);
      expect(stdout).toContain('Placing orders on MySQL or MariaDB');
      const connection = await createConnection(url);
      const [tables] = await connection.query('SHOW TABLES');
      await connection.end();
      expect(tables).toEqual([]);
    } finally {
      await drop();
    }
  });

  it('ends with 1 and says why when the database is not there', async () => {
    const { code, stdout } = await run('--database', 'mysql://root@127.0.0.1:1/shop');
    expect([code, stdout]).toEqual([1, expect.stringContaining('ECONNREFUSED')]);
  });

  function run(...options: string[]): ReturnType<typeof runProgram> {
    return runProgram(MAIN, ['--url', flow.centre.url, '--token', flow.centre.token, ...options]);
  }
});

function expectSaid(code: number | null, stdout: string): void {
  expect([code, stdout.match(/FAILED.*/g)]).toEqual([0, null]);
  expect(stdout).toMatch(/^(\d+) of \1 checks held/m);
  for (const line of [
    'the card was refused, rolled back, and its two events with it',
    'ok     exactly the 18 events of the 9 committed orders arrived',
    'ok     of the order that was rolled back, none',
    'ok     the event whose answer was lost was sent again, and was the same event',
    '18 published, 9 orders through, 0 pending, 0 dead',
  ]) {
    expect(stdout).toContain(line);
  }
}
