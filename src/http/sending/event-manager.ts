import type { IncomingMessage, ServerResponse } from 'node:http';
import { splitUrl } from '@event-center/sdk';
import { EventCenterError } from '../../core/errors.js';
import type { Log } from '../../core/ports.js';
import { answerRefused } from './answer.js';
import { CallerGone } from './read-body.js';
import type { RequestTarget } from './signed-request.js';

/** One route for the applications, in front of Express because one of them is the hot path. */
export interface PlainHandler {
  method: 'GET' | 'POST';
  /** Answers, or rejects with what is to be answered. */
  handle(req: IncomingMessage, res: ServerResponse, target: RequestTarget): Promise<void>;
}

export interface EventManagerOptions {
  /** Path before `/eventmanager/`, without a slash at its end. */
  contextPath: string;
  /** By the path behind `{context}/eventmanager/`. */
  routes: Record<string, PlainHandler>;
  log: Log;
}

/** What answers everything under `{context}/eventmanager/`; false leaves a request to others. */
export type EventManager = (req: IncomingMessage, res: ServerResponse) => boolean;

/** Routes the calls of the applications. Every call is answered, in the form of the protocol page, section 2. */
export function createEventManager({ contextPath, routes, log }: EventManagerOptions): EventManager {
  const prefix = `${contextPath}/eventmanager/`;
  const handlers = new Map(Object.entries(routes));
  return (req, res) => {
    const target = splitUrl(req.url ?? '/');
    if (!target.path.startsWith(prefix)) return false;
    const name = target.path.slice(prefix.length, target.path.endsWith('/') ? -1 : undefined);
    void answerCall(handlers.get(name), { req, res, target, log });
    return true;
  };
}

interface Call {
  req: IncomingMessage;
  res: ServerResponse;
  target: RequestTarget;
  log: Log;
}

async function answerCall(handler: PlainHandler | undefined, { req, res, target, log }: Call): Promise<void> {
  try {
    if (handler === undefined) throw new EventCenterError('NOT_FOUND', 'there is no such service here');
    if (req.method !== handler.method) {
      throw new EventCenterError('METHOD_NOT_ALLOWED', `expected ${handler.method}`, {
        extra: { allow: handler.method },
      });
    }
    await handler.handle(req, res, target);
  } catch (error) {
    if (error instanceof CallerGone || res.headersSent) return;
    if (error instanceof EventCenterError) {
      answerRefused(req, res, error);
      return;
    }
    log.error('http.sending-failed', { error });
    // Whether the event was published is unknown, which is what 503 says.
    answerRefused(req, res, new EventCenterError('UNAVAILABLE', 'something broke here, repeat the call'));
  }
}
