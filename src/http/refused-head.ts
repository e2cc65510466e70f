import type { IncomingMessage, ServerResponse } from 'node:http';

/** The most headers of a request. Node takes more and drops them in silence, so that a proxy and we might read different ones. */
export const MAX_HEADERS = 200;

/**
 * Whether the head of a request was refused, as node refuses what it cannot parse: by a status without a body, and the
 * connection is closed. 400 for two hosts (RFC 9112, 3.2), content types or tokens, of which node drops the second in
 * silence, and for a fragment, which belongs to no target (3.2.1) and which Express drops; 431 for too many headers; 501
 * for a transfer coding other than `chunked` (RFC 9112, 6.1); 505 for HTTP/0.9, which has no headers and thus no host.
 */
export function refuseHead(req: IncomingMessage, res: ServerResponse): boolean {
  const status = refusalOf(req);
  if (status === null) return false;
  res.writeHead(status, { Connection: 'close', 'Content-Length': 0 });
  res.end();
  return true;
}

/** Headers of which Node takes the first, and who stands before the centre perhaps the last. */
const SINGLE = ['host', 'content-type', 'authorization'];

function refusalOf({ httpVersionMajor, url, rawHeaders, headers }: IncomingMessage): number | null {
  if (httpVersionMajor !== 1) return 505;
  if (rawHeaders.length > 2 * MAX_HEADERS) return 431;
  if (SINGLE.some((name) => isTwice(name, rawHeaders))) return 400;
  if (url?.includes('#') === true) return 400;
  const coding = headers['transfer-encoding'];
  return coding === undefined || coding.toLowerCase() === 'chunked' ? null : 501;
}

function isTwice(name: string, rawHeaders: string[]): boolean {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const raw = rawHeaders[at] as string;
    if (raw.length === name.length && raw.toLowerCase() === name) count += 1;
  }
  return count > 1;
}
