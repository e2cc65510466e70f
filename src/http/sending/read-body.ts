import type { IncomingMessage, ServerResponse } from 'node:http';
import { EventCenterError } from '../../core/errors.js';

/** The caller went away before its body was complete: there is nobody to answer. */
export class CallerGone extends Error {
  override readonly name = 'CallerGone';
}

export interface BodyReaderOptions {
  /** Most bytes of one body. */
  maxBytes: number;
  /** Most bytes of all bodies that are not complete; at least one body fits, however low it is. */
  maxUnfinishedBytes: number;
  /** Told by name of what is not normal but handled. */
  incident: (name: string) => void;
}

/**
 * Reads the bodies of signed calls, whose senders nobody knows before a body is complete. When the incomplete ones are
 * too many bytes together, the oldest are given up, so that whoever sends slowly to fill our memory harms himself only.
 */
export class BodyReader {
  readonly #options: BodyReaderOptions;
  /** Oldest first. */
  readonly #unfinished = new Set<UnfinishedBody>();
  #unfinishedBytes = 0;

  constructor(options: BodyReaderOptions) {
    this.#options = options;
  }

  /**
   * The body of a request. Slow ones are ended by the server's request time-out.
   * A caller that waits for `100 Continue` gets it here, when the announced length is not refused.
   * @throws PAYLOAD_TOO_LARGE beyond `maxBytes`, before anything is read when the length is announced; UNAVAILABLE when
   *   it had to make room; CallerGone.
   */
  read(req: IncomingMessage, res: ServerResponse): Promise<Buffer> {
    const { maxBytes } = this.#options;
    return new Promise((resolve, reject) => {
      if (Number(req.headers['content-length']) > maxBytes) {
        reject(tooLarge(maxBytes));
        return;
      }
      if (req.headers.expect !== undefined) res.writeContinue();
      const chunks: Buffer[] = [];
      const body: UnfinishedBody = {
        bytes: 0,
        giveUp: () => {
          end(() => reject(new EventCenterError('UNAVAILABLE', 'too many bodies are on their way, repeat the call')));
        },
      };
      const onData = (chunk: Buffer): void => {
        chunks.push(chunk);
        this.#grow(body, chunk.length);
        if (body.bytes > maxBytes) end(() => reject(tooLarge(maxBytes)));
      };
      const onEnd = (): void => {
        end(() => resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, body.bytes)));
      };
      const onGone = (): void => {
        end(() => reject(new CallerGone('the connection was closed before the body was complete')));
      };
      const end = (done: () => void): void => {
        req.off('data', onData).off('end', onEnd).off('close', onGone);
        if (this.#unfinished.delete(body)) this.#unfinishedBytes -= body.bytes;
        done();
      };
      this.#unfinished.add(body);
      req.on('data', onData).on('end', onEnd).on('close', onGone);
    });
  }

  #grow(body: UnfinishedBody, bytes: number): void {
    body.bytes += bytes;
    this.#unfinishedBytes += bytes;
    if (this.#unfinishedBytes <= this.#options.maxUnfinishedBytes) return;
    for (const oldest of this.#unfinished) {
      if (this.#unfinishedBytes <= this.#options.maxUnfinishedBytes || this.#unfinished.size === 1) return;
      this.#options.incident('http-body-given-up');
      oldest.giveUp();
    }
  }
}

interface UnfinishedBody {
  bytes: number;
  giveUp(): void;
}

/** The refusal of a body beyond `maxBytes`. */
function tooLarge(maxBytes: number): EventCenterError {
  return new EventCenterError('PAYLOAD_TOO_LARGE', `body: expected at most ${String(maxBytes)} bytes, found more`);
}
