import { Flow } from '../support/flow.js';
import { runProgram } from '../support/run-program.js';

const MAIN = 'examples/plugin-app/main.mjs';

describe('the example of plugins in process', () => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
  });

  afterAll(() => flow.close());

  it('runs its plugins in order, tries again, gives up with doBackAction, and says so; also the second time', async () => {
    for (const run of [1, 2]) {
      const { code, stdout } = await runProgram(MAIN, ['--url', flow.centre.url, '--token', flow.centre.token]);
      const failed = stdout.split('\n').filter((line) => line.includes('FAILED'));
      expect({ run, code, failed }).toEqual({ run, code: 0, failed: [] });
      expect(stdout).toContain('9 of 9 checks held');
      for (const line of [
        'billing  order 2, attempt 2: the printer is out of paper',
        'billing  order 2, attempt 3: invoiced',
        'billing  order 3: given up, the draft is cancelled',
      ]) {
        expect(stdout).toContain(line);
      }
    }
    const events = await flow.client.all('/events?sourceId=EXAMPLE-ORDER');
    expect(events.map(({ state }) => state).sort()).toEqual(['failed', 'failed', 'succeeded', 'succeeded', 'succeeded', 'succeeded']); // prettier-ignore
  });

  it('says what is wrong with a token, and ends with 1', async () => {
    const { code, stdout } = await runProgram(MAIN, ['--url', flow.centre.url, '--token', 'wrong']);
    expect(code).toBe(1);
    expect(stdout).toMatch(/FAILED the example runs to its end .*401/);
  });
});
