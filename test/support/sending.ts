import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { signCall, splitUrl, type FormField, type SignatureAlgorithm } from '@event-center/sdk';
import type { AcceptorDeps } from '../../src/core/accepting/accept.js';
import type { RegistryData } from '../../src/core/model.js';
import { createEventManager } from '../../src/http/sending/event-manager.js';
import { eventInfo } from '../../src/http/sending/event-info.js';
import { BodyReader } from '../../src/http/sending/read-body.js';
import { sendEvent } from '../../src/http/sending/send-event.js';
import { HttpServer } from '../../src/http/server.js';
import { AcceptingSetting, VECTOR_KEY, VECTOR_TS } from './accepting.js';

export const SEND_PATH = '/event/eventmanager/sendEventMsg.do';

export interface Vector {
  id: string;
  url: string;
  params: Record<string, string>;
  contentLength: number;
  key: string;
  algorithm: SignatureAlgorithm;
  sign: string;
}

/** A signature made by the vendor's library. */
export function vector(id: string): Vector {
  const { vectors } = JSON.parse(readFileSync(join(__dirname, 'vectors/iuap-signature.json'), 'utf8')) as {
    vectors: Vector[];
  };
  return vectors.find((candidate) => candidate.id === id) as Vector;
}

export interface ServerLimits {
  maxBodyBytes?: number;
  maxBufferedBytes?: number;
  maxConnections?: number;
  requestTimeoutMs?: number;
}

/** The real server and routes over an acceptor with fakes. */
export class SendingSetting extends AcceptingSetting {
  url = '';
  readonly #server: HttpServer;

  constructor(data: Partial<RegistryData>, options: Partial<AcceptorDeps['options']> & ServerLimits = {}) {
    super(data, options);
    const { maxBodyBytes = 1024 * 1024, maxBufferedBytes = 16 * 1024 * 1024, requestTimeoutMs } = options;
    const incident = (name: string): void => this.metrics.incident(name);
    const bodies = new BodyReader({ maxBytes: maxBodyBytes, maxUnfinishedBytes: maxBufferedBytes, incident });
    const eventManager = createEventManager({
      contextPath: '/event',
      log: this.log,
      routes: {
        'sendEventMsg.do': sendEvent({ acceptor: this.acceptor, bodies }),
        'eventinfo/index.do': eventInfo({
          authenticator: this.acceptor.authenticator,
          registry: this.registry,
          options: { defaultDelaysMs: [1_000, 2_000], brokerPrefix: 'ec.' },
        }),
      },
    });
    this.#server = new HttpServer({
      host: '127.0.0.1',
      port: 0,
      maxConnections: options.maxConnections ?? 1_000,
      incident,
      eventManager,
      app: (_req, res) => res.writeHead(418).end('the app'),
      ...(requestTimeoutMs === undefined ? {} : { requestTimeoutMs }),
    });
  }

  async start(): Promise<this> {
    this.url = await this.#server.start();
    return this;
  }

  stop(graceMs = 0): Promise<void> {
    return this.#server.stop(graceMs);
  }

  connect(): Socket {
    return createConnection(Number(new URL(this.url).port), '127.0.0.1');
  }

  /** Writes bytes as they are and reads until the server closes; ask with `Connection: close`. */
  async raw(bytes: string | Buffer): Promise<string> {
    const socket = this.connect();
    socket.write(bytes);
    return readAll(socket);
  }

  /** A signed send; `fields` go into the body, the rest changes one thing at a time. */
  async send(fields: Record<string, string> | FormField[], change: SendChange = {}): Promise<Answer> {
    return toAnswer(await fetch(...this.request(fields, change)));
  }

  request(fields: Record<string, string> | FormField[], change: SendChange = {}): [string, RequestInit] {
    const { appId = 'A', ts = VECTOR_TS, key = VECTOR_KEY, algorithm = 'HmacSHA1', query = '', headers = {} } = change;
    const entries: FormField[] = Array.isArray(fields) ? fields : Object.entries(fields);
    const body =
      change.body ?? new URLSearchParams(entries.map(([name, value]): [string, string] => [name, value])).toString();
    const path = `${SEND_PATH}?appId=${appId}&ts=${String(ts)}${query}`;
    const sign = signCall({
      url: path,
      fields: change.signed ?? entries,
      contentLength: Buffer.byteLength(body),
      key,
      algorithm,
    });
    return [
      this.url + path,
      { method: 'POST', body, headers: { 'Content-Type': 'application/x-www-form-urlencoded', sign, ...headers } },
    ];
  }

  /** The same as a JSON body of strings. */
  sendJson(fields: Record<string, string>, change: SendChange = {}): Promise<Answer> {
    return this.send(fields, {
      body: JSON.stringify(fields),
      ...change,
      headers: { 'Content-Type': 'application/json', ...change.headers },
    });
  }

  /** A signed GET of the registrations. */
  async info(query: string, change: { key?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
    const path = `/event/eventmanager/eventinfo/index.do?${query}`;
    const sign = signCall({
      url: path,
      fields: null,
      contentLength: 0,
      key: change.key ?? VECTOR_KEY,
      algorithm: 'HmacSHA1',
    });
    return toAnswer(await fetch(this.url + path, { headers: { sign, ...change.headers } }));
  }
}

export interface SendChange {
  appId?: string;
  ts?: number | string;
  key?: string;
  algorithm?: SignatureAlgorithm;
  /** Appended to the query, signed. */
  query?: string;
  headers?: Record<string, string>;
  /** Body as it goes out, when it is not the plain form of `fields`. */
  body?: string;
  /** Fields that the signature covers, when they are not those of the body. */
  signed?: FormField[];
}

export interface Answer {
  status: number;
  headers: Headers;
  data: Record<string, unknown>;
}

export async function toAnswer(response: Response): Promise<Answer> {
  const { data } = (await response.json()) as { data: Record<string, unknown> };
  return { status: response.status, headers: response.headers, data };
}

/** A vector as the request that its client would have written, byte for byte. */
export function rawRequest({ url, params, sign, contentLength }: Vector, more: { headers?: string[] } = {}): string {
  const { path, query } = splitUrl(url);
  const body = new URLSearchParams(params).toString();
  const isChunked = contentLength === -1;
  const head = [
    `POST ${path}?${query} HTTP/1.1`,
    'Host: uas.yyuap.com',
    'Content-Type: application/x-www-form-urlencoded; charset=UTF-8',
    `sign: ${sign}`,
    'Connection: close',
    isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${String(Buffer.byteLength(body))}`,
    ...(more.headers ?? []),
  ];
  return `${head.join('\r\n')}\r\n\r\n${isChunked ? chunked(body, 7) : body}`;
}

function chunked(body: string, size: number): string {
  const chunks = body.match(new RegExp(`.{1,${String(size)}}`, 'gs')) ?? [];
  return `${chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`).join('')}0\r\n\r\n`;
}

/** Everything that comes until the other side closes. */
export async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await once(socket, 'close');
  return text;
}

/** Status line and JSON of a raw answer. */
export function parseRaw(text: string): { status: number; head: string; data: Record<string, unknown> } {
  const at = text.indexOf('\r\n\r\n');
  const body = text.slice(at + 4);
  const parsed = (body === '' ? {} : JSON.parse(body)) as { data?: Record<string, unknown> };
  return { status: Number(text.slice(9, 12)), head: text.slice(0, at), data: parsed.data ?? {} };
}
