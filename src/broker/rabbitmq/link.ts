import type { ChannelModel } from 'amqplib';
import type { Log } from '../../core/ports.js';
import { backoffMs, messageOf, pause, within } from '../within.js';
import { closeQuietly, connectTo, hostOf, streamOf, userOf, type ConnectOptions } from './connect.js';

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
/** A connection that lived this long starts the backoff anew when it is lost. */
const STEADY_AFTER_MS = 10_000;
const CLOSE_TIMEOUT_MS = 2000;
const STOP_TIMEOUT_MS = 10_000;

/** One connection from its handshake to its end. */
export interface Session {
  model: ChannelModel;
  /** Who is logged in. */
  user: string;
  /** False as soon as the connection is lost or given up. */
  alive(): boolean;
  /** Cuts the connection at once; the link then connects anew. */
  kill(reason: string): void;
}

type Connected = Pick<Session, 'model' | 'user'>;

export interface LinkOptions extends ConnectOptions {
  /** `amqp://` or `amqps://` urls, tried in turn; after a connection was lost, beginning with the one after its own. */
  addresses: string[];
  log: Log;
}

/** What is done with each connection. None of these may throw, except `up`: the connection is then given up. */
export interface LinkHooks {
  up(session: Session): Promise<void>;
  down(reason: string): void;
  blocked(reason: string | null): void;
}

/**
 * Keeps one connection to the broker: connects, tries the next address when one fails, and comes back after every
 * loss, with backoff and jitter. amqplib's own recovery is not used, see the architecture page.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #hooks: LinkHooks;
  readonly #stopping = new AbortController();
  #running: Promise<void> | null = null;
  #session: Session | null = null;
  #problem: string | null = 'not connected yet';
  /** Which address is tried first when the present connection is lost or cannot be set up: the one after its own. */
  #place = 0;

  constructor(options: LinkOptions, hooks: LinkHooks) {
    this.#options = options;
    this.#hooks = hooks;
  }

  /** Why there is no connection that is set up, or null while there is one. */
  get problem(): string | null {
    return this.#problem;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Closes the connection and connects no more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const model = this.#session?.model;
    if (model !== undefined) {
      await within(CLOSE_TIMEOUT_MS, 'closing the connection', closeQuietly(model)).catch(() => undefined);
    }
    this.#session?.kill('stopped');
    if (this.#running === null) return;
    await within(STOP_TIMEOUT_MS, 'stopping the connection', this.#running).catch((error: unknown) => {
      this.#options.log.warn('broker.stop.cut_short', { connection: this.#options.name, error: messageOf(error) });
    });
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let failures = 0;
    while (!signal.aborted) {
      const connected = await this.#connectToAny();
      if (connected !== null) {
        const since = performance.now();
        await this.#serve(connected);
        if (performance.now() - since > STEADY_AFTER_MS) failures = 0;
      }
      await pause(backoffMs(failures, FIRST_BACKOFF_MS, MAX_BACKOFF_MS), signal);
      failures += 1;
    }
  }

  /** Tries every address once. */
  async #connectToAny(): Promise<Connected | null> {
    const { addresses, log, name } = this.#options;
    for (const [step] of addresses.entries()) {
      if (this.#stopping.signal.aborted) return null;
      const address = addresses[(this.#place + step) % addresses.length] as string;
      try {
        const model = await connectTo(address, this.#options);
        log.info('broker.connected', { connection: name, broker: hostOf(address) });
        // A node that is cut off from the others takes connections, and does nothing that is asked of it.
        this.#place += step + 1;
        return { model, user: userOf(address) };
      } catch (error) {
        this.#problem = `cannot connect to ${hostOf(address)}: ${messageOf(error)}`;
        log.warn('broker.connect.failed', { connection: name, broker: hostOf(address), error: messageOf(error) });
      }
    }
    return null;
  }

  /** Sets a connection up and waits until it ends. */
  async #serve(connected: Connected): Promise<void> {
    const { session, ended } = this.#watch(connected);
    this.#session = session;
    try {
      // `stop` looks for a session, and this one was not there yet.
      if (this.#stopping.signal.aborted) session.kill('stopped');
      else await this.#hooks.up(session);
      if (session.alive()) this.#problem = null;
    } catch (error) {
      this.#options.log.warn('broker.setup.failed', { connection: this.#options.name, error: messageOf(error) });
      session.kill(messageOf(error));
    }
    this.#ended(await ended);
  }

  #ended(reason: string): void {
    this.#session = null;
    this.#problem = `connection lost: ${reason}`;
    if (!this.#stopping.signal.aborted) {
      this.#options.log.warn('broker.disconnected', { connection: this.#options.name, reason });
    }
  }

  /** Makes the session of a connection. `ended` resolves with the reason after `down` was called. */
  #watch({ model, user }: Connected): { session: Session; ended: Promise<string> } {
    let alive = true;
    let reason = 'closed by the broker';
    let resolveEnded = (_reason: string): void => undefined;
    const ended = new Promise<string>((resolve) => (resolveEnded = resolve));
    model.on('error', (error) => {
      reason = error.message;
    });
    model.on('close', (error) => {
      if (!alive) return;
      alive = false;
      const why = error?.message ?? reason;
      this.#hooks.blocked(null);
      this.#hooks.down(why);
      streamOf(model).destroy();
      resolveEnded(why);
    });
    model.on('blocked', (why) => {
      this.#hooks.blocked(why);
    });
    model.on('unblocked', () => {
      this.#hooks.blocked(null);
    });
    const session: Session = {
      model,
      user,
      alive: () => alive,
      kill: (why) => {
        // With an error, else amqplib would not notice and would leave its channels waiting.
        if (alive) streamOf(model).destroy(new Error(why));
      },
    };
    return { session, ended };
  }
}
