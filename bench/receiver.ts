/** Child process: answers success to every callback and notes when each (event number, listener) arrived first. */
import { createServer, type IncomingMessage } from 'node:http';
import { nowMs } from './clock.js';
import type { ReceiverReport, ReceiverRequest } from './protocol.js';

const ANSWER = Buffer.from('{"success":"true"}');
const arrivals = new Map<string, number>();
let calls = 0;

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  readBody(request, (body) => {
    calls += 1;
    const number = /number%22%3A(\d+)/.exec(body)?.[1] ?? /"number":(\d+)/.exec(body)?.[1];
    const key = `${number ?? '?'} ${request.url ?? ''}`;
    if (!arrivals.has(key)) arrivals.set(key, nowMs());
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length });
    response.end(ANSWER);
  });
});

function readBody(request: IncomingMessage, done: (body: string) => void): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    done(Buffer.concat(chunks).toString('latin1'));
  });
}

process.on('message', (message: ReceiverRequest) => {
  if (message === 'reset') {
    arrivals.clear();
    calls = 0;
  } else if (message === 'count') {
    send({ kind: 'count', distinct: arrivals.size, calls });
  } else {
    send({ kind: 'arrivals', arrivals: [...arrivals].map(([key, at]) => [Number(key.split(' ')[0]), at]) });
  }
});

process.on('disconnect', () => process.exit(0));

function send(report: ReceiverReport): void {
  process.send?.(report);
}

server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  if (typeof address === 'object' && address !== null) send({ kind: 'ready', url: `http://127.0.0.1:${address.port}` });
});
