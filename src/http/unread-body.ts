import type { IncomingMessage, ServerResponse } from 'node:http';

/** How much of a body that nobody wants is taken from its sender, and for how long, so that he sees the answer. */
export const DISCARDED_BYTES = 8 * 1024 * 1024;
export const DISCARDING_MS = 2_000;
const LOOK_MS = 50;

/**
 * Closes the connection when a request goes on arriving long after its answer: node would read to the end what nobody
 * wants, for as long as a request may take.
 */
export function endUnreadBody(req: IncomingMessage, res: ServerResponse): void {
  res.once('finish', () => {
    if (req.complete || req.socket.destroyed) return;
    const { socket } = req;
    const until = performance.now() + DISCARDING_MS;
    const mostBytes = socket.bytesRead + DISCARDED_BYTES;
    const look = setInterval(() => {
      if (!req.complete && performance.now() < until && socket.bytesRead < mostBytes) return;
      clearInterval(look);
      if (!req.complete) socket.destroy();
    }, LOOK_MS);
  });
}
