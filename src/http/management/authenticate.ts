import type { RequestHandler, Response } from 'express';
import { mayAct, type Access, type Principal } from '../../core/access/access.js';
import { EventCenterError } from '../../core/errors.js';
import type { Actor, Role } from '../../core/ports.js';
import { requestIdOf } from './request-id.js';

const BEARER = /^Bearer +(\S{1,512}) *$/i;

/** Lets only bearers of a live token through. */
export function authenticate(access: Pick<Access, 'authenticate'>): RequestHandler {
  return async (req, res, next) => {
    const token = BEARER.exec(req.get('authorization') ?? '')?.[1];
    if (token === undefined) {
      throw new EventCenterError('UNAUTHENTICATED', 'send "Authorization: Bearer <token>" with a live token');
    }
    res.locals['principal'] = await access.authenticate(token);
    next();
  };
}

/** Lets only principals through that may do what `needed` may. */
export function requireRole(needed: Role): RequestHandler {
  return (req, res, next) => {
    const { role } = principalOf(res);
    if (!mayAct(role, needed)) {
      throw new EventCenterError(
        'FORBIDDEN',
        `${req.method} ${req.path} needs the role ${needed}; the token has ${role}`,
      );
    }
    next();
  };
}

/** Who does what the request asks, for records of it. Only behind `authenticate`. */
export function actorOf(res: Response): Actor {
  return { name: principalOf(res).name, requestId: requestIdOf(res) };
}

function principalOf(res: Response): Principal {
  return res.locals['principal'] as Principal;
}
