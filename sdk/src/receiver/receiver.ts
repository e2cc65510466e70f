import type { IncomingMessage, ServerResponse } from 'node:http';
import type { EventMap, EventOf } from '../event-map.js';
import { answerCall } from './answer-call.js';
import type { IncomingCall, Receiving } from './answer-call.js';
import { answerNode } from './node-answer.js';
import { fetchBody, nodeBody } from './raw-body.js';
import { checkReceiverOptions } from './receiver-options.js';
import type { ReceiverOptions } from './receiver-options.js';

/** What a handler knows beside the event. */
export interface ReceiverContext {
  /** Aborted when the centre hangs up before the answer, as it does at the listener's time-out. */
  signal: AbortSignal;
}

/** Acts on an event: returning is success; throwing, or rejecting, makes the centre come again by the retry rules. */
export type EventHandler<Events extends object = EventMap> = (
  event: EventOf<Events>,
  context: ReceiverContext,
) => void | Promise<void>;

/** Takes the centre's callbacks at the url of a listener. */
export interface Receiver {
  /**
   * For `node:http` and Express: answers every call, and never rejects. `express.raw` may have run before it; a parser that
   * leaves no raw bytes is answered with 500 `BODY_ALREADY_PARSED`.
   */
  node: (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  /** For frameworks that speak Fetch: Hono, Next, Bun, Deno and others. Never rejects. */
  fetch: (request: Request) => Promise<Response>;
}

/**
 * A receiver of callbacks in the format `iuap` (protocol page, section 3). It verifies the centre's signature over the raw
 * path, query and body, refuses old and future ones, and hands the event to the application.
 *
 * Answers are JSON: `{"success":"true"}` with 200 when the handler returned, or when the inbox knows the event;
 * `{"success":"false","code":…,"message":…}` with 200 for `HANDLER_FAILED` (what was thrown goes to `onError` only) and
 * `IN_PROGRESS` (another copy is being acted on), 400 `INVALID_PARAM`, 401 `BAD_SIGNATURE`, `UNKNOWN_APP` or
 * `TIMESTAMP_EXPIRED`, 405 `METHOD_NOT_ALLOWED`, 413 `PAYLOAD_TOO_LARGE`, 500 `BODY_ALREADY_PARSED`.
 * Without an inbox an event is handed over at least once.
 * @throws InvalidOptionError naming the option.
 */
export function createReceiver<Events extends object = EventMap>(
  options: ReceiverOptions,
  handler: EventHandler<Events>,
): Receiver {
  // Which payload stands under which event type is the centre's promise, not checked here.
  const receiving: Receiving = { options: checkReceiverOptions(options), act: handler as Receiving['act'] };
  return {
    node: async (req, res) => {
      const hungUp = new AbortController();
      res.once('close', () => {
        if (!res.writableFinished) hungUp.abort();
      });
      const answer = await answerCall(nodeCall(req, hungUp.signal), receiving);
      if (answer !== null) answerNode(req, res, answer);
    },
    fetch: async (request) => {
      const answer = await answerCall(fetchCall(request), receiving);
      // A framework wants an answer, though nobody waits for it.
      return answer === null ? new Response(null, { status: 400 }) : new Response(answer.body, answer);
    },
  };
}

function nodeCall(req: IncomingMessage & { originalUrl?: unknown }, signal: AbortSignal): IncomingCall {
  return {
    method: req.method ?? '',
    // Express cuts the path that it is mounted at off `url`.
    target: typeof req.originalUrl === 'string' ? req.originalUrl : (req.url ?? '/'),
    header: (name) => {
      const value = req.headers[name];
      return typeof value === 'string' && value !== '' ? value : null;
    },
    readBody: (maxBytes) => nodeBody(req, maxBytes),
    signal,
  };
}

function fetchCall(request: Request): IncomingCall {
  return {
    method: request.method,
    target: request.url,
    header: (name) => {
      const value = request.headers.get(name);
      return value === '' ? null : value;
    },
    readBody: (maxBytes) => fetchBody(request, maxBytes),
    signal: request.signal,
  };
}
