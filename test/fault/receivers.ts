import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CallRecord } from './ledger.js';
import type { RecordFile } from './records.js';

export interface ReceiverSpec {
  node: string;
  listener: string;
  operIndex: number;
}

/** A call as it came, before it is decided upon. */
export type Call = Omit<CallRecord, 'success'>;

/** Decides the answer of a call: true for success. */
export type Answering = (call: Call) => boolean;

/**
 * Answers a call in its own way, at once or later or never, and returns whether what it answers is a success.
 * The body of the request has been read.
 */
export type Behaviour = (call: Call, exchange: { request: IncomingMessage; response: ServerResponse }) => boolean;

/** The applications of a run: one HTTP server, a path per listener, and a record of every call. */
export class Receivers {
  /** What is in the file, for waiting; the ledger is closed from the file. */
  readonly calls: CallRecord[] = [];
  readonly file: RecordFile<CallRecord>;
  /** How long each answer takes. */
  delayMs = 0;
  answering: Answering = () => true;
  /** Listeners that do not simply answer after `delayMs` what `answering` says, by listener name. */
  readonly behaviours = new Map<string, Behaviour>();
  /** Calls that are not answered yet. */
  open = 0;
  readonly #specs = new Map<string, ReceiverSpec>();
  readonly #server: Server;

  private constructor(file: RecordFile<CallRecord>) {
    this.file = file;
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        this.open += 1;
        response.once('close', () => (this.open -= 1));
        this.#answer(Buffer.concat(chunks).toString('utf8'), { request, response });
      });
    });
  }

  static async start(file: RecordFile<CallRecord>): Promise<Receivers> {
    const receivers = new Receivers(file);
    await new Promise<void>((resolve) => receivers.#server.listen(0, '127.0.0.1', resolve));
    return receivers;
  }

  /** The url to register for a listener. */
  urlOf(spec: ReceiverSpec): string {
    const path = `/${spec.node}/${spec.listener}`;
    this.#specs.set(path, spec);
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.file.close();
  }

  #answer(body: string, exchange: { request: IncomingMessage; response: ServerResponse }): void {
    const { request, response } = exchange;
    const call = this.#read(request, body);
    if (call === null) {
      response.writeHead(404).end();
      return;
    }
    const behave = this.behaviours.get(call.listener);
    const success = behave === undefined ? this.answering(call) : behave(call, exchange);
    const record = { ...call, success };
    this.file.write(record);
    this.calls.push(record);
    if (behave !== undefined) return;
    setTimeout(() => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(`{"success":"${String(success)}"}`);
    }, this.delayMs);
  }

  #read(request: IncomingMessage, body: string): Call | null {
    const spec = this.#specs.get((request.url ?? '').split('?')[0] as string);
    if (spec === undefined) return null;
    const form = new URLSearchParams(body);
    const payload = JSON.parse(form.get('userObject') ?? 'null') as { number: number };
    return {
      number: payload.number,
      eventId: form.get('uuid') ?? '',
      node: spec.node,
      listener: spec.listener,
      operIndex: spec.operIndex,
      attempt: Number(request.headers['x-event-attempt']),
      at: Date.now(),
    };
  }
}
