import type { RouteConfig } from '@asteasolutions/zod-to-openapi';
import { z } from 'zod';

interface PluginCall {
  name: 'lease' | 'settle' | 'release' | 'claim';
  summary: string;
  description: string;
  form: z.ZodObject;
  /** Members of `data` beside the status. */
  answer: z.ZodRawShape;
}

const code = z.enum(['OK', 'EXPIRED', 'UNKNOWN']);
const leases = z.array(z.object({ leaseId: z.string(), code })).optional();

const delivery = z.looseObject({
  leaseId: z.string(),
  leasedUntil: z.int().meta({ description: 'ms since the epoch' }),
  event: z.looseObject({ eventId: z.string(), userObject: z.string().nullable() }),
  onExhausted: z.enum(['continue', 'stop']),
  listeners: z.array(
    z.looseObject({ listenerId: z.string(), implClassName: z.string(), attempt: z.int(), lastAttempt: z.boolean() }),
  ),
});

const CALLS: PluginCall[] = [
  {
    name: 'lease',
    summary: 'Take events for the plugins of a node, signed by its key',
    description: 'Waits for the first one. What is neither settled nor released in time comes again.',
    form: z.object({
      max: z.string().optional().meta({ description: '1..100 events, 10 by default' }),
      waitMs: z.string().optional().meta({ description: '0..30000, 20000 by default' }),
      leaseMs: z.string().optional().meta({ description: '1000..3600000' }),
    }),
    answer: { deliveries: z.array(delivery).optional() },
  },
  {
    name: 'settle',
    summary: 'Report what came of leased events, signed by the key of the node',
    description: 'Listeners without a result come again at once.',
    form: z.object({
      leases: z.string().meta({ description: 'JSON text of up to 100 `{leaseId, results: [{listenerId, success}]}`' }),
    }),
    answer: { leases },
  },
  {
    name: 'release',
    summary: 'Give leased events back without an attempt, signed by the key of the node',
    description: 'They come again at once.',
    form: z.object({ leaseIds: z.string().meta({ description: 'JSON text of up to 100 ids' }) }),
    answer: { leases },
  },
  {
    name: 'claim',
    summary: 'Ask whether a step of an event is still to be made, signed by the key of the node',
    description: 'For who takes events from RabbitMQ: `lost` and `stale` messages are acked without a call.',
    form: z.object({ eventId: z.string(), generation: z.string(), sequence: z.string(), messageId: z.string() }),
    answer: {
      result: z.enum(['granted', 'lost', 'stale']).optional(),
      settled: z.record(z.string(), z.string()).optional().meta({ description: 'states by listener id' }),
    },
  },
];

/** The calls of a node's own process that runs its plugins (protocol page, section 5). */
export function pluginPaths(contextPath: string, signedQuery: z.ZodObject): RouteConfig[] {
  return CALLS.map(({ name, summary, description, form, answer }): RouteConfig => {
    const status = z.int().meta({ enum: [0, 1], description: '0 when it was refused, then with `message` and `code`' });
    const data = z.object({ data: z.looseObject({ status, ...answer }) });
    const content = { 'application/json': { schema: data } };
    return {
      method: 'post',
      path: `${contextPath}/eventmanager/${name}.do`,
      operationId: `${name}PluginEvents`,
      summary,
      description,
      tags: ['Plugins'],
      security: [],
      request: {
        query: signedQuery,
        body: {
          required: true,
          content: { 'application/x-www-form-urlencoded': { schema: form }, 'application/json': { schema: form } },
        },
      },
      responses: {
        200: { description: 'What was asked, or refused by rule', content },
        413: { description: 'PAYLOAD_TOO_LARGE', content },
        503: { description: 'UNAVAILABLE: repeat it', content },
      },
    };
  });
}
