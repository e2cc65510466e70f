import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Flow } from '../support/flow.js';
import { runProgram } from '../support/run-program.js';

const SCRIPT = 'scripts/import-catalogue.mjs';
const APPROVAL = 'catalogues/approval.json';
/** `支持的事件类型` of the approval system's description. */
const TEN_TYPES = [
  'task_created',
  'task_submitted',
  'node_activated',
  'approval_operation',
  'task_approved',
  'task_rejected',
  'task_timeout',
  'task_cancelled',
  'task_withdrawn',
  'node_completed',
];

describe('importing a catalogue', () => {
  let flow: Flow;
  let folder: string;

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
    folder = mkdtempSync(join(tmpdir(), 'event-center-catalogue-'));
  });

  afterAll(async () => {
    await flow.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('registers the ten event types of the approval system, with names in Chinese and English', async () => {
    const { code, stdout } = await importing(APPROVAL);
    expect([code, stdout.trim().split('\n').at(-1)]).toEqual([0, '10 event types: 10 created, 0 changed, 0 unchanged']);
    const types = await registered('APPROVAL');
    expect(types.map((type) => type.eventTypeCode).sort()).toEqual([...TEN_TYPES].sort());
    expect(types.find((type) => type.eventTypeCode === 'task_created')).toMatchObject({
      sourceName: '审批系统 / Approval system',
      eventTypeName: '任务创建事件 / Task created',
      owner: 'ALL',
      version: 1,
    });
  });

  it('changes nothing the second time', async () => {
    const { code, stdout } = await importing(APPROVAL);
    expect([code, stdout]).toEqual([0, expect.stringContaining('0 created, 0 changed, 10 unchanged')]);
    expect((await registered('APPROVAL')).map((type) => type.version)).toEqual(TEN_TYPES.map(() => 1));
  });

  it('brings back what differs, creates what is missing, and keeps owners and types of others', async () => {
    const types = await registered('APPROVAL');
    const idOf = (code: string) => types.find((type) => type.eventTypeCode === code).id as string;
    const { appId } = await flow.node();
    await flow.client.must('PATCH', `/event-types/${idOf('task_created')}`, { eventTypeName: 'x', owner: appId });
    await flow.client.must('DELETE', `/event-types/${idOf('task_timeout')}`);
    await flow.client.must('POST', '/event-types', { sourceId: 'APPROVAL', eventTypeCode: 'task_paused' });

    const { stdout } = await importing(APPROVAL);

    expect(stdout).toContain('1 created, 1 changed, 8 unchanged');
    const after = await registered('APPROVAL');
    expect(after).toHaveLength(11);
    expect(after.find((type) => type.eventTypeCode === 'task_created')).toMatchObject({
      eventTypeName: '任务创建事件 / Task created',
      owner: appId,
    });
  });

  it('takes names of one language and an owner when asked', async () => {
    const { appId } = await flow.node();
    await importing(APPROVAL, '--language', 'en', '--owner', appId);
    const types = await registered('APPROVAL');
    expect(types.find((type) => type.eventTypeCode === 'node_completed')).toMatchObject({
      sourceName: 'Approval system',
      eventTypeName: 'Node completed',
      owner: appId,
    });
  });

  it('gives each schema the definitions that it needs, also by way of others, and no more', async () => {
    const file = catalogue({
      sourceId: 'DEFINED',
      definitions: {
        outer: { type: 'object', properties: { inner: { $ref: '#/$defs/inner' } } },
        inner: { type: 'integer' },
        unused: { type: 'string' },
      },
      eventTypes: [{ eventTypeCode: 'A', schema: { $ref: '#/$defs/outer' } }, { eventTypeCode: 'B' }],
    });
    expect((await importing(file)).code).toBe(0);
    const [a, b] = await registered('DEFINED');
    expect(Object.keys(a.schema.$defs)).toEqual(['outer', 'inner']);
    expect([b.schema, b.eventTypeName]).toEqual([null, null]);
    const type = { id: a.id, sourceId: 'DEFINED', eventTypeCode: 'A' };
    expect(await flow.trySend(type, { userObject: '{"inner":"1"}' })).toMatchObject({ code: 'SCHEMA_MISMATCH' });
    expect(await flow.trySend(type, { userObject: '{"inner":1}' })).toMatchObject({ code: 'OK' });
  });

  it('sends nothing of a file that is wrong, and names every place and rule', async () => {
    const file = catalogue({
      sourceId: '',
      sourceName: { de: 'Genehmigung' },
      eventTypes: [{ eventTypeCode: 'A' }, { eventTypeCode: 'A', schema: 'object' }, {}],
    });
    const before = await flow.client.all('/event-types');
    const { code, stderr } = await importing(file);
    expect(code).toBe(1);
    for (const place of ['sourceId: ', 'sourceName: ', 'eventTypes[1].eventTypeCode: ', 'eventTypes[1].schema: ']) {
      expect(stderr).toContain(place);
    }
    expect(stderr).toContain('eventTypes[2].eventTypeCode: expected a text');
    expect(await flow.client.all('/event-types')).toEqual(before);
  });

  it('names the event type that the centre refuses, and why', async () => {
    const schema = { $ref: '#/$defs/nowhere' };
    const { code, stderr } = await importing(
      catalogue({ sourceId: 'BAD', eventTypes: [{ eventTypeCode: 'A', schema }] }),
    );
    expect([code, stderr]).toEqual([1, expect.stringMatching(/A: POST \/event-types answered 422: schema: /)]);
  });

  it('says what is wrong with a file that is no JSON, a token, a centre that is not there, a command line', async () => {
    const file = join(folder, 'broken.json');
    writeFileSync(file, '{');
    expect(await importing(file)).toMatchObject({ code: 1, stderr: expect.stringContaining('broken.json') });
    const { url, token } = flow.centre;
    const withToken = (text: string) => runProgram(SCRIPT, ['--url', url, '--token', text, APPROVAL]);
    expect(await withToken('wrong')).toMatchObject({ code: 1, stderr: expect.stringContaining('401') });
    expect(await runProgram(SCRIPT, ['--url', 'http://127.0.0.1:9', '--token', token, APPROVAL])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('got no answer'),
    });
    for (const args of [[APPROVAL], ['--url', url, '--token', token], ['--prot', '1']]) {
      expect(await runProgram(SCRIPT, args)).toMatchObject({ code: 2, stderr: expect.not.stringContaining('    at ') });
    }
  });

  function importing(file: string, ...args: string[]) {
    return runProgram(SCRIPT, ['--url', flow.centre.url, '--token', flow.centre.token, ...args, file]);
  }

  function registered(sourceId: string): Promise<any[]> {
    return flow.client.all(`/event-types?sourceId=${sourceId}`);
  }

  function catalogue(content: unknown): string {
    const file = join(folder, 'catalogue.json');
    writeFileSync(file, JSON.stringify(content));
    return file;
  }
});

describe('the catalogue of the approval system', () => {
  it('asks of every event what its description lists', () => {
    const { eventTypes, definitions } = JSON.parse(readFileSync(APPROVAL, 'utf8'));
    for (const { eventTypeCode, schema } of eventTypes) {
      const isOperation = eventTypeCode === 'approval_operation';
      const required = ['id', 'type', 'time', 'task', 'node', ...(isOperation ? ['approval'] : []), 'business'];
      expect([eventTypeCode, schema.required]).toEqual([eventTypeCode, required]);
      expect(schema.properties.type).toEqual({ const: eventTypeCode });
    }
    const fieldsOf = (name: string) => Object.keys(definitions[name].properties);
    expect(fieldsOf('task')).toEqual(['id', 'templateId', 'businessId', 'state']);
    expect(fieldsOf('node')).toEqual(['id', 'name', 'type']);
    expect(fieldsOf('approval')).toEqual(['nodeId', 'approver', 'result', 'comment']);
  });
});
