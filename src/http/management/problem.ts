import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { EventCenterError } from '../../core/errors.js';
import type { Log } from '../../core/ports.js';
import { callerNameOf } from './authenticate.js';
import { remoteAddress } from './remote-address.js';
import { requestIdOf } from './request-id.js';

const RETRY_AFTER_SECONDS = 2;

/** The `type` of a problem document: a name, since there is nothing to fetch. */
function problemType(code: string): string {
  return `urn:event-center:problem:${code.toLowerCase().replaceAll('_', '-')}`;
}

/** Refuses what no route took. */
export const notFound: RequestHandler = (req) => {
  throw new EventCenterError('NOT_FOUND', `there is no ${req.method} ${req.path}; see /docs`);
};

/**
 * The one place where errors become answers: `application/problem+json` of RFC 9457. What is not an EventCenterError
 * is logged and answers 500 with the request id and nothing else.
 */
export function problemHandler(log: Log): ErrorRequestHandler {
  // eslint-disable-next-line @typescript-eslint/max-params -- Express knows error handlers by their four parameters
  return (thrown: unknown, req, res, next) => {
    const error = asEventCenterError(thrown);
    if (error.code === 'INTERNAL') {
      log.error('management.failed', {
        requestId: requestIdOf(res),
        method: req.method,
        path: req.path,
        error: thrown,
      });
    }
    // One line per refused caller; while an address is locked there may be any number, and a metric counts them.
    if (error.code === 'UNAUTHENTICATED' || error.code === 'FORBIDDEN') {
      log.info('access.refused', {
        requestId: requestIdOf(res),
        actor: callerNameOf(res),
        address: remoteAddress(req),
        method: req.method,
        path: req.path,
        code: error.code,
        reason: error.message,
      });
    }
    if (res.headersSent) {
      next(thrown);
      return;
    }
    answer(error, req, res);
  };
}

function answer(error: EventCenterError, req: Request, res: Response): void {
  if (error.code === 'UNAUTHENTICATED') res.setHeader('WWW-Authenticate', 'Bearer');
  if (error.retryable) res.setHeader('Retry-After', String(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS));
  const problem = {
    ...error.extra,
    type: problemType(error.code),
    title: error.title,
    status: error.status,
    detail: error.message,
    instance: req.originalUrl.split('?', 1)[0],
    code: error.code,
    ...(error.fields.length === 0 ? {} : { errors: error.fields }),
    requestId: requestIdOf(res),
  };
  // Not `res.json`, which would take a charset into the type.
  res.status(error.status).setHeader('Content-Type', 'application/problem+json');
  res.end(req.method === 'HEAD' ? undefined : JSON.stringify(problem));
}

function asEventCenterError(thrown: unknown): EventCenterError {
  if (thrown instanceof EventCenterError) return thrown;
  if (thrown instanceof URIError) {
    return new EventCenterError('NOT_FOUND', 'the path has a % escape that is not UTF-8');
  }
  return (
    fromBodyParser(thrown) ?? new EventCenterError('INTERNAL', 'something broke on our side; ask with the request id')
  );
}

/** Errors of body-parser carry a `type`; their texts may hold parts of the body and are not repeated. */
function fromBodyParser(thrown: unknown): EventCenterError | null {
  if (!(thrown instanceof Error) || !('type' in thrown) || !('status' in thrown)) return null;
  switch (thrown.type) {
    case 'entity.too.large':
      return new EventCenterError('PAYLOAD_TOO_LARGE', 'the body is longer than this call allows');
    case 'encoding.unsupported':
      return new EventCenterError('UNSUPPORTED_MEDIA_TYPE', 'Content-Encoding: expected none, gzip, deflate or br');
    case 'charset.unsupported':
      return new EventCenterError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type: expected JSON in UTF-8');
    case 'entity.parse.failed':
      return new EventCenterError('MALFORMED_BODY', 'the body is not valid JSON');
    default:
      return thrown.status === 400
        ? new EventCenterError('MALFORMED_BODY', 'the body did not arrive as announced')
        : null;
  }
}
