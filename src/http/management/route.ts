import { z } from 'zod';
import { invalidFields, type ErrorCode, type FieldError } from '../../core/errors.js';
import type { Access } from '../../core/access/access.js';
import type { Reach } from '../../core/access/reach.js';
import type { Actor, AuditStore, Role } from '../../core/ports.js';
import type { RegistryAdmin } from '../../core/registry/registry-admin.js';
import { readFields, rightFields } from '../read-fields.js';

/**
 * Which tokens may make a call: `centre` those of the whole centre only; `node` those of one node too, and then it reaches
 * the things of that node.
 */
export type Scope = 'centre' | 'node';

/** What is not bounded to any node. */
export interface WholeCentre {
  admin: RegistryAdmin;
  access: Access;
  audit: AuditStore;
  actor: Actor;
}

/**
 * All that a route's code gets of the centre, by its scope. A route that tokens of a node may call has the caller's reach
 * and nothing else, so it cannot answer with what is another node's.
 */
interface Granted {
  centre: { centre: WholeCentre };
  node: { reach: Reach };
}

/** What a route's code gets: everything checked. */
export interface RouteInput<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  /** From `If-Match`; null when the caller does not care. */
  expectedVersion: number | null;
}

/** What stands in a request before it is checked. */
export interface RawInput {
  params: unknown;
  query: unknown;
  body: unknown;
  ifMatch: string | undefined;
  centre: WholeCentre;
  reach: Reach;
}

/** What is said about a route: Express and the OpenAPI document are both made of it, so they cannot differ. */
export interface RouteDescription {
  method: 'get' | 'post' | 'patch' | 'delete';
  /** Below `/api/v1`, with parameters as `{name}`. */
  path: string;
  summary: string;
  /** Further sentences for the document. */
  description?: string;
  tag: string;
  /** The least role that may call it. */
  role: Role;
  scope: Scope;
  params: z.ZodObject;
  query: z.ZodObject;
  /** null for a call without a body. */
  body: z.ZodType | null;
  /** A missing body is an empty object. */
  bodyOptional: boolean;
  /** Status of a success. */
  status: 200 | 201 | 202 | 204;
  /** null for an answer without a body. */
  answer: z.ZodType | null;
  /** The answer has a `version`: it is sent as `ETag`, and a write takes `If-Match`. */
  versioned: boolean;
  /** Codes that it can answer beside those that every route can. */
  errors: ErrorCode[];
}

export interface Route extends RouteDescription {
  /** Checks the request and does it. @throws INVALID_PARAM naming every field that is wrong, and its own codes. */
  run(raw: RawInput): Promise<unknown>;
}

type Shape = z.ZodRawShape;
const NOTHING = z.strictObject({});

interface RouteSpec<S extends Scope, P extends Shape, Q extends Shape, B extends z.ZodType, A extends z.ZodType>
  extends
    Pick<RouteDescription, 'method' | 'path' | 'summary' | 'tag' | 'role' | 'status'>,
    Partial<Pick<RouteDescription, 'description' | 'errors' | 'versioned' | 'bodyOptional'>> {
  scope: S;
  params?: z.ZodObject<P>;
  query?: z.ZodObject<Q>;
  body?: B;
  answer?: A;
  /** Why a field that somebody may expect in the body cannot be given, by name. */
  fixedFields?: Record<string, string>;
  /**
   * What the core has against a body, of which wrong fields are undefined and unknown ones absent, the others as they came
   * (times are not read yet): asked when the body is refused already, so that one answer names everything that is wrong.
   */
  rulesBroken?: (body: Partial<z.output<B>>) => FieldError[];
  handle: (
    input: RouteInput<z.output<z.ZodObject<P>>, z.output<z.ZodObject<Q>>, z.output<B>> & Granted[S],
  ) => Promise<z.input<A>>;
}

/** Makes a route of its description and its code, which get and give exactly what the schemas say. */
export function defineRoute<
  S extends Scope,
  P extends Shape = Shape,
  Q extends Shape = Shape,
  B extends z.ZodType = z.ZodUndefined,
  A extends z.ZodType = z.ZodVoid,
>(spec: RouteSpec<S, P, Q, B, A>): Route {
  const {
    handle,
    rulesBroken,
    fixedFields = {},
    body = null,
    answer = null,
    errors = [],
    versioned = false,
    ...rest
  } = spec;
  const params = spec.params ?? (NOTHING as unknown as z.ZodObject<P>);
  const query = spec.query ?? (NOTHING as unknown as z.ZodObject<Q>);
  const bodyOptional = spec.bodyOptional ?? false;
  const run = async (raw: RawInput): Promise<unknown> => {
    const fields: FieldError[] = [];
    const input = {
      params: readFields(params, raw.params, { fields, root: 'path', fixedFields: {} }),
      query: readFields(query, raw.query, { fields, root: 'query', fixedFields: {} }),
      body:
        body === null
          ? (undefined as z.output<B>)
          : readFields(body, raw.body ?? (bodyOptional ? {} : undefined), { fields, root: 'body', fixedFields }),
      expectedVersion: versioned ? readIfMatch(raw.ifMatch, fields) : null,
      ...(spec.scope === 'centre' ? { centre: raw.centre } : { reach: raw.reach }),
    };
    if (fields.length > 0) {
      const right = body === null || rulesBroken === undefined ? null : rightFields(body, raw.body);
      if (right !== null) fields.push(...beyond(fields, rulesBroken?.(right as Partial<z.output<B>>) ?? []));
      throw invalidFields(fields);
    }
    return handle(input as unknown as Parameters<typeof handle>[0]);
  };
  return { ...rest, params, query, body, bodyOptional, answer, errors, versioned, run };
}

/** Those of `more` that are about no field that is named already. */
function beyond(named: FieldError[], more: FieldError[]): FieldError[] {
  return more.filter(({ path }) => !named.some((one) => path === one.path || path.startsWith(`${one.path}.`)));
}

const IF_MATCH = /^(?:(?:W\/)?"(\d{1,15})"|(\d{1,15}))$/;

/** `3`, `"3"` or `W/"3"`; `*` matches whatever there is. */
function readIfMatch(header: string | undefined, fields: FieldError[]): number | null {
  if (header === undefined || header === '*') return null;
  const match = IF_MATCH.exec(header);
  if (match === null) {
    fields.push({ path: 'If-Match', message: 'expected the version that was read, such as "3"' });
    return null;
  }
  return Number(match[1] ?? match[2]);
}
