import express, { type RequestHandler } from 'express';
import { EventCenterError, invalidField } from '../../core/errors.js';
import { awaitBody } from '../await-body.js';

const BODY_LIMIT = 1024 * 1024;
const JSON_TYPES = ['application/json', 'application/*+json'];
/** Levels of a body. No schema that people write has so many, and what works level by level needs a bound. */
const MAX_DEPTH = 100;

const requireJson: RequestHandler = (req, _res, next) => {
  // `is` answers null when there is no body, but takes one of no bytes for one.
  if (req.get('content-length') !== '0' && req.is(JSON_TYPES) === false) {
    throw new EventCenterError('UNSUPPORTED_MEDIA_TYPE', 'Content-Type: expected application/json');
  }
  next();
};

const refuseDeep: RequestHandler = (req, _res, next) => {
  const body: unknown = req.body;
  if (typeof body !== 'object' || body === null) {
    next();
    return;
  }
  if (Array.isArray(body)) expectShallow('body', body, MAX_DEPTH);
  else for (const [name, member] of Object.entries(body)) expectShallow(name, member, MAX_DEPTH - 1);
  next();
};

/** What reads the JSON body of a route: of at most 1 MiB, however it is compressed, and 100 levels. */
export const jsonBody: RequestHandler[] = [
  requireJson,
  awaitBody(BODY_LIMIT),
  express.json({ limit: BODY_LIMIT, strict: false, type: JSON_TYPES }),
  refuseDeep,
];

/** @throws INVALID_PARAM at `path` when `value` has more than `maxDepth` levels. Goes level by level, not by recursion. */
function expectShallow(path: string, value: unknown, maxDepth: number): void {
  let level = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > maxDepth) throw invalidField(path, `it is nested too deeply: expected at most ${MAX_DEPTH} levels`);
    level = level.flatMap((one): unknown[] => (typeof one === 'object' && one !== null ? Object.values(one) : []));
  }
}
