import type { RequestHandler } from 'express';
import { EventCenterError } from '../core/errors.js';

/**
 * Refuses a body that is announced with more than `maxBytes`, unread: the parser behind this would answer only when all
 * of it has come. A caller who waits for `100 Continue` may send a shorter one. Stands behind the checks of the token, so
 * that strangers are refused before they send.
 * @throws PAYLOAD_TOO_LARGE
 */
export function awaitBody(maxBytes: number): RequestHandler {
  return (req, res, next) => {
    if (Number(req.headers['content-length']) > maxBytes) {
      throw new EventCenterError('PAYLOAD_TOO_LARGE', `the body is longer than this call allows: ${maxBytes} bytes`);
    }
    if (req.headers.expect !== undefined) res.writeContinue();
    next();
  };
}
