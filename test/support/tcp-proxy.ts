import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Transform } from 'node:stream';

/** A TCP proxy in front of a service, to take the service away from one test without touching it. */
export interface TcpProxy {
  port: number;
  /** Connections taken since the start. */
  connections(): number;
  /** Destroys every connection and refuses new ones. */
  cut(): void;
  /** Destroys every connection; new ones are taken. */
  cutOnce(): void;
  /** Takes new connections again. */
  restore(): void;
  /** Passes nothing on any more, in either direction, without closing anything; new connections hang too. */
  freeze(): void;
  thaw(): void;
  /** The connections that exist pass nothing on any more, for ever and without a FIN; new ones work. */
  halfOpen(): void;
  /** Each chunk waits so long in either direction before it is passed on; 0 ends that. */
  slow(delayMs: number): void;
  /** Sends bytes to every client as if they came from the service. */
  say(bytes: Buffer): void;
  close(): Promise<void>;
}

/** A connection through the proxy. */
interface Line {
  near: Socket;
  far: Socket;
  /** Passes nothing on, not even its end. */
  silent: boolean;
  destroy(): void;
}

/** What every connection obeys. */
class Conditions {
  refusing = false;
  delayMs = 0;
  #frozen: Promise<void> | null = null;
  #thaw = (): void => {};

  get frozen(): Promise<void> | null {
    return this.#frozen;
  }

  freeze(): void {
    this.#frozen ??= new Promise((resolve) => {
      this.#thaw = resolve;
    });
  }

  thaw(): void {
    this.#frozen = null;
    this.#thaw();
  }
}

/** @param listen where it listens; a free port of the loopback address by default. */
export async function tcpProxy(
  target: { host: string; port: number },
  listen: { host: string; port: number } = { host: '127.0.0.1', port: 0 },
): Promise<TcpProxy> {
  const conditions = new Conditions();
  const lines = new Set<Line>();
  let taken = 0;
  const server: Server = createServer((near) => {
    if (conditions.refusing) {
      near.destroy();
      return;
    }
    taken += 1;
    const line = lineBetween(near, connect(target), conditions, () => lines.delete(line));
    lines.add(line);
  });
  const cutOnce = (): void => {
    for (const line of lines) line.destroy();
  };
  await new Promise<void>((resolve) => server.listen(listen.port, listen.host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => taken,
    cut: () => {
      conditions.refusing = true;
      cutOnce();
    },
    cutOnce,
    restore: () => {
      conditions.refusing = false;
    },
    freeze: () => {
      conditions.freeze();
    },
    thaw: () => {
      conditions.thaw();
    },
    halfOpen: () => {
      for (const line of lines) line.silent = true;
    },
    slow: (delayMs) => {
      conditions.delayMs = delayMs;
    },
    say: (bytes) => {
      for (const { near } of lines) near.write(bytes);
    },
    close: async () => {
      conditions.thaw();
      cutOnce();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function lineBetween(near: Socket, far: Socket, conditions: Conditions, ended: () => void): Line {
  const destroy = (): void => {
    near.destroy();
    far.destroy();
    ended();
  };
  const line: Line = { near, far, silent: false, destroy };
  const onEnd = async (): Promise<void> => {
    await conditions.frozen;
    if (!line.silent) destroy();
  };
  for (const socket of [near, far]) {
    socket.setNoDelay(true);
    socket.on('error', () => void onEnd());
    socket.on('close', () => void onEnd());
  }
  near.pipe(passing(line, conditions)).pipe(far);
  far.pipe(passing(line, conditions)).pipe(near);
  return line;
}

/** One direction of a connection. */
function passing(line: Line, conditions: Conditions): Transform {
  const delayed = async (): Promise<boolean> => {
    if (conditions.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, conditions.delayMs));
    await conditions.frozen;
    return !line.silent;
  };
  const isFree = (): boolean => conditions.delayMs === 0 && conditions.frozen === null && !line.silent;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      if (isFree()) done(null, chunk);
      else void delayed().then((goesOn) => (goesOn ? done(null, chunk) : undefined));
    },
    flush(done) {
      if (isFree()) done();
      else void delayed().then((goesOn) => (goesOn ? done() : undefined));
    },
  });
}
