import { request } from 'undici';
import { signatureOf } from './centre-client.js';

export interface LeasedListener {
  listenerId: string;
  name: string;
  implClassName: string;
  operIndex: number;
  attempt: number;
  timeoutMs: number;
  lastAttempt: boolean;
}

/** What `lease.do` gives. */
export interface LeasedEvent {
  leaseId: string;
  leasedUntil: number;
  event: { eventId: string; userObject: string | null } & Record<string, unknown>;
  onExhausted: string;
  listeners: LeasedListener[];
}

export interface PluginAnswer {
  httpStatus: number;
  data: Record<string, any>;
}

/** A node's own process as the protocol page describes it, section 5, without the SDK. */
export class PluginCaller {
  readonly #url: () => string;
  readonly #app: { appId: string; appKey: string };

  constructor(url: () => string, app: { appId: string; appKey: string }) {
    this.#url = url;
    this.#app = app;
  }

  /** A signed call, whatever comes of it. */
  async call(name: string, fields: Record<string, string> = {}, signal?: AbortSignal): Promise<PluginAnswer> {
    const path = `/event/eventmanager/${name}`;
    const ts = String(Date.now());
    const body = new URLSearchParams(fields).toString();
    const contentLength = Buffer.byteLength(body);
    const { appId, appKey } = this.#app;
    const sign = signatureOf({ ts, path, query: [['ts', ts]], contentLength, fields }, appKey);
    const answer = await request(`${this.#url()}${path}?appId=${appId}&ts=${ts}`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', sign },
      body,
      headersTimeout: 60_000,
      ...(signal === undefined ? {} : { signal }),
    });
    const { data } = (await answer.body.json()) as { data: Record<string, any> };
    return { httpStatus: answer.statusCode, data };
  }

  async lease(fields: Record<string, string> = {}, signal?: AbortSignal): Promise<LeasedEvent[]> {
    const { data } = await this.call('lease.do', fields, signal);
    if (data['status'] !== 1) throw new Error(`lease.do answered ${JSON.stringify(data)}`);
    return data['deliveries'] as LeasedEvent[];
  }

  /** Reports on leases; gives the codes. */
  async settle(leases: { leaseId: string; results: object[] }[]): Promise<string[]> {
    return this.#codes('settle.do', { leases: JSON.stringify(leases) });
  }

  async release(leaseIds: string[]): Promise<string[]> {
    return this.#codes('release.do', { leaseIds: JSON.stringify(leaseIds) });
  }

  /** Runs the listeners of a lease by `run` as the page says, and gives the report. */
  static report(
    lease: LeasedEvent,
    run: (listener: LeasedListener, lease: LeasedEvent) => string | null,
  ): { leaseId: string; results: { listenerId: string; success: boolean; error?: string }[] } {
    const results: { listenerId: string; success: boolean; error?: string }[] = [];
    for (const listener of lease.listeners) {
      const error = run(listener, lease);
      const { listenerId } = listener;
      results.push(error === null ? { listenerId, success: true } : { listenerId, success: false, error });
      if (error !== null && !(listener.lastAttempt && lease.onExhausted === 'continue')) break;
    }
    return { leaseId: lease.leaseId, results };
  }

  async #codes(name: string, fields: Record<string, string>): Promise<string[]> {
    const { data } = await this.call(name, fields);
    if (data['status'] !== 1) throw new Error(`${name} answered ${JSON.stringify(data)}`);
    return (data['leases'] as { code: string }[]).map(({ code }) => code);
  }
}
