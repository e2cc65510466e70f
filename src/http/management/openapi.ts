import { OpenAPIRegistry, OpenApiGeneratorV31, type RouteConfig } from '@asteasolutions/zod-to-openapi';
import { z } from 'zod';
import { EventCenterError, type ErrorCode } from '../../core/errors.js';
import { API_PREFIX } from './mount-routes.js';
import { staticPaths } from './openapi-static.js';
import type { Route, Scope } from './route.js';

const VERSION = '1';
const SECURITY = 'token';

/** Who may call it, in the document's words. */
const SCOPES: Record<Scope, string> = {
  centre: 'Tokens of one node may not call it.',
  node: 'A token of one node reaches the things of that node only.',
};

const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().optional(),
    code: z.string(),
    errors: z
      .array(z.object({ path: z.string(), message: z.string() }))
      .optional()
      .meta({ description: 'for invalid input, a field each' }),
    requestId: z.string(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' });

export interface DocumentOptions {
  /** Path before `/eventmanager/…`. */
  contextPath: string;
  /** Whether `POST /events` is there. */
  publishes: boolean;
}

/** The OpenAPI 3.1 document: the table of routes, and what is answered beside it. */
export function openApiDocument(routes: Route[], options: DocumentOptions): object {
  const registry = new OpenAPIRegistry();
  registry.registerComponent('securitySchemes', SECURITY, { type: 'http', scheme: 'bearer' });
  for (const route of routes) registry.registerPath(pathOf(route));
  for (const path of staticPaths({ ...options, problems, security: SECURITY })) registry.registerPath(path);
  return new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: '3.1.0',
    info: {
      title: 'Event Center',
      version: VERSION,
      description: 'Send an event once; every registered listener gets it, in order.',
    },
    servers: [{ url: '/' }],
  });
}

function pathOf(route: Route): RouteConfig {
  const ifMatch = route.versioned && route.method !== 'get' ? { headers: z.object({ 'If-Match': ifMatchHeader }) } : {};
  return {
    method: route.method,
    path: API_PREFIX + route.path,
    operationId: operationIdOf(route),
    summary: route.summary,
    description: [route.description, `Needs the role \`${route.role}\`. ${SCOPES[route.scope]}`]
      .filter(Boolean)
      .join('\n\n'),
    tags: [route.tag],
    security: [{ [SECURITY]: [] }],
    request: {
      params: route.params,
      query: route.query,
      ...ifMatch,
      ...(route.body === null
        ? {}
        : { body: { required: !route.bodyOptional, content: { 'application/json': { schema: route.body } } } }),
    },
    responses: { [route.status]: success(route), ...problems(codesOf(route)) },
  };
}

const ifMatchHeader = z
  .string()
  .optional()
  .meta({ description: 'the `version` that was read; another one answers 412' });

function success(route: Route): RouteConfig['responses'][string] {
  if (route.answer === null) return { description: 'Done' };
  return { description: 'Done', content: { 'application/json': { schema: route.answer } } };
}

/** What a route can answer: its own codes, and those that its description implies. */
function codesOf(route: Route): ErrorCode[] {
  const codes: ErrorCode[] = ['UNAUTHENTICATED', 'FORBIDDEN', 'RATE_LIMITED', 'INVALID_PARAM', ...route.errors];
  if (route.body !== null) codes.push('MALFORMED_BODY', 'PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE');
  if (route.versioned && route.method !== 'get') codes.push('VERSION_MISMATCH');
  return [...codes, 'INTERNAL', 'UNAVAILABLE'];
}

/** Problem responses by status, each naming its codes. */
function problems(codes: ErrorCode[]): RouteConfig['responses'] {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set(codes)) {
    const { status } = new EventCenterError(code, '');
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, all]) => [
      status,
      { description: all.join(', '), content: { 'application/problem+json': { schema: problem } } },
    ]),
  );
}

/** Such as `getNodesByNodeCode`. */
function operationIdOf({ method, path }: Route): string {
  const words = path.split('/').flatMap((part) => (part.startsWith('{') ? ['by', part.slice(1, -1)] : part.split('-')));
  return method + words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join('');
}
