import type { RequestHandler, Response } from 'express';
import { uuidV7 } from '../../core/ids.js';

const ACCEPTED = /^[A-Za-z0-9._:-]{1,100}$/;

/** Takes the caller's `X-Request-Id` over, or makes one, and answers with it. */
export const assignRequestId: RequestHandler = (req, res, next) => {
  const given = req.get('x-request-id');
  const id = given !== undefined && ACCEPTED.test(given) ? given : uuidV7();
  res.locals['requestId'] = id;
  res.setHeader('X-Request-Id', id);
  next();
};

/** The id of the request that `res` answers. */
export function requestIdOf(res: Response): string {
  return String(res.locals['requestId']);
}
