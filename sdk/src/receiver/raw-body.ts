import type { IncomingMessage } from 'node:http';
import { ReceiverRefusal } from './receiver-refusal.js';

/** The caller went away in the middle: there is nobody to answer. */
export class CallerGone extends Error {
  override readonly name = 'CallerGone';
}

/** What frameworks add to a request. */
interface FrameworkRequest {
  body?: unknown;
  rawBody?: unknown;
}

/**
 * The raw bytes of a body, from the stream, or from `rawBody` or `body` when a framework has left them there as bytes or
 * text (`express.raw`, `express.text`).
 * @throws ReceiverRefusal for a body that is too large, or parsed with its bytes gone; CallerGone.
 */
export async function nodeBody(req: IncomingMessage & FrameworkRequest, maxBytes: number): Promise<Uint8Array> {
  const kept = bytesOf(req.rawBody) ?? bytesOf(req.body);
  if (kept !== null) {
    if (kept.length > maxBytes) throw tooLarge(maxBytes);
    return kept;
  }
  if (req.readableDidRead || req.readableEnded) throw alreadyParsed();
  if (Number(req.headers['content-length']) > maxBytes) throw tooLarge(maxBytes);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const settle = (act: () => void): void => {
      req.off('data', onData).off('end', onEnd).off('close', onGone).off('error', onGone);
      act();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > maxBytes) settle(() => reject(tooLarge(maxBytes)));
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks, size)));
    const onGone = (): void =>
      settle(() => reject(new CallerGone('the connection was closed before the body was complete')));
    req.on('data', onData).on('end', onEnd).on('close', onGone).on('error', onGone);
  });
}

/** The raw bytes of a Fetch request's body; refusals as above. */
export async function fetchBody(request: Request, maxBytes: number): Promise<Uint8Array> {
  if (request.bodyUsed) throw alreadyParsed();
  if (Number(request.headers.get('content-length')) > maxBytes) throw tooLarge(maxBytes);
  if (request.body === null) return new Uint8Array(0);
  const reader = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await nextOf(reader);
    if (done) return Buffer.concat(chunks, size);
    size += value.length;
    if (size > maxBytes) {
      await reader.cancel();
      throw tooLarge(maxBytes);
    }
    chunks.push(value);
  }
}

/** @throws CallerGone when the body does not end in order. */
async function nextOf(reader: ReadableStreamDefaultReader<Uint8Array>) {
  try {
    return await reader.read();
  } catch (error) {
    throw new CallerGone('the body ended before it was complete', { cause: error });
  }
}

function bytesOf(body: unknown): Uint8Array | null {
  if (body instanceof Uint8Array) return body;
  return typeof body === 'string' ? Buffer.from(body, 'utf8') : null;
}

function tooLarge(maxBytes: number): ReceiverRefusal {
  return new ReceiverRefusal('PAYLOAD_TOO_LARGE', `body: expected at most ${String(maxBytes)} bytes, found more`);
}

function alreadyParsed(): ReceiverRefusal {
  return new ReceiverRefusal(
    'BODY_ALREADY_PARSED',
    'body: its raw bytes are needed for the signature, and something has read them: mount the receiver before body parsers, ' +
      "or give its route express.raw({ type: '*/*' })",
  );
}
