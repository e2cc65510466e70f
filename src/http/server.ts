import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventCenterError } from '../core/errors.js';
import { Connections } from './connections.js';
import { MAX_HEADERS, refuseHead } from './refused-head.js';
import { endUnreadBody } from './unread-body.js';

/** Longer than the idle time-out of common load balancers (60 s), so that they close first and never hit a closed one. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HEADERS_TIMEOUT_MS = 20_000;
const REQUEST_TIMEOUT_MS = 60_000;
const MAX_HEADER_BYTES = 16 * 1024;
/** Longer than any answer of ours is waited for: a connection on which nothing moves for so long is closed. */
const SILENCE_MS = 330_000;
/**
 * A connection whose peer takes nothing of its answer for so long is closed, at the latest after twice as long. What a slow
 * peer takes shows only in steps, each a third of what the kernel keeps for it, so this must not be much shorter.
 */
const UNTAKEN_MS = 30_000;
/** How often connections are looked at: for slow requests, and for idle ones while stopping. */
const TIMEOUT_CHECK_MS = 1_000;
const STOPPING_CHECK_MS = 25;

export interface HttpServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Answers the calls of the applications; false leaves a request to `app`. */
  eventManager: (req: IncomingMessage, res: ServerResponse) => boolean;
  /** Everything else, such as an Express application. It answers `Expect: 100-continue` when it reads a body. */
  app: RequestListener;
  /** Most open connections; beyond, one of the address that has the most is closed for a new one. */
  maxConnections: number;
  /** Told by name of what is not normal but handled. */
  incident: (name: string) => void;
  /** Time for a whole request to arrive, else 408 and the connection is closed. */
  requestTimeoutMs?: number;
  /** Time in which a peer must take some of its answer, else the connection is closed, at the latest after twice as long. */
  untakenMs?: number;
}

/** The HTTP server of the centre. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  readonly #connections: Connections;
  #stopping = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const { maxConnections, requestTimeoutMs = REQUEST_TIMEOUT_MS, untakenMs = UNTAKEN_MS } = options;
    this.#connections = new Connections({ maxConnections, silentPeriodMs: untakenMs, silenceMs: SILENCE_MS });
    this.#server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, requestTimeoutMs),
    });
    // One more than is allowed, so that too many are seen.
    this.#server.maxHeadersCount = MAX_HEADERS + 1;
    // While an answer is being taken, Node looks as often what is left of it, and tells only when that stood still.
    this.#server.setTimeout(untakenMs, (socket) => {
      this.#connections.silent(socket);
    });
    this.#server.on('connection', (socket) => {
      if (!this.#connections.admit(socket)) options.incident('http-connections-full');
    });
    this.#server.on('request', (req, res) => {
      this.#dispatch(req, res);
    });
    // Whoever reads the body says that it may come.
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      this.#dispatch(req, res);
    });
  }

  /** Listens, and resolves with the url under which this machine reaches it. @throws CONFIG_INVALID when it cannot bind. */
  start(): Promise<string> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      const refused = (error: Error): void => {
        const message = `cannot listen on ${host}, port ${port} (EVENT_CENTER_HOST, EVENT_CENTER_PORT): ${error.message}`;
        reject(new EventCenterError('CONFIG_INVALID', message, { cause: error }));
      };
      this.#server.once('error', refused);
      this.#server.listen(port, host, () => {
        this.#server.off('error', refused);
        resolve(urlOf(this.#server.address() as AddressInfo));
      });
    });
  }

  /**
   * Accepts no new connection, lets running requests finish, and destroys what is left after `graceMs`.
   * Resolves when every connection is closed.
   */
  async stop(graceMs: number): Promise<void> {
    if (!this.#server.listening) return;
    this.#stopping = true;
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.#connections.closeUnused();
    const idle = setInterval(() => {
      this.#server.closeIdleConnections();
    }, STOPPING_CHECK_MS);
    const grace = setTimeout(() => {
      this.#server.closeAllConnections();
    }, graceMs);
    await closed;
    clearInterval(idle);
    clearTimeout(grace);
  }

  #dispatch(req: IncomingMessage, res: ServerResponse): void {
    if (!this.#connections.begin(req, res) || refuseHead(req, res)) return;
    if (this.#stopping) res.setHeader('Connection', 'close');
    if (this.#options.eventManager(req, res)) return;
    endUnreadBody(req, res);
    this.#options.app(req, res);
  }
}

function urlOf({ address, family, port }: AddressInfo): string {
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${String(port)}`;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${String(port)}`;
}
