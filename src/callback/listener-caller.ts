import { Agent } from 'undici';
import type { Listener } from '../core/model.js';
import type { Clock, ListenerAnswer, ListenerCall, ListenerCaller } from '../core/ports.js';
import { isUnreadable } from '../core/registry/unreadable-secret.js';
import { guardedConnector } from './address-guard.js';
import type { AddressPolicy } from './address-policy.js';
import { exchange } from './exchange.js';
import { isSendable } from './header-text.js';
import { iuapCall } from './iuap-format.js';
import { judgeAnswer, notSent } from './judge-answer.js';
import type { Resolve } from './name-lookups.js';

export interface ListenerCallerOptions {
  clock: Clock;
  /** `User-Agent` of every call, such as `event-center/1.0.0`. */
  userAgent: string;
  /** Which addresses are called. */
  addresses: AddressPolicy;
  /** Looks names up; `dns.lookup` by default. */
  resolve?: Resolve;
  /** How many names can be looked up at a time. Default 2, as Node has it. */
  lookupThreads?: number;
  /**
   * Connections to one origin at a time; a call beyond it waits, inside its time-out. The nodes' own concurrency is the
   * bound that counts, this one is for many nodes behind one address. Default 1024.
   */
  connectionsPerOrigin?: number;
  /** How long an idle connection is kept, unless the peer names another time. Default 4000, less than common servers. */
  keepAliveMs?: number;
}

/** What of a listener's registration goes onto the wire as it is. */
interface Target {
  origin: string;
  pathAndQuery: string;
  headers: string[];
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A peer may ask to keep its idle connections longer than we would, but not longer than this. */
const LONGEST_KEEP_ALIVE_MS = 30_000;

/** Headers that belong to the connection, to the format or to the event: a listener's own of that name are left out. */
const RESERVED = new Set([
  'accept',
  'connection',
  'content-length',
  'content-type',
  'expect',
  'host',
  'keep-alive',
  'sign',
  'te',
  'traceparent',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'x-event-attempt',
  'x-event-id',
  'x-event-listener',
  'x-event-sender-uuid',
]);
const FIELD_HEADERS = new Set(['sourceid', 'eventtype', 'tenantcode', 'userobject']);

/**
 * Calls listeners over kept-alive connections, one pool per origin, at addresses that the policy lets be called. A refused
 * address is an answer of kind `refused`: nothing was waited for, so it is no matter of the circuit breaker. Nothing that a listener answers, or a registration
 * contains, makes it throw. `close` cuts what is running; its calls then end as `unreachable`.
 */
export function createListenerCaller(options: ListenerCallerOptions): ListenerCaller {
  return new HttpListenerCaller(options);
}

class HttpListenerCaller implements ListenerCaller {
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #agent: Agent;
  readonly #targets = new WeakMap<Listener, Target>();

  constructor(options: ListenerCallerOptions) {
    this.#clock = options.clock;
    this.#userAgent = options.userAgent;
    this.#agent = new Agent({
      connections: options.connectionsPerOrigin ?? 1024,
      pipelining: 1,
      keepAliveTimeout: options.keepAliveMs ?? 4_000,
      keepAliveMaxTimeout: LONGEST_KEEP_ALIVE_MS,
      connect: guardedConnector({
        policy: options.addresses,
        timeoutMs: CONNECT_TIMEOUT_MS,
        resolve: options.resolve,
        lookupThreads: options.lookupThreads,
      }),
    });
  }

  async call(call: ListenerCall): Promise<ListenerAnswer> {
    const startedAt = this.#clock.now();
    const began = performance.now();
    try {
      const { origin, pathAndQuery, headers: own } = this.#targetOf(call.listener);
      const { path, headers, body } = iuapCall(call, pathAndQuery, startedAt);
      headers.push('user-agent', this.#userAgent, ...own);
      const { method, timeoutMs } = call.listener;
      const result = await exchange(this.#agent, { origin, path, method, headers, body, timeoutMs });
      return {
        ...judgeAnswer(result, this.#clock.now()),
        startedAt,
        durationMs: Math.round(performance.now() - began),
      };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { ...notSent(reason), startedAt, durationMs: Math.round(performance.now() - began) };
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #targetOf(listener: Listener): Target {
    let target = this.#targets.get(listener);
    if (target === undefined) {
      target = targetOf(listener);
      this.#targets.set(listener, target);
    }
    return target;
  }
}

/** @throws Error when the url or a header cannot be put on the wire, or a secret of the listener cannot be read. */
function targetOf(listener: Listener): Target {
  if (listener.url === null || !URL.canParse(listener.url)) throw new Error('url: expected an absolute http(s) url');
  const url = new URL(listener.url);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error('url: expected http or https');
  if (isUnreadable(listener.headers)) throw unreadable('headers');
  if (isUnreadable(listener.secret)) throw unreadable('secret');
  const headers: string[] = [];
  let authorized = false;
  for (const [name, value] of Object.entries(listener.headers)) {
    const lowerCase = name.toLowerCase();
    if (RESERVED.has(lowerCase) || (listener.fieldsAsHeaders && FIELD_HEADERS.has(lowerCase))) continue;
    if (!isSendable(name, value)) throw new Error(`headers: ${JSON.stringify(name)} cannot be sent as a header`);
    authorized ||= lowerCase === 'authorization';
    headers.push(name, value);
  }
  if (!authorized && (url.username !== '' || url.password !== '')) headers.push('authorization', basic(url));
  return { origin: url.origin, pathAndQuery: url.pathname + url.search, headers };
}

function unreadable(field: string): Error {
  return new Error(`${field}: cannot be decrypted; give the listener another value`);
}

function basic(url: URL): string {
  const credentials = `${unescaped(url.username)}:${unescaped(url.password)}`;
  return `Basic ${Buffer.from(credentials).toString('base64')}`;
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
