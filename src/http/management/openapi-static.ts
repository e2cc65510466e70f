import type { RouteConfig } from '@asteasolutions/zod-to-openapi';
import { z } from 'zod';
import type { ErrorCode } from '../../core/errors.js';
import { publishEventSchema } from '../publish-events.js';
import { API_PREFIX } from './mount-routes.js';
import { pluginPaths } from './openapi-plugins.js';

interface StaticOptions {
  contextPath: string;
  publishes: boolean;
  /** Responses for what can be refused. */
  problems: (codes: ErrorCode[]) => RouteConfig['responses'];
  /** Name of the security scheme. */
  security: string;
}

const sendForm = z
  .object({
    sourceID: z.string().min(1).max(40),
    eventType: z.string().min(1).max(40),
    tenantCode: z.string().max(40).optional(),
    userObject: z.string().optional().meta({ description: 'any text; `data` is another name of it' }),
    uuid: z.string().max(128).optional().meta({ description: 'idempotency key; also the header `Idempotency-Key`' }),
    deliverAt: z.string().optional().meta({ description: 'RFC 3339 or ms since the epoch: not delivered before' }),
  })
  .meta({ id: 'SendEvent' });

const signedQuery = z.object({
  appId: z.string().optional().meta({ description: 'node code; also as a header' }),
  ts: z.string().meta({ description: 'ms since the epoch' }),
  sign: z.string().optional().meta({ description: 'the signature; also as a header' }),
});

const sendAnswer = z
  .object({
    data: z.object({
      status: z.int().meta({ enum: [0, 1], description: '1 once every queue has the event, 0 when it was refused' }),
      message: z.string(),
      msg: z.string(),
      code: z.string(),
      eventId: z.string().meta({ description: 'empty in a refusal, except in the 503 of a keyed event' }),
    }),
  })
  .meta({ id: 'SendEventAnswer' });

const eventInfoAnswer = z
  .object({
    data: z.looseObject({
      status: z.int().meta({ enum: [0, 1], description: '0 when it was refused, with the members of a refused event' }),
      version: z.int().optional().meta({ description: 'of the registry' }),
      eventTypes: z.array(z.looseObject({ id: z.string() })).optional(),
      listeners: z.array(z.looseObject({ id: z.string() })).optional(),
      node: z.looseObject({ nodeCode: z.string() }).optional().meta({ description: 'how the node is run' }),
      revisions: z.array(z.looseObject({ listenerId: z.string() })).optional(),
      defaultDelaysMs: z.array(z.int()).optional(),
      delaysMs: z.array(z.int()).optional().meta({ description: 'every delay step' }),
      brokerPrefix: z.string().optional(),
    }),
  })
  .meta({ id: 'EventInfoAnswer' });

const published = z.object({ eventId: z.string(), code: z.string() }).meta({ id: 'PublishedEvent' });
const publishedItem = z
  .looseObject({ status: z.int(), code: z.string(), eventId: z.string().nullable() })
  .meta({ id: 'PublishedItem' });
const health = z
  .object({ status: z.string(), degraded: z.array(z.string()).optional(), reasons: z.array(z.string()).optional() })
  .meta({ id: 'Health' });

/** What is answered outside of the table of routes. */
export function staticPaths(options: StaticOptions): RouteConfig[] {
  const { contextPath } = options;
  return [
    sending(contextPath),
    eventInfo(contextPath),
    ...pluginPaths(contextPath, signedQuery),
    ...(options.publishes ? [publishing(options)] : []),
    ...healthPaths(),
  ];
}

function sending(contextPath: string): RouteConfig {
  const answer = { 'application/json': { schema: sendAnswer } };
  return {
    method: 'post',
    path: `${contextPath}/eventmanager/sendEventMsg.do`,
    operationId: 'sendEventMsg',
    summary: 'Send an event, signed by the key of the node',
    description: 'Refused by rule is 200 with `status` 0 and a `code`. 503 means unknown: repeat it, best with a key.',
    tags: ['Sending'],
    security: [],
    request: {
      query: signedQuery,
      body: {
        required: true,
        content: {
          'application/x-www-form-urlencoded': { schema: sendForm },
          'application/json': { schema: sendForm },
        },
      },
    },
    responses: {
      200: { description: 'Accepted, or refused by rule', content: answer },
      413: { description: 'PAYLOAD_TOO_LARGE', content: answer },
      429: { description: 'RATE_LIMITED', content: answer },
      503: { description: 'UNAVAILABLE, IN_PROGRESS', content: answer },
    },
  };
}

function eventInfo(contextPath: string): RouteConfig {
  return {
    method: 'get',
    path: `${contextPath}/eventmanager/eventinfo/index.do`,
    operationId: 'eventInfo',
    summary: 'Read what a node has registered, signed by its key',
    description:
      'The event types that it owns or listens to, and its listeners. Refused by rule is 200 with `status` 0.',
    tags: ['Sending'],
    security: [],
    request: {
      query: signedQuery.extend({
        nodeCode: z
          .string()
          .optional()
          .meta({ description: 'the node that signs; stands for `appId` when that is absent' }),
      }),
    },
    responses: {
      200: {
        description: 'What is registered, or refused by rule',
        content: { 'application/json': { schema: eventInfoAnswer } },
      },
      304: { description: 'As it was when the `ETag` in `If-None-Match` was given' },
      503: { description: 'UNAVAILABLE', content: { 'application/json': { schema: sendAnswer } } },
    },
  };
}

/** What `POST /events` can refuse: its input, its token, and the events themselves. */
const PUBLISHING_CODES: ErrorCode[] = [
  ...(['MALFORMED_BODY', 'UNAUTHENTICATED', 'FORBIDDEN', 'NOT_OWNER'] as const),
  ...(['PAYLOAD_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE', 'INVALID_PARAM', 'UNKNOWN_EVENT_TYPE'] as const),
  ...(['SCHEMA_MISMATCH', 'NOT_IMPLEMENTED', 'RATE_LIMITED', 'INTERNAL', 'UNAVAILABLE', 'IN_PROGRESS'] as const),
];

function publishing({ problems, security }: StaticOptions): RouteConfig {
  const event = publishEventSchema.meta({ id: 'PublishEvent' });
  return {
    method: 'post',
    path: `${API_PREFIX}/events`,
    operationId: 'postEvents',
    summary: 'Publish one event, or an array of up to 500',
    description:
      'Each event of an array is accepted or refused on its own.\n\nNeeds the role `operator`. A token of one node sends for that node only.',
    tags: ['Events'],
    security: [{ [security]: [] }],
    request: {
      body: { required: true, content: { 'application/json': { schema: z.union([event, z.array(event)]) } } },
    },
    responses: {
      202: { description: 'Accepted', content: { 'application/json': { schema: published } } },
      207: {
        description: 'An answer for each event, in order',
        content: { 'application/json': { schema: z.object({ items: z.array(publishedItem) }) } },
      },
      ...problems(PUBLISHING_CODES),
    },
  };
}

function healthPaths(): RouteConfig[] {
  const json = { 'application/json': { schema: health } };
  const common = { method: 'get' as const, tags: ['Health'], security: [] };
  return [
    {
      ...common,
      path: '/healthz',
      operationId: 'getHealthz',
      summary: 'Whether the process lives',
      responses: { 200: { description: 'It does', content: json } },
    },
    {
      ...common,
      path: '/readyz',
      operationId: 'getReadyz',
      summary: 'Whether events can be accepted and delivered',
      responses: {
        200: { description: 'Yes; `degraded` names what works less well', content: json },
        503: { description: 'No, for these `reasons`', content: json },
      },
    },
    {
      ...common,
      path: '/metrics',
      operationId: 'getMetrics',
      summary: 'Metrics for Prometheus',
      responses: { 200: { description: 'Text', content: { 'text/plain': { schema: z.string() } } } },
    },
  ];
}
