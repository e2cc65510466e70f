import { once } from 'node:events';
import { aNode, anEventType } from '../support/accepting.js';
import { parseRaw, rawRequest, readAll, SEND_PATH, SendingSetting, vector } from '../support/sending.js';
import { until } from '../support/until.js';

const registered = { nodes: [aNode('A'), aNode('ANONYMOUS_CLUSTER')], eventTypes: [anEventType('USER', 'ADD_AFTER')] };
const EVENT = { sourceID: 'USER', eventType: 'ADD_AFTER' };
const MAX = 64 * 1024;

let setting: SendingSetting;
beforeEach(async () => {
  setting = await new SendingSetting(registered, { maxBodyBytes: MAX, requestTimeoutMs: 400 }).start();
});
afterEach(() => setting.stop());

const head = (...headers: string[]): string =>
  [
    `POST ${SEND_PATH}?appId=A&ts=1 HTTP/1.1`,
    'Host: h',
    'Content-Type: application/x-www-form-urlencoded',
    ...headers,
  ].join('\r\n') + '\r\n\r\n';

describe('the size of a body', () => {
  it('is accepted at the limit and refused a byte above it', async () => {
    const prefix = 'eventType=ADD_AFTER&sourceID=USER&userObject='.length;
    const fits = await setting.send({ ...EVENT, userObject: 'x'.repeat(MAX - prefix) });
    expect(fits.data['code']).toBe('OK');
    const tooLarge = await setting.send({ ...EVENT, userObject: 'x'.repeat(MAX - prefix + 1) });
    expect(tooLarge).toMatchObject({
      status: 413,
      data: { status: 0, code: 'PAYLOAD_TOO_LARGE', message: expect.stringContaining(String(MAX)) },
    });
    expect(tooLarge.headers.get('connection')).toBe('close');
    expect(setting.metrics.counts.get('refused PAYLOAD_TOO_LARGE')).toBe(1);
  });

  it('is refused by its announcement, before it is read', async () => {
    const socket = setting.connect();
    socket.write(head('Content-Length: 5000000000'));
    const answer = parseRaw(await readAll(socket));
    expect([answer.status, answer.data['code']]).toEqual([413, 'PAYLOAD_TOO_LARGE']);
  });

  it('is refused in the middle when it was not announced', async () => {
    const socket = setting.connect();
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    socket.write(head('Transfer-Encoding: chunked') + chunk + chunk + chunk);
    const answer = parseRaw(await readAll(socket));
    expect([answer.status, answer.data['code']]).toEqual([413, 'PAYLOAD_TOO_LARGE']);
  });

  it('is told also to a sender that writes everything before it reads', async () => {
    const socket = setting.connect();
    const size = 4 * 1024 * 1024;
    const body = Buffer.alloc(size, 'x');
    const answer = readAll(socket);
    socket.write(head(`Content-Length: ${String(size)}`));
    for (let at = 0; at < size; at += 65_536) {
      if (!socket.write(body.subarray(at, at + 65_536))) await once(socket, 'drain');
    }
    expect(parseRaw(await answer).status).toBe(413);
  });

  it('that goes on for ever is cut off', async () => {
    const socket = setting.connect();
    socket.on('error', () => undefined);
    socket.write(head('Content-Length: 50000000000'));
    const block = Buffer.alloc(1024 * 1024, 'x');
    let isClosed = false;
    socket.on('close', () => (isClosed = true));
    const pump = (): void => {
      if (!isClosed) socket.write(block, () => setImmediate(pump));
    };
    pump();
    await until('the server cuts the body off', () => isClosed);
    expect(socket.bytesWritten).toBeLessThan(64 * 1024 * 1024);
  });

  it('is known to a sender that waits for 100 Continue, before it sends', async () => {
    const request = rawRequest(vector('B'), { headers: ['Expect: 100-continue'] });
    const at = request.indexOf('\r\n\r\n') + 4;
    const socket = setting.connect();
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.write(request.slice(0, at));
    await until('100 Continue comes', () => text.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
    socket.write(request.slice(at));
    await once(socket, 'close');
    expect(parseRaw(text.slice('HTTP/1.1 100 Continue\r\n\r\n'.length)).data['code']).toBe('OK');

    const refused = await setting.raw(head('Expect: 100-continue', 'Content-Length: 5000000000'));
    expect(parseRaw(refused).status).toBe(413);
  });

  it('of headers is bound too', async () => {
    const answer = await setting.raw(head(`x: ${'y'.repeat(20_000)}`, 'Content-Length: 0'));
    expect(parseRaw(answer).status).toBe(431);
  });
});

describe('a sender', () => {
  it('whose body does not arrive in time gets 408 and is disconnected', async () => {
    const answer = await setting.raw(head('Content-Length: 10') + 'abc');
    expect(parseRaw(answer).status).toBe(408);
    expect(setting.log.lines.filter((line) => line.level === 'error')).toEqual([]);
  });

  it('that leaves in the middle of its body harms nobody', async () => {
    const socket = setting.connect();
    await once(socket, 'connect');
    socket.write(head('Content-Length: 10') + 'abc', () => socket.destroy());
    await once(socket, 'close');
    expect((await setting.send(EVENT)).data['code']).toBe('OK');
    expect(setting.log.lines.map((line) => line.event)).toEqual(['event.accepted']);
  });

  it('that leaves before the confirm has its event accepted all the same', async () => {
    let confirm = (): void => undefined;
    let isPublishing = false;
    setting.broker.beforeConfirm = () => {
      isPublishing = true;
      return new Promise((resolve) => (confirm = resolve));
    };
    const socket = setting.connect();
    socket.write(rawRequest(vector('B')));
    await until('the event is being published', () => isPublishing);
    socket.destroy();
    await once(socket, 'close');
    confirm();
    await until('the event is accepted', () => setting.broker.messages.length === 1);
    expect(setting.log.lines.map((line) => line.event)).toEqual(['event.accepted']);
  });

  it('may use its connection again after every kind of answer', async () => {
    const one = (request: string): string => request.replace('Connection: close\r\n', '');
    const wrong = one(rawRequest({ ...vector('B'), sign: 'wrong' }));
    const get = `GET ${SEND_PATH} HTTP/1.1\r\nHost: h\r\n\r\n`;
    const text = await setting.raw(
      one(rawRequest(vector('B'))) + wrong + get + one(rawRequest(vector('D'))) + rawRequest(vector('C')),
    );
    expect(text.match(/"code":"(\w+)"/g)).toEqual([
      '"code":"OK"',
      '"code":"BAD_SIGNATURE"',
      '"code":"METHOD_NOT_ALLOWED"',
      '"code":"OK"',
      '"code":"OK"',
    ]);
  });

  it('that speaks no HTTP gets 400', async () => {
    expect(parseRaw(await setting.raw('hello\r\n\r\n')).status).toBe(400);
    const both = head('Content-Length: 3', 'Transfer-Encoding: chunked') + 'abc';
    expect(parseRaw(await setting.raw(both)).status).toBe(400);
  });
});

describe('stopping the server', () => {
  it('answers what is running, then closes, and takes nothing new', async () => {
    let confirm = (): void => undefined;
    let isPublishing = false;
    setting.broker.beforeConfirm = () => {
      isPublishing = true;
      return new Promise((resolve) => (confirm = resolve));
    };
    const idle = setting.connect();
    await once(idle, 'connect');
    const running = setting.send(EVENT);
    await until('the event is being published', () => isPublishing);
    const stopped = setting.stop(20_000);
    await once(idle, 'close');
    await expect(fetch(setting.url)).rejects.toThrow();
    confirm();
    expect((await running).data['code']).toBe('OK');
    await stopped;
    await setting.stop();
  });

  it('cuts off what is not answered within the grace', async () => {
    let isPublishing = false;
    setting.broker.beforeConfirm = () => {
      isPublishing = true;
      return new Promise(() => undefined);
    };
    const running = setting.send(EVENT).catch((error: unknown) => error);
    await until('the event is being published', () => isPublishing);
    await setting.stop(50);
    expect(await running).toMatchObject({ message: 'fetch failed' });
  });
});
