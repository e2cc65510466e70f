import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { typesCommand } from '../../sdk/src/types/types-command.js';
import { compile } from '../../sdk/test/types/compile.js';
import { Flow, type FlowNode, type FlowType } from '../support/flow.js';

const BUSINESS_EVENT = readFileSync(join(__dirname, '..', '..', 'sdk', 'src', 'business-event.ts'), 'utf8');

describe('types from the registry of a centre', () => {
  let flow: Flow;
  let folder: string;
  let out: string;
  let node: FlowNode;
  let owned: FlowType;
  let heard: FlowType;
  let foreign: FlowType;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'event-center-types-'));
    out = join(folder, 'events.d.ts');
    flow = await Flow.start('the embedded broker and SQLite');
    node = await flow.node();
    const order = {
      type: 'object',
      description: 'An order. */',
      properties: { orderId: { type: 'string' }, total: { type: 'number' } },
      required: ['orderId'],
    };
    owned = await flow.eventType({ owner: node.appId, schema: order, eventTypeName: '订单' });
    heard = await flow.eventType();
    foreign = await flow.eventType({ schema: { type: 'string' } });
    await flow.listener(node, heard);
  });

  afterAll(async () => {
    rmSync(folder, { recursive: true, force: true });
    await flow.close();
  });

  async function types(args: string[], environment: Record<string, string> = {}) {
    let [said, complained] = ['', ''];
    const output = { out: (text: string) => void (said += text), error: (text: string) => void (complained += text) };
    const code = await typesCommand(args, { environment, output });
    return { code, said, complained };
  }

  const asApplication = (...more: string[]): string[] => {
    return ['--url', flow.centre.url, '--app-id', node.appId, '--app-key', node.appKey, '--out', out, ...more];
  };
  const written = (): string => readFileSync(out, 'utf8');
  const keyOf = ({ sourceId, eventTypeCode }: FlowType): string => `'${sourceId}/${eventTypeCode}'`;

  it('writes the event types that the application owns or listens to', async () => {
    expect(await types(asApplication())).toEqual({ code: 0, said: `${out}: 2 event types written\n`, complained: '' });
    expect(written()).toContain(`${keyOf(owned)}: `);
    expect(written()).toContain(`${keyOf(heard)}: `);
    expect(written()).not.toContain(keyOf(foreign));
  });

  it('types a plugin by what it wrote', async () => {
    await types(asApplication());
    const plugin = (member: string): string => `
      import type { BusinessEvent } from './business-event.js';
      import type { Events } from './events.js';
      export class OrderPlugin {
        async doAction({ payload }: BusinessEvent<Events[${keyOf(owned)}]>): Promise<void> {
          const id: string = payload.${member};
          await Promise.resolve(id);
        }
      }`;
    const files = { 'events.d.ts': written(), 'business-event.ts': BUSINESS_EVENT };
    expect(compile({ ...files, 'plugin.ts': plugin('orderId') })).toEqual([]);
    expect(compile({ ...files, 'plugin.ts': plugin('orderNo') })).toEqual([
      expect.stringContaining("plugin.ts:6 Property 'orderNo' does not exist"),
    ]);
  });

  it('reads the environment as the client does', async () => {
    const environment = {
      EVENT_CENTER_URL: flow.centre.url,
      EVENT_CENTER_APP_ID: node.appId,
      EVENT_CENTER_APP_KEY: node.appKey,
    };
    expect(await types(['--out', out], environment)).toMatchObject({ code: 0, complained: '' });
  });

  it('takes all event types with a token, over several pages', async () => {
    const many = Array.from({ length: 501 }, (_, index) => ({ sourceId: 'MANY', eventTypeCode: `T${index}` }));
    for (const type of many) await flow.client.must('POST', '/event-types', type);
    const { token } = await flow.client.must('POST', '/tokens', { name: 'types', role: 'viewer' });
    expect(await types(['--url', flow.centre.url, '--token', token, '--out', out])).toMatchObject({ code: 0 });
    for (const type of [owned, heard, foreign]) expect(written()).toContain(`${keyOf(type)}: `);
    expect(written().match(/^ {2}'MANY\/T\d+': /gm)).toHaveLength(many.length);
  });

  it('checks a file without writing it', async () => {
    const check = asApplication('--check');
    await types(asApplication());
    const text = written();
    expect(await types(check)).toEqual({ code: 0, said: `${out}: 2 event types, up to date\n`, complained: '' });
    const added = await flow.eventType({ owner: node.appId });
    expect(await types(check)).toMatchObject({ code: 1, complained: expect.stringContaining('is not up to date') });
    expect(written()).toBe(text);
    rmSync(out);
    expect(await types(check)).toMatchObject({ code: 1, complained: expect.stringContaining('does not exist') });
    await types(asApplication());
    expect(written()).toContain(keyOf(added));
  });

  it.each<[names: string, args: () => string[]]>([
    ['--url: required, here or as EVENT_CENTER_URL', () => []],
    ['--url: expected an absolute http or https url', () => ['--url', 'events.example.com']],
    ['--app-id: required, here or as EVENT_CENTER_APP_ID', () => ['--url', flow.centre.url]],
    ['--app-key: required, here or as EVENT_CENTER_APP_KEY', () => ['--url', flow.centre.url, '--app-id', 'A']],
    ['--app-key: ', () => ['--url', flow.centre.url, '--app-id', 'A', '--app-key', '*']],
    ['--algorithm: expected one of', () => asApplication('--algorithm', 'MD5')],
    ['--context-path: ', () => asApplication('--context-path', '/a b')],
    ['--token: expected either', () => asApplication('--token', 't')],
    ["'--outt'", () => asApplication('--outt')],
    ['BAD_SIGNATURE: ', () => asApplication('--app-key', 'd3Jvbmcga2V5')],
    ['UNKNOWN_APP: ', () => asApplication('--app-id', 'nobody')],
    ['UNAUTHENTICATED: ', () => ['--url', flow.centre.url, '--token', 'nonsense']],
    ['UNAVAILABLE: ', () => asApplication('--url', 'http://127.0.0.1:1')],
    ['--out: ', () => asApplication('--out', join(folder, 'none', 'events.d.ts'))],
    ['--out: ', () => asApplication('--check', '--out', folder)],
  ])('exits with 2 and says %s', async (names, args) => {
    writeFileSync(out, 'as it was');
    expect(await types(args())).toEqual({
      code: 2,
      said: '',
      complained: expect.stringMatching(/^event-center types: [^\n]*\n$/),
    });
    expect((await types(args())).complained).toContain(names);
    expect(written()).toBe('as it was');
  });

  it('says how it is used', async () => {
    expect(await types(['--help'])).toMatchObject({ code: 0, said: expect.stringContaining('--context-path') });
  });
});
