import type { IncomingMessage, ServerResponse } from 'node:http';
import { EventCenterError } from '../../core/errors.js';

/** The caller went away before its body was complete: there is nobody to answer. */
export class CallerGone extends Error {
  override readonly name = 'CallerGone';
}

/**
 * The body of a request. Slow ones are ended by the server's request time-out.
 * A caller that waits for `100 Continue` gets it here, when the announced length is not refused.
 * @throws PAYLOAD_TOO_LARGE beyond `maxBytes`, before anything is read when the length is announced; CallerGone.
 */
export function readBody(req: IncomingMessage, res: ServerResponse, maxBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    if (Number(req.headers['content-length']) > maxBytes) {
      reject(tooLarge(maxBytes));
      return;
    }
    if (req.headers.expect !== undefined) res.writeContinue();
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > maxBytes)
        settle(() => {
          reject(tooLarge(maxBytes));
        });
    };
    const onEnd = (): void => {
      settle(() => {
        resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size));
      });
    };
    const onGone = (): void => {
      settle(() => {
        reject(new CallerGone('the connection was closed before the body was complete'));
      });
    };
    const settle = (done: () => void): void => {
      req.off('data', onData).off('end', onEnd).off('close', onGone);
      done();
    };
    req.on('data', onData).on('end', onEnd).on('close', onGone);
  });
}

/** The refusal of a body beyond `maxBytes`. */
function tooLarge(maxBytes: number): EventCenterError {
  return new EventCenterError('PAYLOAD_TOO_LARGE', `body: expected at most ${String(maxBytes)} bytes, found more`);
}
