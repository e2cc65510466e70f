import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CallAnswer } from './answer-call.js';

/** How much of a refused body is read so that its sender sees the answer, and for how long. */
const DISCARDED_BYTES = 8 * 1024 * 1024;
const DISCARDING_MS = 2_000;

/** Answers over `node:http`; an unread body is read to a bound, because a sender that still writes loses the answer. */
export function answerNode(req: IncomingMessage, res: ServerResponse, { status, headers, body }: CallAnswer): void {
  if (res.headersSent || res.destroyed) return;
  const length = { 'content-length': Buffer.byteLength(body) };
  if (req.readableEnded || req.complete || req.destroyed) {
    res.writeHead(status, { ...headers, ...length });
    res.end(body);
    return;
  }
  res.writeHead(status, { ...headers, ...length, connection: 'close' });
  res.write(body);
  let left = DISCARDED_BYTES;
  const close = (): void => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(close, DISCARDING_MS);
  req.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) close();
  });
  req.once('end', close).once('close', close);
  req.resume();
}
