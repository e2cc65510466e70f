import type { Duplex } from 'node:stream';
import { connect, type ChannelModel } from 'amqplib';
import { within } from '../within.js';
import { writeTogether } from './write-together.js';

export interface ConnectOptions {
  /** Shown by the broker as the connection's name. */
  name: string;
  connectTimeoutMs: number;
  heartbeatSeconds: number;
}

/** Opens one connection. @throws UNAVAILABLE when the handshake takes too long, else what amqplib throws. */
export async function connectTo(address: string, options: ConnectOptions): Promise<ChannelModel> {
  const { connectTimeoutMs, heartbeatSeconds, name } = options;
  const url = new URL(address);
  if (!url.searchParams.has('heartbeat')) url.searchParams.set('heartbeat', String(heartbeatSeconds));
  const opening = connect(url.href, {
    noDelay: true,
    keepAlive: true,
    // Of the socket's silence while connecting; the limit around it holds for the whole handshake.
    timeout: connectTimeoutMs,
    clientProperties: { connection_name: name },
  });
  let late = false;
  opening.then(
    (model) => {
      if (late) void closeQuietly(model);
    },
    () => undefined,
  );
  try {
    const model = await within(connectTimeoutMs, 'the handshake', opening);
    writeTogether(streamOf(model));
    return model;
  } catch (error) {
    late = true;
    throw error;
  }
}

/** Host and port of an address, without its credentials. */
export function hostOf(address: string): string {
  return new URL(address).host;
}

/** The user whom an address logs in, as amqplib reads it. */
export function userOf(address: string): string {
  const { username, password } = new URL(address);
  return username === '' && password === '' ? 'guest' : decodeURIComponent(username);
}

/** The socket, which amqplib has no method to cut. */
export function streamOf(model: ChannelModel): Duplex {
  return (model.connection as unknown as { stream: Duplex }).stream;
}

/** Closes a connection, whatever its state; may take as long as the broker does. */
export async function closeQuietly(model: ChannelModel): Promise<void> {
  model.on('error', () => undefined);
  try {
    await model.close();
  } catch {
    streamOf(model).destroy();
  }
}
