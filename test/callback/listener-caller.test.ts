import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { parseQuery, decodeKey, formText, splitUrl, verifySignature } from '@event-center/sdk';
import type { Listener, Node } from '../../src/core/model.js';
import type { ListenerAnswer, ListenerCaller } from '../../src/core/ports.js';
import { AddressPolicy } from '../../src/callback/address-policy.js';
import { createListenerCaller } from '../../src/callback/listener-caller.js';
import { ListenerStub } from '../support/listener-stub.js';
import { aListener, aNode, anEvent } from '../support/registry-fixtures.js';
import { until } from '../support/until.js';

const { vectors } = JSON.parse(readFileSync(join(__dirname, '../support/vectors/iuap-signature.json'), 'utf8')) as {
  vectors: { id: string; key: string; sign: string; contentLength: number }[];
};
const CB1 = vectors.find((vector) => vector.id === 'CB1')!;
const EVENT_ID = '00000000-0000-4000-8000-000000000001';

const addresses = new AddressPolicy({ addresses: 'development', allowedNetworks: [], deniedNetworks: [] });

let stub: ListenerStub;
let caller: ListenerCaller;

beforeEach(async () => {
  stub = await ListenerStub.start();
  caller = createListenerCaller({ clock: Date, userAgent: 'event-center/test', addresses });
});
afterEach(async () => {
  await caller.close();
  await stub.close();
});

const event = anEvent(EVENT_ID, { eventType: 'ADD_AFTER', tenantCode: 'lnald25w' });

function call(over: Partial<Listener> = {}, node: Partial<Node> = {}, with_ = caller): Promise<ListenerAnswer> {
  const listener = aListener('L', { url: stub.url('/l'), ...over });
  return with_.call({ event, listener, node: aNode('A', node), attempt: 3 });
}

describe('what a listener receives', () => {
  it('is the form of the protocol, in its order, with the headers of the attempt', async () => {
    expect(await call()).toMatchObject({ kind: 'success', status: 200, error: null });
    const [received] = stub.calls();
    expect(received).toMatchObject({ method: 'POST', target: '/l', attempt: 3, listenerId: 'L', eventId: EVENT_ID });
    expect(received!.body).toBe(
      `sourceID=USER&eventType=ADD_AFTER&tenantCode=lnald25w&userObject=%7B%22a%22%3A1%7D&uuid=${EVENT_ID}`,
    );
    expect(received!.headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
      'user-agent': 'event-center/test',
    });
    for (const absent of ['sign', 'x-event-sender-uuid', 'sourceid', 'userobject']) {
      expect(received!.headers).not.toHaveProperty(absent);
    }
  });

  it('leaves absent fields out and passes on the key and the trace of the sender', async () => {
    const bare = anEvent(EVENT_ID, { userObject: null, senderUuid: 'k-1 测', traceparent: '00-ab-cd-01' });
    const listener = aListener('L', { url: stub.url('/l'), method: 'PUT' });
    await caller.call({ event: bare, listener, node: aNode('A'), attempt: 1 });
    const [received] = stub.calls();
    expect(received!.body).toBe(`sourceID=USER&eventType=ADD&uuid=${EVENT_ID}`);
    expect(received!.method).toBe('PUT');
    expect(received!.headers).toMatchObject({ 'x-event-sender-uuid': 'k-1 \\u6d4b', traceparent: '00-ab-cd-01' });
  });

  it('belongs to one trace per event, also when the sender began none', async () => {
    const first = '0197a000-0000-7000-8123-456789abcdef';
    const second = '0197a000-0000-7000-9fed-cba987654321';
    for (const [id, attempt] of [
      [first, 1],
      [first, 2],
      [second, 1],
    ] as const) {
      const listener = aListener(id, { url: stub.url('/l') });
      await caller.call({ event, listener, node: aNode('A'), attempt });
    }
    expect(stub.calls().map(({ headers }) => headers['traceparent'])).toEqual([
      '00-00000000000040008000000000000001-8123456789abcdef-00',
      '00-00000000000040008000000000000001-8123456789abcdef-00',
      '00-00000000000040008000000000000001-9fedcba987654321-00',
    ]);
  });

  it('is signed like the vendor signs it', async () => {
    const then = createListenerCaller({ clock: { now: () => 1467345600000 }, userAgent: 'x', addresses });
    await call({ url: stub.url('/order/userAddlistener.do') }, { clientKey: CB1.key }, then);
    await then.close();
    const [received] = stub.calls();
    expect(received!.target).toBe('/order/userAddlistener.do?appId=A&ts=1467345600000');
    expect(received!.headers['content-length']).toBe(String(CB1.contentLength));
    expect(received!.headers['sign']).toBe(CB1.sign);
  });

  it.each([
    ['/plain', {}],
    ['/', {}],
    ['/with/query?a=1&b=x%20y', {}],
    ['/with/fragment?a=1#part', {}],
    ['/shares/names?tenantCode=other&uuid=9', {}],
    ['/ts/of/its/own?ts=1', {}],
    ['/path%20with/中文?q=中文', {}],
    ['/zero', { contentLength: 'zero' }],
    ['/sha512', { algorithm: 'HmacSHA512' }],
  ] as [string, Partial<Node>][])('is verified by a receiver at %s', async (path, node) => {
    const key = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=';
    await call({ url: stub.url(path) }, { clientKey: key, ...node });
    const [received] = stub.calls();
    const url = splitUrl(received!.target);
    const query = parseQuery(url.query);
    const contentLength = node.contentLength === 'zero' ? 0 : Number(received!.headers['content-length']);
    const form = formText(new URLSearchParams(received!.body), query);
    const secret = { key: decodeKey(key)!, algorithm: node.algorithm ?? 'HmacSHA1' };
    expect(
      verifySignature(received!.headers['sign'] as string, { path: url.path, query, contentLength, form }, secret),
    ).toBe(true);
    expect(query.values.get('appId')).toBe('A');
    expect(received!.target).not.toContain('#');
  });

  it('is signed anew at each attempt', async () => {
    let now = 1_000;
    const clocked = createListenerCaller({ clock: { now: () => now }, userAgent: 'x', addresses });
    await call({}, { clientKey: CB1.key }, clocked);
    now = 2_000;
    await call({}, { clientKey: CB1.key }, clocked);
    await clocked.close();
    expect(stub.calls().map(({ target }) => target)).toEqual(['/l?appId=A&ts=1000', '/l?appId=A&ts=2000']);
    expect(stub.calls()[0]!.headers['sign']).not.toBe(stub.calls()[1]!.headers['sign']);
  });

  it('is nothing when a secret cannot be read: no call goes out unsigned', async () => {
    const unreadable = { unreadable: { sealed: 'x', why: 'it was changed' } };
    const answers = [
      await call({}, { clientKey: unreadable }),
      await call({ headers: unreadable }),
      await call({ secret: unreadable }),
    ];
    expect(answers.map(({ kind, status, error }) => [kind, status, error])).toEqual([
      ['refused', null, expect.stringMatching(/clientKey of node A cannot be decrypted/)],
      ['refused', null, expect.stringMatching(/headers: cannot be decrypted/)],
      ['refused', null, expect.stringMatching(/secret: cannot be decrypted/)],
    ]);
    expect(stub.calls()).toEqual([]);
  });

  it('has the fields as headers when the listener wants them, in ASCII', async () => {
    const chinese = anEvent(EVENT_ID, { tenantCode: '租户', userObject: Buffer.from('{\n  "name": "测试"\n}') });
    const listener = aListener('L', { url: stub.url('/l'), fieldsAsHeaders: true, headers: { userObject: 'mine' } });
    await caller.call({ event: chinese, listener, node: aNode('A'), attempt: 1 });
    const { headers } = stub.calls()[0]!;
    expect(headers).toMatchObject({ sourceid: 'USER', eventtype: 'ADD', tenantcode: '\\u79df\\u6237' });
    expect(JSON.parse(headers['userobject'] as string)).toEqual({ name: '测试' });
  });

  it('has the headers and credentials that are registered, but not in place of ours', async () => {
    const url = stub.url('/l').replace('://', '://user:p%40ss@');
    await call({ url, headers: { 'X-Env': 'prod', 'X-Event-Id': 'forged', Host: 'elsewhere', 'Content-Length': '1' } });
    const { headers } = stub.calls()[0]!;
    expect(headers).toMatchObject({ 'x-env': 'prod', 'x-event-id': EVENT_ID, host: `127.0.0.1:${stub.port}` });
    expect(headers['authorization']).toBe(`Basic ${Buffer.from('user:p@ss').toString('base64')}`);
  });
});

describe('what an answer means', () => {
  it.each([
    ['success', 'success', 200],
    ['false', 'refused', 200],
    ['error', 'refused', 500],
    ['gone', 'refused', 410],
    ['redirect', 'refused', 307],
    ['huge', 'refused', 200],
    ['close', 'unreachable', null],
    ['garbage', 'unreachable', null],
    ['hang', 'unreachable', null],
    ['trickle', 'unreachable', 200],
  ] as const)('%s is %s', async (behaviour, kind, status) => {
    stub.answer('/l', behaviour);
    const began = Date.now();
    const answer = await call({ timeoutMs: 1_000 });
    expect(answer).toMatchObject({ kind, status });
    expect(answer.error === null).toBe(kind === 'success');
    expect(Date.now() - began).toBeLessThan(3_000);
    expect(stub.calls()).toHaveLength(1);
    expect(answer.durationMs).toBeGreaterThanOrEqual(behaviour === 'hang' || behaviour === 'trickle' ? 990 : 0);
    // What came before does not disturb what comes after.
    stub.answer('/l', 'success');
    expect(await call()).toMatchObject({ kind: 'success' });
  });

  it('is the final answer, whatever was said before it', async () => {
    const early = 'HTTP/1.1 103 Early Hints\r\nretry-after: 9\r\n\r\n';
    const answers = [`${early}HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops`, early];
    const peer = createServer((socket) => socket.on('data', () => socket.write(answers.shift() ?? '')));
    try {
      const url = `http://127.0.0.1:${await listen(peer)}/`;
      const final = await call({ url });
      expect(final).toMatchObject({ kind: 'refused', status: 500, response: 'oops', retryAfterMs: null });
      const none = await call({ url, timeoutMs: 1_000 });
      expect(none).toMatchObject({ kind: 'unreachable', status: null, error: 'no answer within 1000 ms' });
    } finally {
      await caller.close();
      await new Promise((resolve) => peer.close(resolve));
    }
  });

  it('is still the final answer after a handful of interim ones', async () => {
    const interim = 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'.repeat(16);
    const peer = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write(`${interim}HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n`));
    });
    const answer = await call({ url: `http://127.0.0.1:${await listen(peer)}/` });
    expect(answer).toMatchObject({ kind: 'refused', status: 500, error: 'answered 500' });
    await caller.close();
    await new Promise((resolve) => peer.close(resolve));
  });

  it.each([
    ['many', '', 'more than 16 interim answers came instead of an answer'],
    [
      'long',
      `link: ${'x'.repeat(6_000)}\r\n`,
      'more than 16 KiB of headers of interim answers came instead of an answer',
    ],
  ])('is unreachable when %s interim ones come', async (_, header, error) => {
    const interim = `HTTP/1.1 103 Early Hints\r\n${header}\r\n`.repeat(17);
    const peer = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.write(interim));
    });
    const answer = await call({ url: `http://127.0.0.1:${await listen(peer)}/`, timeoutMs: 2_000 });
    await caller.close();
    await new Promise((resolve) => peer.close(resolve));
    expect(answer).toMatchObject({ kind: 'unreachable', status: null, error });
    expect(answer.durationMs).toBeLessThan(1_500);
  });

  it('tells when a listener wants to be asked again', async () => {
    stub.answer('/l', { status: 503, retryAfter: '7', body: 'busy' });
    expect(await call()).toMatchObject({ kind: 'refused', status: 503, retryAfterMs: 7_000, response: 'busy' });
  });

  it('judges the first 64 KiB of an answer and gives the connection of a longer one up', async () => {
    stub.answer('/l', 'huge');
    const answer = await call();
    expect(answer).toMatchObject({ kind: 'refused', status: 200, error: 'the answer is not JSON' });
    expect(answer.response).toHaveLength(4096);
    await until('the connection is closed', () => stub.connections.open === 0);
    stub.answer('/l', { body: `{"success":true,"padding":"${'x'.repeat(64 * 1024 - 30)}"}` });
    expect(await call()).toMatchObject({ kind: 'success' });
    stub.answer('/l', { body: `{"success":true}${' '.repeat(128 * 1024)}` });
    expect(await call()).toMatchObject({ kind: 'success', response: expect.any(String) });
    stub.answer('/l', { status: 500, body: 'x'.repeat(128 * 1024) });
    expect(await call()).toMatchObject({ kind: 'refused', status: 500, error: 'answered 500' });
  });

  it.each([
    ['with chunks', 'Transfer-Encoding: chunked', `10000\r\n${'x'.repeat(0x10000)}\r\n`],
    ['with a length of 100 MB', 'Content-Length: 100000000', 'x'.repeat(0x10000)],
    ['without a length', 'Connection: close', 'x'.repeat(0x10000)],
  ])('neither keeps nor awaits an endless answer %s', async (_name, header, part) => {
    let written = 0;
    let gone = false;
    const endless = createServer((socket) => {
      const write = (): void => {
        do written += part.length;
        while (!socket.destroyed && socket.write(part));
      };
      socket.on('error', () => undefined).on('close', () => (gone = true));
      socket.on('drain', write).once('data', () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${header}\r\n\r\n`);
        write();
      });
    });
    const port = await listen(endless);
    const answer = await call({ url: `http://127.0.0.1:${port}/`, timeoutMs: 30_000 });
    expect(answer).toMatchObject({ kind: 'refused', status: 200, error: 'the answer is not JSON' });
    expect(answer.response).toHaveLength(4096);
    expect(answer.durationMs).toBeLessThan(10_000);
    await until('the connection is closed', () => gone);
    // What the kernel took in; the rest of 100 MB was never asked for.
    expect(written).toBeLessThan(50_000_000);
    await new Promise((resolve) => endless.close(resolve));
  });

  it('waits no longer than its time-out for an answer of exactly 64 KiB that does not end', async () => {
    const hanging = createServer((socket) => {
      socket
        .on('error', () => undefined)
        .once('data', () => {
          socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000\r\n${'x'.repeat(0x10000)}\r\n`);
        });
    });
    const port = await listen(hanging);
    const answer = await call({ url: `http://127.0.0.1:${port}/`, timeoutMs: 1_000 });
    expect(answer).toMatchObject({ kind: 'unreachable', status: 200, error: 'no complete answer within 1000 ms' });
    await new Promise((resolve) => hanging.close(resolve));
  });

  it('is unreachable for a port where nobody listens, and a name that nobody has', async () => {
    const nobody = createServer();
    const port = await listen(nobody);
    await new Promise((resolve) => nobody.close(resolve));
    expect(await call({ url: `http://127.0.0.1:${port}/` })).toMatchObject({ kind: 'unreachable', status: null });
    expect(await call({ url: 'http://nobody.invalid/', timeoutMs: 3_000 })).toMatchObject({ kind: 'unreachable' });
  });

  it('is unreachable for a peer that takes the connection and says nothing', async () => {
    const silent = createServer((socket) => socket.resume());
    const port = await listen(silent);
    const answer = await call({ url: `http://127.0.0.1:${port}/`, timeoutMs: 1_000 });
    expect(answer).toMatchObject({ kind: 'unreachable', status: null, error: 'no answer within 1000 ms' });
    expect(answer.durationMs).toBeLessThan(2_000);
    await caller.close();
    await new Promise((resolve) => silent.close(resolve));
  });

  it.each([
    [{ url: 'not a url' }, {}],
    [{ url: 'ftp://host/x' }, {}],
    [{ headers: { 'bad name': 'x' } }, {}],
    [{ headers: { 'x-lines': 'a\r\nb: c' } }, {}],
    [{ url: 'http://127.0.0.1:1/?q=%zz' }, { clientKey: CB1.key }],
    [{}, { clientKey: '****' }],
  ] as [Partial<Listener>, Partial<Node>][])(
    'is a refusal that says why when %j cannot be called',
    async (listener, node) => {
      expect(await call(listener, node)).toMatchObject({
        kind: 'refused',
        status: null,
        error: expect.stringMatching(/^the call was not sent: /),
      });
      expect(stub.calls()).toEqual([]);
    },
  );
});

describe('connections', () => {
  it('are kept for the next call and closed when idle', async () => {
    const brief = createListenerCaller({ clock: Date, userAgent: 'x', addresses, keepAliveMs: 500 });
    for (const path of ['/a', '/b', '/c', '/d', '/e', '/f']) await call({ url: stub.url(path) }, {}, brief);
    // A connection is free again a moment after its answer, so two may take turns.
    expect(stub.connections.made).toBeLessThanOrEqual(2);
    expect(stub.connections.open).toBeGreaterThan(0);
    await until('the idle connection is closed', () => stub.connections.open === 0);
    expect(await call({}, {}, brief)).toMatchObject({ kind: 'success' });
    await brief.close();
  });

  it('are bounded per origin, and who waits is still called', async () => {
    const narrow = createListenerCaller({ clock: Date, userAgent: 'x', addresses, connectionsPerOrigin: 2 });
    stub.answer('/l', { afterMs: 20 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => call({}, {}, narrow)));
    expect(answers.every((answer) => answer.kind === 'success')).toBe(true);
    expect(stub.connections.made).toBe(2);
    await narrow.close();
  });

  it('do not outlive close, and what is running then ends as unreachable', async () => {
    stub.answer('/l', 'hang');
    const running = call({ timeoutMs: 30_000 });
    await stub.waitForCalls(1);
    await caller.close();
    expect(await running).toMatchObject({ kind: 'unreachable' });
    await until('no connection is left', () => stub.connections.open === 0);
    expect(await call()).toMatchObject({ kind: 'unreachable' });
    expect(stub.calls()).toHaveLength(1);
  });

  it.each(['resetAndDestroy', 'destroy'])(
    'that the peer has given up before (%s) do not cost an attempt',
    async (giveUp) => {
      const flag = new Int32Array(new SharedArrayBuffer(4));
      const peer = new Worker(LEAVING_PEER, { eval: true, workerData: flag });
      try {
        const port = await new Promise<number>((resolve) => peer.once('message', resolve));
        const url = `http://127.0.0.1:${port}/`;
        expect(await call({ url })).toMatchObject({ kind: 'success' });
        await new Promise((resolve) => setTimeout(resolve, 50));
        // Nothing here notices it while this thread waits; the next call then finds the dead connection in its pool.
        peer.postMessage(giveUp);
        Atomics.wait(flag, 0, 0, 10_000);
        expect(await call({ url })).toMatchObject({ kind: 'success', error: null });
      } finally {
        await caller.close();
        await peer.terminate();
      }
    },
  );
});

const LEAVING_PEER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const sockets = new Set();
  const server = require('node:http').createServer((request, response) => {
    request.resume().on('end', () => response.end('{"success":true}'));
  });
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
  parentPort.on('message', (giveUp) => {
    for (const socket of sockets) socket[giveUp]();
    setTimeout(() => { Atomics.store(workerData, 0, 1); Atomics.notify(workerData, 0); }, 100);
  });
`;

function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  );
}
