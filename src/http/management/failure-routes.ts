import { z } from 'zod';
import type { FailureRecord } from '../../core/ports.js';
import type { ListenerNames } from '../../core/registry/listener-names.js';
import { givenTime, isoTime, time, uuid } from './fields.js';
import { pageFields, pageOf, splitQuery } from './paging.js';
import { defineRoute, type Route } from './route.js';

const kind = z.enum(['delivery', 'unreadable']);

const failure = z
  .object({
    id: z.string(),
    kind: kind.meta({ description: '`unreadable` is a message that nobody could read or store' }),
    eventId: uuid.nullable(),
    listenerId: uuid.nullable(),
    listenerName: z.string().nullable(),
    nodeCode: z.string().nullable(),
    generation: z.int().nullable(),
    attempts: z.int().nullable(),
    reason: z.string(),
    lastStatus: z.int().nullable(),
    lastError: z.string().nullable(),
    lastResponse: z.string().nullable(),
    raw: z.string().nullable().meta({ description: 'of an unreadable message: its body in Base64' }),
    rawHeaders: z.string().nullable().meta({ description: 'of an unreadable message: its headers' }),
    failedAt: time,
  })
  .meta({ id: 'Failure' });

/** `/failures`: the failure log (protocol, section 6). */
export function failureRoutes(): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/failures',
      summary: 'List the failure log, newest first',
      tag: 'Deliveries',
      role: 'viewer',
      scope: 'node',
      query: z.strictObject({
        ...pageFields,
        kind: kind.optional(),
        eventId: uuid.optional(),
        listenerId: uuid.optional(),
        nodeCode: z.string().optional(),
        from: givenTime.optional(),
        to: givenTime.optional(),
      }),
      status: 200,
      answer: pageOf(failure),
      async handle({ query, reach }) {
        const { page, filter } = splitQuery(query);
        const { items, nextCursor } = await reach.journal.listFailures(filter, page);
        const nameOf = reach.journal.listenerNames();
        return { items: items.map((one) => failureView(one, nameOf)), nextCursor };
      },
    }),
  ];
}

function failureView(one: FailureRecord, nameOf: ListenerNames): z.infer<typeof failure> {
  const listenerName = one.listenerId === null ? null : nameOf(one.listenerId);
  return { ...one, listenerName, failedAt: isoTime(one.failedAt) };
}
