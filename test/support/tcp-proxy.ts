import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

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
  /** Passes nothing on any more, in either direction, without closing anything. */
  freeze(): void;
  thaw(): void;
  /** Sends bytes to every client as if they came from the service. */
  say(bytes: Buffer): void;
  close(): Promise<void>;
}

/** @param listen where it listens; a free port of the loopback address by default. */
export async function tcpProxy(
  target: { host: string; port: number },
  listen: { host: string; port: number } = { host: '127.0.0.1', port: 0 },
): Promise<TcpProxy> {
  const pairs = new Set<[Socket, Socket]>();
  let refusing = false;
  let frozen = false;
  let taken = 0;
  const server: Server = createServer((near) => {
    if (refusing) {
      near.destroy();
      return;
    }
    taken += 1;
    const far = connect(target);
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    const end = (): void => {
      near.destroy();
      far.destroy();
      pairs.delete(pair);
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
    }
    near.pipe(far);
    far.pipe(near);
    if (frozen) hold(pair);
  });
  const cutOnce = (): void => {
    for (const [near, far] of pairs) {
      near.destroy();
      far.destroy();
    }
  };
  await new Promise<void>((resolve) => server.listen(listen.port, listen.host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => taken,
    cut: () => {
      refusing = true;
      cutOnce();
    },
    cutOnce,
    restore: () => {
      refusing = false;
    },
    freeze: () => {
      frozen = true;
      for (const pair of pairs) hold(pair);
    },
    thaw: () => {
      frozen = false;
      for (const [near, far] of pairs) {
        near.pipe(far);
        far.pipe(near);
      }
    },
    say: (bytes) => {
      for (const [near] of pairs) near.write(bytes);
    },
    close: async () => {
      cutOnce();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function hold([near, far]: [Socket, Socket]): void {
  near.unpipe(far);
  far.unpipe(near);
  near.pause();
  far.pause();
}
