import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { HttpServer } from '../../src/http/server.js';
import { rawConnection } from '../support/raw-http.js';
import { until } from '../support/until.js';

const MAX_CONNECTIONS = 10;
const UNTAKEN_MS = 500;
/** More than the kernel keeps of a connection on both its ends. */
const LONG = Buffer.alloc(32 * 1024 * 1024, 'x');
const CHUNK_BYTES = 64 * 1024;
/** Another address than that of the good clients. */
const ATTACKERS = '127.0.0.2';

let server: HttpServer;
let url: string;
/** The server's end of the connection of each request that was handled. */
let handled: Socket[];
let incidents: string[];
const clients: Socket[] = [];

/** `/written` gives its long answer in one piece, `/streamed` bit by bit, `/late` a short one after a while. */
const app: RequestListener = (req, res) => {
  handled.push(req.socket);
  if (req.url === '/written') res.end(LONG);
  else if (req.url === '/streamed') Readable.from(chunks()).pipe(res);
  else setTimeout(() => res.end('at last'), req.url === '/late' ? 3 * UNTAKEN_MS : 0);
};

function* chunks(): Generator<Buffer> {
  for (let at = 0; at < LONG.length; at += CHUNK_BYTES) yield LONG.subarray(at, at + CHUNK_BYTES);
}

async function start(untakenMs?: number): Promise<void> {
  handled = [];
  incidents = [];
  server = new HttpServer({
    host: '127.0.0.1',
    port: 0,
    eventManager: () => false,
    app,
    maxConnections: MAX_CONNECTIONS,
    incident: (name) => void incidents.push(name),
    ...(untakenMs === undefined ? {} : { untakenMs }),
  });
  url = await server.start();
}
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await server.stop(0);
});

const requests = (path: string, count: number): string => `GET ${path} HTTP/1.1\r\nHost: h\r\n\r\n`.repeat(count);

/** Asks, and reads nothing of what is answered. */
async function askOnly(path: string, count = 1): Promise<Socket> {
  const socket = rawConnection(url, ATTACKERS);
  await once(socket, 'connect');
  clients.push(socket);
  socket.pause();
  socket.write(requests(path, count));
  return socket;
}

/** Takes an answer with a pause behind each piece; gives how much came until it was whole or the connection closed. */
async function takeSlowly(socket: Socket, pieceBytes: number, pauseMs: number): Promise<number> {
  let taken = 0;
  let piece = 0;
  socket.on('data', (bytes: Buffer) => {
    taken += bytes.length;
    piece += bytes.length;
    if (piece < pieceBytes) return;
    piece = 0;
    socket.pause();
    setTimeout(() => socket.resume(), pauseMs);
  });
  socket.resume();
  await until('it is taken', () => taken >= LONG.length || socket.destroyed);
  return taken;
}

describe('a connection whose peer does not take its answer', () => {
  it.each(['/written', '/streamed'])('makes room for newcomers: %s', async (path) => {
    await start();
    for (let left = 2 * MAX_CONNECTIONS; left > 0; left -= 1) await askOnly(path, 4);
    await until('all is asked', () => handled.length >= 4 * MAX_CONNECTIONS);
    for (let left = MAX_CONNECTIONS; left > 0; left -= 1) {
      const answer = await fetch(`${url}/short`, { headers: { connection: 'close' } });
      expect(await answer.text()).toBe('at last');
    }
    expect(new Set(incidents)).toEqual(new Set(['http-connections-full']));
  });

  it('makes room before those that have come on since', async () => {
    await start();
    await askOnly('/written');
    await until('it is asked', () => handled.length === 1);
    for (let left = MAX_CONNECTIONS - 1; left > 0; left -= 1) await askOnly('/short');
    await until('there is no room', () => handled.length === MAX_CONNECTIONS);
    expect(await (await fetch(`${url}/short`)).text()).toBe('at last');
    expect(handled.map((socket) => socket.destroyed).indexOf(true)).toBe(0);
    expect(handled.filter((socket) => socket.destroyed)).toHaveLength(1);
  });

  it.each(['/written', '/streamed'])('is closed when nothing is taken for a while: %s', async (path) => {
    await start(UNTAKEN_MS);
    await askOnly(path, 4);
    await until('it is asked', () => handled.length > 0);
    await until('it is closed', () => handled[0]?.destroyed, 5 * UNTAKEN_MS);
  });

  it.each(['/written', '/streamed'])('is kept as long as some is taken now and then: %s', async (path) => {
    await start(UNTAKEN_MS);
    const socket = await askOnly(path);
    const began = performance.now();
    expect(await takeSlowly(socket, 1024 * 1024, UNTAKEN_MS / 8)).toBeGreaterThanOrEqual(LONG.length);
    expect(performance.now() - began).toBeGreaterThan(2 * UNTAKEN_MS);
  });

  it('has no more than 16 requests handled', async () => {
    await start();
    const socket = await askOnly('/streamed', 16);
    await until('they are handled', () => handled.length === 16);
    socket.write(requests('/streamed', 100));
    await pause(UNTAKEN_MS);
    expect(handled).toHaveLength(16);
  });
});

it('a connection on which an answer is waited for is kept while nothing moves', async () => {
  await start(UNTAKEN_MS);
  expect(await (await fetch(`${url}/late`)).text()).toBe('at last');
});
