import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { until } from './until.js';

/** What the stub does with a call. */
export type Behaviour =
  | 'success'
  /** 200 with `{"success":"false"}`. */
  | 'false'
  /** 500 with a text. */
  | 'error'
  /** Takes the call and never answers. */
  | 'hang'
  /** Answers a byte at a time, for ever. */
  | 'trickle'
  /** 200 with a JSON body of several MiB that begins with success. */
  | 'huge'
  /** Closes the connection without an answer. */
  | 'close'
  /** 307 to the path `/redirected` of this stub. */
  | 'redirect'
  /** Bytes that are no HTTP. */
  | 'garbage'
  /** 410. */
  | 'gone'
  /** An answer of one's own. `retryAfter` is the header as it stands. */
  | {
      status?: number;
      body?: string | Buffer;
      headers?: Record<string, string>;
      retryAfter?: string;
      afterMs?: number;
    };

/** A call as it came in. */
export interface ReceivedCall {
  at: number;
  method: string;
  /** Path and query as they stood in the request line. */
  target: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** The body's form fields. */
  fields: Record<string, string>;
  eventId: string;
  listenerId: string;
  attempt: number;
  behaviour: Behaviour;
}

type Plan = Behaviour | ((call: Omit<ReceivedCall, 'behaviour'>) => Behaviour);

/**
 * A receiver whose answers are switched in mid-test, by path; an unknown path answers `success`. It records every call
 * in the order of arrival.
 */
export class ListenerStub {
  readonly #server = createServer((request, response) => void this.#take(request, response));
  readonly #sockets = new Set<Socket>();
  readonly #plans = new Map<string, Plan>();
  readonly #calls: ReceivedCall[] = [];
  #connections = 0;

  /** @param port 0 takes a free one. */
  static async start(port = 0): Promise<ListenerStub> {
    const stub = new ListenerStub();
    stub.#server.on('connection', (socket) => {
      stub.#connections += 1;
      stub.#sockets.add(socket);
      socket.on('close', () => stub.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => stub.#server.listen(port, '127.0.0.1', resolve));
    return stub;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that were ever made, and that are open now. */
  get connections(): { made: number; open: number } {
    return { made: this.#connections, open: this.#sockets.size };
  }

  url(path: string): string {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** From now on calls to `path` are answered like this; a function decides for each call. */
  answer(path: string, plan: Plan): void {
    this.#plans.set(path, plan);
  }

  /** Calls in the order of arrival, to one path or to all. */
  calls(path?: string): ReceivedCall[] {
    return path === undefined ? [...this.#calls] : this.#calls.filter((call) => call.path === path);
  }

  /** Waits until at least `count` calls have come, to one path or to all. */
  async waitForCalls(count: number, path?: string): Promise<ReceivedCall[]> {
    await until(`${path ?? 'the stub'} is called ${count} times`, () => this.calls(path).length >= count);
    return this.calls(path);
  }

  clear(): void {
    this.#calls.length = 0;
  }

  /** Cuts every connection; the stub goes on listening. */
  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cutConnections();
    await closed;
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      return;
    }
    const body = Buffer.concat(chunks).toString('utf8');
    const target = request.url ?? '';
    const call = {
      at: Date.now(),
      method: request.method ?? '',
      target,
      path: target.split('?')[0] ?? '',
      headers: request.headers,
      body,
      fields: Object.fromEntries(new URLSearchParams(body)),
      eventId: String(request.headers['x-event-id'] ?? ''),
      listenerId: String(request.headers['x-event-listener'] ?? ''),
      attempt: Number(request.headers['x-event-attempt'] ?? NaN),
    };
    const plan = this.#plans.get(call.path) ?? 'success';
    const behaviour = typeof plan === 'function' ? plan(call) : plan;
    this.#calls.push({ ...call, behaviour });
    behave(behaviour, response);
  }
}

const HUGE_BYTES = 5 * 1024 * 1024;

function behave(behaviour: Behaviour, response: ServerResponse): void {
  switch (behaviour) {
    case 'success': {
      json(response, 200, '{"success":"true"}');
      return;
    }
    case 'false': {
      json(response, 200, '{"success":"false"}');
      return;
    }
    case 'error':
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('out of order');
      return;
    case 'hang':
      return;
    case 'trickle': {
      trickle(response);
      return;
    }
    case 'huge': {
      json(response, 200, `{"success":"true","padding":"${'x'.repeat(HUGE_BYTES)}"}`);
      return;
    }
    case 'close':
      response.socket?.destroy();
      return;
    case 'redirect':
      response.writeHead(307, { location: '/redirected' });
      response.end();
      return;
    case 'garbage':
      response.socket?.end('\0\x01\x02 this is no HTTP\r\n\r\n');
      return;
    case 'gone': {
      json(response, 410, '{"success":"true"}');
      return;
    }
    default: {
      answerWith(behaviour, response);
      return;
    }
  }
}

function answerWith(answer: Exclude<Behaviour, string>, response: ServerResponse): void {
  const send = (): void => {
    const retryAfter = answer.retryAfter === undefined ? {} : { 'retry-after': answer.retryAfter };
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...retryAfter, ...answer.headers });
    response.end(answer.body ?? '{"success":"true"}');
  };
  if (answer.afterMs === undefined) send();
  else setTimeout(send, answer.afterMs);
}

function json(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

function trickle(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"success":"true","padding":"');
  const timer = setInterval(() => response.write('x'), 20);
  response.on('close', () => clearInterval(timer));
}
