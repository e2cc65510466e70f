import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeKey, formText, parseQuery, splitUrl, verifySignature, type FormField } from '../../src/signature.js';

/** The key that the fake centre issued to the node `SHOP`. */
export const APP_KEY = 'c2hvcC1rZXktb2YtdGhlLXRlc3Q=';
const CLOCK_SKEW_MS = 300_000;

export interface FakeListener {
  listenerId: string;
  name: string;
  implClassName: string;
  timeoutMs: number;
  maxAttempts: number;
}

interface FakeEvent {
  eventId: string;
  userObject: string | null;
  /** Attempts by listener id. */
  attempts: Map<string, number>;
  settled: Set<string>;
  leasedBy: string | null;
  leasedUntil: number;
}

export interface SettledResult {
  eventId: string;
  listenerId: string;
  success: boolean;
  error?: string;
}

/** How a call of a path is treated: as it should be, answered 503, cut off before or after it was done. */
export type Treatment = 'normal' | 'unavailable' | 'cut' | 'cut-after';

/** A small centre that speaks section 5 of the protocol page over HTTP and verifies every signature. */
export class FakeCentre {
  listeners: FakeListener[] = [];
  onExhausted: 'continue' | 'stop' = 'continue';
  /** What its clock shows more than the true time. */
  clockOffsetMs = 0;
  leaseMs: number | null = null;
  /** By path such as `settle.do`. */
  treatment: (path: string) => Treatment = () => 'normal';
  /** Events whose reports are refused, and with them the whole call. */
  misfits: string[] = [];
  readonly results: SettledResult[] = [];
  readonly released: string[] = [];
  readonly answers: { path: string; code: string }[] = [];
  readonly leaseRequests: { max: number; waitMs: number; given: number }[] = [];
  version = 1;
  notModified = 0;
  readonly #events: FakeEvent[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => void this.#serve(request, response, Buffer.concat(chunks)));
    });
  }

  static async start(): Promise<FakeCentre> {
    const centre = new FakeCentre();
    await centre.listen(0);
    return centre;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Registers the listeners of the only event type, in this order. */
  register(...listeners: (Partial<FakeListener> & { implClassName: string })[]): void {
    this.listeners = listeners.map((listener, place) => ({
      listenerId: `L${place + 1}`,
      name: `listener ${place + 1}`,
      timeoutMs: 1_000,
      maxAttempts: 2,
      ...listener,
    }));
    this.version += 1;
  }

  /** Accepts events. Returns their ids. */
  accept(...payloads: unknown[]): string[] {
    return payloads.map((payload) => {
      const eventId = randomUUID();
      const userObject = typeof payload === 'string' || payload === null ? payload : JSON.stringify(payload);
      this.#events.push({
        eventId,
        userObject,
        attempts: new Map(),
        settled: new Set(),
        leasedBy: null,
        leasedUntil: 0,
      });
      return eventId;
    });
  }

  /** Events with a listener that did not come to its end. */
  get unsettled(): number {
    return this.#events.filter((event) => this.#open(event).length > 0).length;
  }

  get leased(): number {
    return this.#events.filter((event) => event.leasedBy !== null && event.leasedUntil > this.#now()).length;
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #now(): number {
    return Date.now() + this.clockOffsetMs;
  }

  async #serve(request: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
    const path = (request.url ?? '').split('?')[0]!.replace('/event/eventmanager/', '');
    const treatment = this.treatment(path);
    if (treatment === 'cut') return void request.socket.destroy();
    response.setHeader('date', new Date(this.#now()).toUTCString());
    if (treatment === 'unavailable') {
      answer(response, 503, { status: 0, code: 'UNAVAILABLE', message: 'not now' });
      return;
    }
    const fields = [...new URLSearchParams(body.toString('utf8'))];
    const refusal = this.#refusal(request, body, fields);
    if (refusal !== null) {
      answer(response, 200, { status: 0, code: refusal, message: `refused: ${refusal}` });
      return;
    }
    const misfit = path === 'settle.do' && this.misfits.some((eventId) => this.#holds(fields, eventId));
    if (misfit) {
      answer(response, 200, { status: 0, code: 'INVALID_PARAM', message: 'leases: a report does not fit' });
      return;
    }
    const done = await this.#do(path, Object.fromEntries(fields), request);
    if (done === null) {
      this.notModified += 1;
      return void response.writeHead(304).end();
    }
    if (treatment === 'cut-after') return void request.socket.destroy();
    response.setHeader('etag', `"${this.version}"`);
    answer(response, 200, { status: 1, ...done });
  }

  #refusal(request: IncomingMessage, body: Buffer, fields: FormField[]): string | null {
    const { path, query: raw } = splitUrl(request.url ?? '');
    const query = parseQuery(raw);
    if (query.values.get('appId') !== 'SHOP') return 'UNKNOWN_APP';
    const parts = {
      path,
      query,
      contentLength: body.length,
      form: request.method === 'GET' ? null : formText(fields, query),
    };
    const secret = { key: decodeKey(APP_KEY)!, algorithm: 'HmacSHA1' as const };
    if (!verifySignature(String(request.headers['sign']), parts, secret)) return 'BAD_SIGNATURE';
    if (Math.abs(Number(query.values.get('ts')) - this.#now()) > CLOCK_SKEW_MS) return 'TIMESTAMP_EXPIRED';
    return null;
  }

  async #do(path: string, fields: Record<string, string>, request: IncomingMessage): Promise<object | null> {
    switch (path) {
      case 'eventinfo/index.do':
        return request.headers['if-none-match'] === `"${this.version}"` ? null : this.#registrations();
      case 'lease.do':
        return { deliveries: await this.#lease(fields, request) };
      case 'settle.do':
        return { leases: JSON.parse(fields['leases']!).map((one: any) => this.#settle(one)) };
      case 'release.do':
        return { leases: JSON.parse(fields['leaseIds']!).map((leaseId: string) => this.#release(leaseId)) };
      default:
        throw new Error(`the fake centre does not know ${path}`);
    }
  }

  #holds(fields: FormField[], eventId: string): boolean {
    const leaseId = this.#events.find((event) => event.eventId === eventId)?.leasedBy ?? 'none';
    return fields.some(([name, value]) => name === 'leases' && value.includes(leaseId));
  }

  #registrations(): object {
    const listeners = this.listeners.map((one, place) => ({
      id: one.listenerId,
      name: one.name,
      eventTypeId: 'T1',
      url: null,
      implClassName: one.implClassName,
      operIndex: place + 1,
      enabled: true,
      timeoutMs: one.timeoutMs,
    }));
    return {
      version: this.version,
      eventTypes: [{ id: 'T1', sourceId: 'ORDER', eventTypeCode: 'PLACED' }],
      listeners,
      node: {
        nodeCode: 'SHOP',
        enabled: true,
        onExhausted: this.onExhausted,
        concurrency: 8,
        deliverRateLimit: null,
      },
      revisions: [],
      defaultDelaysMs: [1_000],
      delaysMs: [1_000],
      brokerPrefix: 'ec.',
    };
  }

  async #lease(fields: Record<string, string>, request: IncomingMessage): Promise<object[]> {
    const max = Number(fields['max']);
    const waitMs = Number(fields['waitMs']);
    const until = Date.now() + waitMs;
    for (;;) {
      const free = this.#events.filter(
        (event) => this.#open(event).length > 0 && (event.leasedBy === null || event.leasedUntil <= this.#now()),
      );
      if (free.length > 0 || Date.now() >= until || request.socket.destroyed) {
        // What nobody is there to receive stays.
        const given = request.socket.destroyed ? [] : free.slice(0, max);
        this.leaseRequests.push({ max, waitMs, given: given.length });
        return given.map((event) => this.#give(event, fields['leaseMs']));
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #give(event: FakeEvent, leaseMs: string | undefined): object {
    const open = this.#open(event);
    const sumMs = open.reduce((sum, { timeoutMs }) => sum + timeoutMs, 30_000);
    event.leasedBy = randomUUID();
    event.leasedUntil = this.#now() + (leaseMs === undefined ? (this.leaseMs ?? sumMs) : Number(leaseMs));
    return {
      leaseId: event.leasedBy,
      leasedUntil: event.leasedUntil,
      event: {
        eventId: event.eventId,
        sourceId: 'ORDER',
        eventType: 'PLACED',
        tenantCode: 'T1',
        userObject: event.userObject,
        senderUuid: null,
        traceparent: null,
        acceptedAt: 1_700_000_000_000,
      },
      onExhausted: this.onExhausted,
      listeners: open.map(({ maxAttempts, ...listener }) => {
        const attempt = (event.attempts.get(listener.listenerId) ?? 0) + 1;
        return { ...listener, attempt, lastAttempt: attempt >= maxAttempts, operIndex: 1 };
      }),
    };
  }

  #settle({ leaseId, results }: { leaseId: string; results: SettledResult[] }): object {
    const event = this.#events.find((one) => one.leasedBy === leaseId);
    const code = event === undefined ? 'UNKNOWN' : event.leasedUntil <= this.#now() ? 'EXPIRED' : 'OK';
    this.answers.push({ path: 'settle.do', code });
    if (event !== undefined && code === 'OK') {
      event.leasedBy = null;
      for (const result of results) this.#count(event, result);
    }
    return { leaseId, code };
  }

  #count(event: FakeEvent, result: SettledResult): void {
    this.results.push({ ...result, eventId: event.eventId });
    const listener = this.listeners.find(({ listenerId }) => listenerId === result.listenerId)!;
    const attempt = (event.attempts.get(result.listenerId) ?? 0) + 1;
    event.attempts.set(result.listenerId, attempt);
    const isExhausted = !result.success && attempt >= listener.maxAttempts;
    if (result.success || isExhausted) event.settled.add(result.listenerId);
    if (isExhausted && this.onExhausted === 'stop')
      for (const { listenerId } of this.listeners) event.settled.add(listenerId);
  }

  #release(leaseId: string): object {
    const event = this.#events.find((one) => one.leasedBy === leaseId);
    this.answers.push({ path: 'release.do', code: event === undefined ? 'UNKNOWN' : 'OK' });
    if (event === undefined) return { leaseId, code: 'UNKNOWN' };
    event.leasedBy = null;
    this.released.push(event.eventId);
    return { leaseId, code: 'OK' };
  }

  #open(event: FakeEvent): FakeListener[] {
    return this.listeners.filter(({ listenerId }) => !event.settled.has(listenerId));
  }
}

function answer(response: ServerResponse, status: number, data: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ data }));
}
