import type { Express, Request, RequestHandler, Response } from 'express';
import { EventCenterError } from '../../core/errors.js';
import type { Metrics } from '../../core/ports.js';
import { Reach, type ReachDeps } from '../../core/access/reach.js';
import { callerOf, permit } from './authenticate.js';
import { jsonBody } from './json-body.js';
import type { Route, WholeCentre } from './route.js';

/** Where the management API begins. */
export const API_PREFIX = '/api/v1';

/** What routes are given of, each by its scope. */
export type MountDeps = ReachDeps & Omit<WholeCentre, 'actor'> & { metrics: Pick<Metrics, 'callerRefused'> };

/** Makes Express answer the routes of the table. */
export function mountRoutes(app: Express, routes: Route[], deps: MountDeps): void {
  for (const route of routes) {
    const body = route.body === null ? [] : jsonBody;
    app[route.method](expressPath(route.path), permit(route, deps.metrics), ...body, answerRoute(route, deps));
  }
}

/** Refuses other methods on known paths with 405; to be mounted behind everything that answers them. */
export function refuseOtherMethods(app: Express, offered: { method: string; path: string }[]): void {
  const methodsByPath = new Map<string, Set<string>>();
  for (const { method, path } of offered) {
    const methods = methodsByPath.get(path) ?? new Set<string>();
    methodsByPath.set(path, methods.add(method.toUpperCase()));
    if (method === 'get') methods.add('HEAD');
  }
  for (const [path, methods] of methodsByPath) app.all(expressPath(path), refuseMethod([...methods].sort().join(', ')));
}

function expressPath(path: string): string {
  return API_PREFIX + path.replace(/\{(\w+)\}/g, ':$1');
}

function refuseMethod(allowed: string): RequestHandler {
  return (req, res) => {
    res.setHeader('Allow', allowed);
    if (req.method === 'OPTIONS') {
      res.status(204).end();
      return;
    }
    throw new EventCenterError('METHOD_NOT_ALLOWED', `${req.method} is not offered here; expected ${allowed}`);
  };
}

function answerRoute(route: Route, deps: MountDeps): (req: Request, res: Response) => Promise<void> {
  return async (req, res) => {
    const caller = callerOf(res);
    const { admin, access, audit } = deps;
    const answer = await route.run({
      params: req.params,
      query: req.query,
      body: req.body as unknown,
      ifMatch: req.get('if-match'),
      centre: { admin, access, audit, actor: caller.actor },
      reach: new Reach(deps, caller),
    });
    res.status(route.status).setHeader('Cache-Control', 'no-store');
    if (answer === undefined) {
      res.end();
      return;
    }
    const version = versionOf(answer);
    if (version !== null) res.setHeader('ETag', `"${version}"`);
    res.json(answer);
  };
}

function versionOf(answer: unknown): number | null {
  if (typeof answer !== 'object' || answer === null || !('version' in answer)) return null;
  return typeof answer.version === 'number' ? answer.version : null;
}
