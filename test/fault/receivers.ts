import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { CallRecord } from './ledger.js';

export interface ReceiverSpec {
  node: string;
  listener: string;
  operIndex: number;
}

/** Decides the answer of a call: true for success. */
export type Answering = (call: Omit<CallRecord, 'success'>) => boolean;

/** The applications of a run: one HTTP server, a path per listener, and a record of every call. */
export class Receivers {
  readonly calls: CallRecord[] = [];
  /** How long each answer takes. */
  delayMs = 0;
  answering: Answering = () => true;
  readonly #specs = new Map<string, ReceiverSpec>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const success = this.#record(request.url ?? '', request.headers, Buffer.concat(chunks).toString('utf8'));
        setTimeout(() => {
          response.writeHead(200, { 'content-type': 'application/json' }).end(`{"success":"${String(success)}"}`);
        }, this.delayMs);
      });
    });
  }

  static async start(): Promise<Receivers> {
    const receivers = new Receivers();
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
  }

  #record(url: string, headers: Record<string, unknown>, body: string): boolean {
    const spec = this.#specs.get(url.split('?')[0] as string);
    if (spec === undefined) throw new Error(`a call to ${url}, where nobody listens`);
    const form = new URLSearchParams(body);
    const payload = JSON.parse(form.get('userObject') ?? 'null') as { number: number };
    const call = {
      number: payload.number,
      eventId: form.get('uuid') ?? '',
      node: spec.node,
      listener: spec.listener,
      operIndex: spec.operIndex,
      attempt: Number(headers['x-event-attempt']),
      at: Date.now(),
    };
    const success = this.answering(call);
    this.calls.push({ ...call, success });
    return success;
  }
}
