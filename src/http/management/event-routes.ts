import { z } from 'zod';
import type { EventSummary } from '../../core/ports.js';
import { delivery, deliveryView } from './delivery-schemas.js';
import { givenTime, isoTime, isoTimeOrNull, time, uuid } from './fields.js';
import { pageFields, pageOf, splitQuery } from './paging.js';
import { defineRoute, type Route } from './route.js';

const eventState = z.enum(['no-listener', 'scheduled', 'pending', 'retrying', 'failed', 'succeeded', 'skipped']);

const eventSummary = z
  .object({
    eventId: uuid,
    appId: z.string(),
    eventTypeId: uuid,
    sourceId: z.string(),
    eventType: z.string(),
    tenantCode: z.string().nullable(),
    senderUuid: z.string().nullable().meta({ description: 'the sender’s idempotency key' }),
    state: eventState.meta({ description: 'the worst of its deliveries' }),
    acceptedAt: time,
    deliverAt: time.nullable(),
    registryVersion: z.int().meta({ description: 'decides who is owed the event' }),
  })
  .meta({ id: 'EventSummary' });

const eventDetail = eventSummary
  .extend({
    userObject: z.string().nullable().meta({ description: 'the text as it was sent' }),
    traceparent: z.string().nullable(),
    deliveries: z.array(delivery),
  })
  .meta({ id: 'EventDetail' });

/** `/events`: the event log (protocol, section 6). */
export function eventRoutes(): Route[] {
  const tag = 'Events';
  return [
    defineRoute({
      method: 'get',
      path: '/events',
      summary: 'List events, newest first',
      tag,
      role: 'viewer',
      scope: 'node',
      query: z.strictObject({
        ...pageFields,
        sourceId: z.string().optional(),
        eventType: z.string().optional(),
        tenantCode: z.string().optional(),
        appId: z.string().optional(),
        state: eventState.optional(),
        from: givenTime.optional(),
        to: givenTime.optional(),
      }),
      status: 200,
      answer: pageOf(eventSummary),
      async handle({ query, reach }) {
        const { page, filter } = splitQuery(query);
        const { items, nextCursor } = await reach.journal.listEvents(filter, page);
        return { items: items.map(eventView), nextCursor };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/events/{id}',
      summary: 'Read an event with its deliveries',
      description: 'An event appears once the journal has recorded it, usually within a second of its acceptance.',
      tag,
      role: 'viewer',
      scope: 'node',
      params: z.strictObject({ id: uuid }),
      status: 200,
      answer: eventDetail,
      errors: ['NOT_FOUND'],
      async handle({ params: { id }, reach }) {
        const found = await reach.journal.event(id);
        const { userObject, traceparent, deliveries, ...summary } = found;
        const nameOf = reach.journal.listenerNames();
        const views = deliveries.map((one) => deliveryView(one, nameOf));
        return { ...eventView(summary), userObject, traceparent, deliveries: views };
      },
    }),
  ];
}

function eventView(event: EventSummary): z.infer<typeof eventSummary> {
  return { ...event, acceptedAt: isoTime(event.acceptedAt), deliverAt: isoTimeOrNull(event.deliverAt) };
}
