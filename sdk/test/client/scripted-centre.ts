import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { signatureOf } from '../../../test/support/centre-client.js';

/** What the centre does with a call. */
export type Script =
  | 'accept'
  /** Never answers. */
  | 'hang'
  /** Closes the connection without an answer. */
  | 'close'
  /** Closes the connection in the middle of the answer. */
  | 'cut'
  | { status?: number; data?: Record<string, unknown>; body?: string; headers?: Record<string, string> };

export interface CentreCall {
  at: number;
  method: string;
  target: string;
  headers: IncomingHttpHeaders;
  body: string;
  fields: Record<string, string>;
  ts: string;
}

/** A centre of scripted answers, by a real port, that records every call. Answers run out into `accept`. */
export class ScriptedCentre {
  readonly calls: CentreCall[] = [];
  connections = 0;
  /** How long each answer takes, in milliseconds. */
  delayMs = 0;
  /** Calls that wait for an answer now, and the most that ever did. */
  open = 0;
  mostOpen = 0;
  #port = 0;
  #script: Script[] = [];
  #plan: ((call: CentreCall) => Script) | null = null;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server = createServer((req, res) => void this.#take(req, res));

  static async start(): Promise<ScriptedCentre> {
    const centre = new ScriptedCentre();
    centre.#server.on('connection', (socket) => {
      centre.connections += 1;
      centre.#sockets.add(socket);
      socket.on('close', () => centre.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => centre.#server.listen(0, '127.0.0.1', resolve));
    centre.#port = (centre.#server.address() as AddressInfo).port;
    return centre;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  answer(...script: Script[]): void {
    this.#script = script;
    this.#plan = null;
  }

  answerBy(plan: (call: CentreCall) => Script): void {
    this.#plan = plan;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(req: IncomingMessage, res: ServerResponse): Promise<void> {
    this.open += 1;
    this.mostOpen = Math.max(this.open, this.mostOpen);
    res.on('close', () => (this.open -= 1));
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const isJson = req.headers['content-type'] === 'application/json';
    const fields = isJson ? JSON.parse(body) : Object.fromEntries(new URLSearchParams(body));
    const target = req.url ?? '';
    const ts = new URLSearchParams(target.slice(target.indexOf('?'))).get('ts') ?? '';
    const call = { at: Date.now(), method: req.method ?? '', target, headers: req.headers, body, fields, ts };
    this.calls.push(call);
    const script = this.#plan === null ? (this.#script.shift() ?? 'accept') : this.#plan(call);
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    if (script === 'hang') return;
    if (script === 'close') {
      req.socket.destroy();
    } else if (script === 'cut') {
      res.writeHead(200, { 'content-length': 100 });
      res.write('{"data":{"status":1', () => req.socket.destroy());
    } else if (script === 'accept') {
      answer(res, { data: { status: 1, code: 'OK', eventId: `event-of-${fields.uuid}` } });
    } else {
      answer(res, script);
    }
  }
}

function answer(res: ServerResponse, { status = 200, data, body, headers }: Exclude<Script, string>): void {
  res.writeHead(status, { 'content-type': 'application/json', ...headers });
  res.end(body ?? JSON.stringify({ data }));
}

/** The signature that the call must have, written without the code under test. */
export function expectedSign({ target, fields, body, ts, method }: CentreCall, key: string): string {
  const [path = '', query = ''] = target.split('?');
  const pairs = [...new URLSearchParams(query)].filter(([name]) => name !== 'appId');
  const signed = { ts, path, query: pairs, contentLength: Buffer.byteLength(body), fields };
  if (method === 'GET') throw new Error('a GET signs null, which this does not know');
  return signatureOf(signed, key);
}
