import type { RequestHandler, Response } from 'express';
import { mayAct, type Access, type Principal } from '../../core/access/access.js';
import type { Caller } from '../../core/access/caller.js';
import { EventCenterError } from '../../core/errors.js';
import type { Metrics } from '../../core/ports.js';
import { remoteAddress } from './remote-address.js';
import { requestIdOf } from './request-id.js';
import type { RouteDescription } from './route.js';

const BEARER = /^Bearer +(\S{1,512}) *$/i;

/** Lets only bearers of a live token through. */
export function authenticate(access: Pick<Access, 'authenticate'>): RequestHandler {
  return async (req, res, next) => {
    const header = req.get('authorization') ?? '';
    const token = BEARER.exec(header)?.[1] ?? null;
    const knock = { token, presented: header !== '', address: remoteAddress(req) };
    res.locals['principal'] = await access.authenticate(knock);
    next();
  };
}

/** Lets only principals through whose role and scope a call takes. */
export function permit(
  { role, scope }: Pick<RouteDescription, 'role' | 'scope'>,
  metrics: Pick<Metrics, 'callerRefused'>,
): RequestHandler {
  return (req, res, next) => {
    const principal = principalOf(res);
    const call = `${req.method} ${req.path}`;
    if (!mayAct(principal.role, role)) {
      metrics.callerRefused('role');
      throw new EventCenterError('FORBIDDEN', `${call} needs the role ${role}; the token has ${principal.role}`);
    }
    if (scope === 'centre' && principal.nodeCode !== null) {
      metrics.callerRefused('scope');
      throw new EventCenterError(
        'FORBIDDEN',
        `${call} needs a token of the whole centre; this one is of the node ${principal.nodeCode}`,
      );
    }
    next();
  };
}

/** Who does what the request asks, and how far it reaches. Only behind `authenticate`. */
export function callerOf(res: Response): Caller {
  const { name, nodeCode } = principalOf(res);
  return { actor: { name, requestId: requestIdOf(res) }, nodeCode };
}

/** The name of who makes the request; null when nobody was let in. */
export function callerNameOf(res: Response): string | null {
  return (res.locals['principal'] as Principal | undefined)?.name ?? null;
}

function principalOf(res: Response): Principal {
  return res.locals['principal'] as Principal;
}
