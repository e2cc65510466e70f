import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { EventCenterError } from '../core/errors.js';

/** Longer than the idle time-out of common load balancers (60 s), so that they close first and never hit a closed one. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const HEADERS_TIMEOUT_MS = 20_000;
const REQUEST_TIMEOUT_MS = 60_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_HEADERS = 200;
/** How often connections are looked at: for slow requests, and for idle ones while stopping. */
const TIMEOUT_CHECK_MS = 1_000;
const STOPPING_CHECK_MS = 25;

export interface HttpServerOptions {
  host: string;
  /** 0 takes a free one. */
  port: number;
  /** Answers the calls of the applications; false leaves a request to `app`. */
  eventManager: (req: IncomingMessage, res: ServerResponse) => boolean;
  /** Everything else, such as an Express application. */
  app: RequestListener;
  /** Time for a whole request to arrive, else 408 and the connection is closed. */
  requestTimeoutMs?: number;
}

/** The HTTP server of the centre. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  /** Connections on which no request has come yet: node does not count them as idle. */
  readonly #fresh = new Set<Socket>();
  #stopping = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const { requestTimeoutMs = REQUEST_TIMEOUT_MS } = options;
    this.#server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, requestTimeoutMs),
    });
    this.#server.maxHeadersCount = MAX_HEADERS;
    this.#server.on('connection', (socket) => {
      this.#fresh.add(socket);
      socket.once('close', () => this.#fresh.delete(socket));
    });
    this.#server.on('request', (req, res) => {
      this.#dispatch(req, res, false);
    });
    this.#server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      this.#dispatch(req, res, true);
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
    for (const socket of this.#fresh) socket.destroy();
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

  #dispatch(req: IncomingMessage, res: ServerResponse, awaitsContinue: boolean): void {
    this.#fresh.delete(req.socket);
    if (this.#stopping) res.setHeader('Connection', 'close');
    if (this.#options.eventManager(req, res)) return;
    if (awaitsContinue) res.writeContinue();
    this.#options.app(req, res);
  }
}

function urlOf({ address, family, port }: AddressInfo): string {
  if (address === '0.0.0.0' || address === '::') return `http://127.0.0.1:${String(port)}`;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${String(port)}`;
}
