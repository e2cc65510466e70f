import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { until } from '../../../test/support/until.js';
import { approvalBody, EventNotifier, WebhookFailedError, WebhookHandler } from '../../src/notifier/index.js';

const EVENT = {
  id: 'e-1',
  type: 'approval_operation',
  time: '2025-11-19T11:07:32+08:00',
  task: { id: 'task-1', templateId: 'tpl', businessId: 'event-001', state: 'submitted' },
  node: { id: 'approval', name: '审批', type: 'approval' },
  approval: { nodeId: 'approval', approver: 'manager-001', result: 'add_approver', comment: '' },
  business: { id: 'event-001', data: { orderId: 7 } },
};

interface Call {
  method: string | undefined;
  path: string | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

describe('the webhook handler', () => {
  const calls: Call[] = [];
  let answer: (response: ServerResponse) => void;
  let server: Server;
  let url: string;

  beforeAll(async () => {
    server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { method, url: path, headers } = request;
        calls.push({ method, path, headers, body: Buffer.concat(chunks).toString() });
        answer(response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook?a=1`;
  });

  afterAll(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });

  beforeEach(() => {
    calls.length = 0;
    answer = (response) => response.end('anything');
  });

  it('posts the event as JSON', async () => {
    await new WebhookHandler({ url }).handle(EVENT);
    expect(calls).toEqual([expect.objectContaining({ method: 'POST', path: '/hook?a=1' })]);
    expect(calls[0]!.headers['content-type']).toBe('application/json');
    expect(JSON.parse(calls[0]!.body)).toEqual(EVENT);
  });

  it('sends with the method, headers and body it is told', async () => {
    const headers = { 'Content-Type': 'text/plain', 'X-Auth-Token': 'your-token' };
    const body = ({ id }: { id: string }) => `the event ${id}`;
    await new WebhookHandler({ url, method: 'PUT', headers, body }).handle(EVENT);
    expect(calls[0]).toMatchObject({
      method: 'PUT',
      headers: { 'content-type': 'text/plain', 'x-auth-token': 'your-token' },
      body: 'the event e-1',
    });
  });

  it('writes an approval event under the names of the approval kit', async () => {
    await new WebhookHandler({ url, body: approvalBody }).handle(EVENT);
    expect(JSON.parse(calls[0]!.body)).toEqual({
      ID: 'e-1',
      Type: 'approval_operation',
      Time: '2025-11-19T11:07:32+08:00',
      Task: { ID: 'task-1', TemplateID: 'tpl', BusinessID: 'event-001', State: 'submitted' },
      Node: { ID: 'approval', Name: '审批', Type: 'approval' },
      Approval: { NodeID: 'approval', Approver: 'manager-001', Result: 'add_approver', Comment: '' },
      Business: { ID: 'event-001', Data: { orderId: 7 } },
    });
    expect(JSON.parse(approvalBody({ id: 'e', type: 't' }))).toMatchObject({ ID: 'e', Approval: null });
  });

  it.each([301, 404, 410, 500])('fails on %i, following no redirect', async (status) => {
    answer = (response) => response.writeHead(status, { location: '/elsewhere' }).end();
    const error = await new WebhookHandler({ url }).handle(EVENT).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WebhookFailedError);
    expect(error).toMatchObject({ code: 'WEBHOOK_FAILED', status });
    expect(calls).toHaveLength(1);
  });

  it.each([200, 201, 204])('succeeds on %i', async (status) => {
    answer = (response) => response.writeHead(status).end();
    await new WebhookHandler({ url }).handle(EVENT);
  });

  it('ends a call that is not answered in time', async () => {
    let closed = false;
    answer = (response) => response.on('close', () => (closed = true));
    const handler = new WebhookHandler({ url, timeoutMs: 50 });
    await expect(handler.handle(EVENT)).rejects.toThrow('the webhook did not answer within 50 ms');
    await until('the call was ended', () => closed);
  });

  it('ends an answer that does not end in time', async () => {
    answer = (response) => void response.writeHead(200).write('...');
    const handler = new WebhookHandler({ url, timeoutMs: 50 });
    await expect(handler.handle(EVENT)).rejects.toThrow('the webhook did not answer within 50 ms');
  });

  it('does not read an endless answer', async () => {
    let closed = false;
    answer = (response) => {
      response.on('close', () => (closed = true));
      const more = (): void => {
        while (!closed && response.write(Buffer.alloc(16_384)));
      };
      response.on('drain', more);
      more();
    };
    await new WebhookHandler({ url }).handle(EVENT);
    await until('the rest was refused', () => closed);
  });

  it('names why there was no answer', async () => {
    const handler = new WebhookHandler({ url: 'http://127.0.0.1:9/' });
    await expect(handler.handle(EVENT)).rejects.toThrow(/ECONNREFUSED|bad port/);
  });

  it('ends its calls with its signal, and with the notifier', async () => {
    answer = () => {};
    const controller = new AbortController();
    const call = new WebhookHandler({ url, signal: controller.signal }).handle(EVENT);
    await until('it was called', () => calls.length === 1);
    controller.abort(new Error('over'));
    await expect(call).rejects.toThrow('over');
    const notifier = new EventNotifier<typeof EVENT>().register('hook', new WebhookHandler({ url }));
    await notifier.notify(EVENT);
    await until('it was called', () => calls.length === 2);
    expect((await notifier.stop({ timeoutMs: 10 })).left).toEqual([
      expect.objectContaining({ handler: 'hook', attempts: 1, interrupted: true }),
    ]);
  });

  it('is tried again by the notifier until it answers 2xx', async () => {
    answer = (response) => response.writeHead(calls.length < 3 ? 503 : 200).end();
    const notifier = new EventNotifier<typeof EVENT>({ firstDelayMs: 5 }).register('hook', new WebhookHandler({ url }));
    await notifier.notify(EVENT);
    await until('it was answered', () => calls.length === 3);
    expect(await notifier.stop()).toEqual({ left: [] });
    expect(notifier.failed()).toEqual([]);
  });

  it.each([
    ['url', { url: 'ftp://example.com' }],
    ['url', { url: 'http://user:secret@example.com' }],
    ['url', { url: '/hook' }],
    ['method', { method: 'GET' as never }],
    ['timeoutMs', { timeoutMs: 0 }],
    ['headers', { headers: { 'x y': '1' } }],
  ])('refuses a wrong %s', (field, wrong) => {
    expect(() => new WebhookHandler({ url, ...wrong })).toThrow(new RegExp(`^${field}: `));
  });
});
