import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';

/** What came back on a connection until the other side closed it. */
export interface RawAnswer {
  /** Null when it was closed without an answer. */
  status: number | null;
  /** By lower-case name; the last of a repeated name. */
  headers: Record<string, string>;
  text: string;
}

const GIVE_UP_MS = 30_000;

/**
 * A connection on which bytes are written as they are, from an address of this machine. Errors of it are what attacks end
 * in, and are not told.
 */
export function rawConnection(url: string, localAddress = '127.0.0.1'): Socket {
  const socket = createConnection({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress });
  socket.on('error', () => undefined);
  return socket;
}

/** Writes bytes and reads until the server closes. @throws when it has not closed after 30 s. */
export async function rawExchange(url: string, bytes: string | Buffer): Promise<RawAnswer> {
  const socket = rawConnection(url);
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.write(bytes);
  const giveUp = setTimeout(() => socket.destroy(new Error('too late')), GIVE_UP_MS);
  await once(socket, 'close');
  clearTimeout(giveUp);
  if (socket.errored?.message === 'too late') throw new Error(`the server did not close; it said: ${text}`);
  return parseAnswer(text);
}

/** The first answer of what came, without interim ones. */
function parseAnswer(text: string): RawAnswer {
  const final = text.replace(/^(HTTP\/1\.1 1\d\d [^\r]*\r\n(?:[^\r]+\r\n)*\r\n)+/, '');
  const status = /^HTTP\/1\.1 (\d{3})/.exec(final)?.[1];
  const [head = ''] = final.split('\r\n\r\n', 1);
  const lines = head.split('\r\n').slice(1);
  const headers = lines.map((line) => [line.split(':', 1)[0]!.toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]);
  return { status: status === undefined ? null : Number(status), headers: Object.fromEntries(headers), text };
}

/** A request as text; `Host` and `Connection: close` are added. */
export function rawRequestText(line: string, headers: string[] = [], body = ''): string {
  const length = body === '' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
  return [`${line} HTTP/1.1`, 'Host: centre.test', 'Connection: close', ...length, ...headers, '', body].join('\r\n');
}
