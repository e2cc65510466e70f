import { Flow } from '../support/flow.js';
import { runProgram } from '../support/run-program.js';

const MAIN = 'examples/approval/main.mjs';
/** Type, state of the task, node, and what was done: the seven events of the scenario's description. */
const SEVEN_EVENTS = [
  ['task_created', 'pending', '开始 start', null],
  ['task_submitted', 'submitted', '开始 start', null],
  ['node_activated', 'submitted', '审批 approval', null],
  ['approval_operation', 'submitted', '审批 approval', 'manager-001 add_approver'],
  ['approval_operation', 'approved', '审批 approval', 'manager-001 approve'],
  ['node_completed', 'approved', '审批 approval', null],
  ['task_approved', 'approved', '审批 approval', null],
];

describe('the approval example', () => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
  });

  afterAll(async () => {
    await flow.close();
  });

  it('brings the seven events of the scenario through the centre, and says so', async () => {
    const { code, stdout } = await run();
    expect([code, failedIn(stdout)]).toEqual([0, []]);
    expect(stdout).toMatch(/^(\d+) of \1 checks held/m);
    for (const line of [
      'ok     the catalogue has ten event types',
      'ok     seven events came, each once',
      'ok     event 5, approve: approval_operation, 15 fields as expected',
      'ok     task_approved failed there at first and was tried again',
      'ok     the same event id again is the same event',
      'is refused: SCHEMA_MISMATCH',
      'ok     the webhook got the seven events with their fields, each once',
      'ok     stopping the notifier left nothing behind',
    ]) {
      expect(stdout).toContain(line);
    }
  });

  it('leaves in the centre what it has told', async () => {
    const events = await flow.settledEvents('APPROVAL', 7);
    expect(events).toHaveLength(7);
    const told = events.map(({ eventType, userObject }) => {
      const { type, task, node, approval, business } = JSON.parse(userObject);
      expect([type, business.id, task.businessId]).toEqual([eventType, 'event-001', 'event-001']);
      const done = approval === undefined ? null : `${approval.approver} ${approval.result}`;
      return [type, task.state, `${node.name} ${node.type}`, done];
    });
    expect(told).toEqual(expect.arrayContaining(SEVEN_EVENTS));
    for (const { eventType, deliveries } of events) {
      const nodes = deliveries.map((delivery: any) => delivery.nodeCode).sort();
      const isNotice = ['node_activated', 'task_approved'].includes(eventType);
      expect([eventType, nodes]).toEqual([eventType, isNotice ? ['EXAMPLE-LOG', 'EXAMPLE-NOTICE'] : ['EXAMPLE-LOG']]);
      expect(deliveries.every((delivery: any) => delivery.state === 'succeeded')).toBe(true);
    }
    expect(await flow.client.all('/listeners')).toEqual([]);
  });

  it('can be run again on the same centre', async () => {
    const { code, stdout } = await run();
    expect([code, failedIn(stdout)]).toEqual([0, []]);
    expect(stdout.match(/^ {2}unchanged {2}/gm)).toHaveLength(10);
    expect(await flow.settledEvents('APPROVAL', 14)).toHaveLength(14);
  });

  it('ends with 1 and names the event when one of the seven is refused', async () => {
    const [submitted] = await flow.client.all('/event-types?sourceId=APPROVAL&eventTypeCode=task_submitted');
    await flow.client.must('PATCH', `/event-types/${submitted.id}`, { owner: flow.sender.appId });
    const { code, stdout } = await run();
    expect(code).toBe(1);
    expect(failedIn(stdout)).toContain('the centre has taken all seven events');
    expect(stdout).toContain('task_submitted was not sent: ');
    expect(failedIn(stdout)).toContain('event 2, submit: task_submitted: it did not come');
    await flow.client.must('PATCH', `/event-types/${submitted.id}`, { owner: 'ALL' });
  });

  it('ends with 1 when the centre does not take its token, or none is given', async () => {
    const wrong = await runProgram(MAIN, ['--url', flow.centre.url, '--token', 'wrong']);
    expect([wrong.code, wrong.stdout]).toEqual([1, expect.stringContaining('answered 401')]);
    const none = await runProgram(MAIN, ['--url', flow.centre.url]);
    expect([none.code, none.stdout]).toEqual([1, expect.stringContaining('--url needs --token')]);
  });

  it('tells every field that is not as the scenario says', async () => {
    const payload = {
      id: 'task-1-x',
      type: 'task_created',
      time: new Date().toISOString(),
      task: { id: 'task-1', templateId: 'event-notification-template', businessId: 'event-001', state: 'pending' },
      node: { id: 'start', name: '开始', type: 'start' },
      business: { id: 'event-001' },
    };
    const { task, node } = payload;
    expect(await differencesOf(payload)).toEqual([]);
    expect(await differencesOf({ ...payload, task: { ...task, state: 'approved' } })).toEqual([
      'task.state: expected pending, found approved',
    ]);
    expect(await differencesOf({ ...payload, node: { ...node, name: undefined } })).toEqual([
      'node.name: expected 开始, found undefined',
    ]);
    expect(await differencesOf({ ...payload, approval: { result: 'approve' } })).toEqual([
      'approval.result: expected undefined, found approve',
    ]);
    expect(await differencesOf({ ...payload, id: '', time: '2020-01-01T00:00:00Z', type: 'x' })).toHaveLength(3);
  });

  async function differencesOf(payload: unknown): Promise<string[]> {
    const program = `
      import { EXPECTED_EVENTS, differences } from './examples/approval/expected-events.mjs';
      const run = { taskId: 'task-1', startedAt: Date.now() - 60_000 };
      console.log(JSON.stringify(differences(${JSON.stringify(payload)}, EXPECTED_EVENTS[0], run)));`;
    const { stdout } = await runProgram('--input-type=module', ['--eval', program]);
    return JSON.parse(stdout);
  }

  function run() {
    return runProgram(MAIN, ['--url', flow.centre.url, '--token', flow.centre.token]);
  }
});

/** The checks that did not hold, each once. */
function failedIn(output: string): string[] {
  return [...new Set([...output.matchAll(/^ {2}FAILED (.*)$/gm)].map((match) => match[1] as string))];
}
