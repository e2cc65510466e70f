import { z } from 'zod';
import { attempt, attemptView, delivery, deliveryState, deliveryView } from './delivery-schemas.js';
import { givenTime, uuid } from './fields.js';
import { pageFields, pageOf, splitQuery } from './paging.js';
import { defineRoute, type Route } from './route.js';

const params = z.strictObject({ eventId: uuid, listenerId: uuid });
const deliveryDetail = delivery
  .omit({ attempts: true })
  .extend({ attemptCount: z.int(), attempts: z.array(attempt) })
  .meta({ id: 'DeliveryDetail' });
const begun = z.object({ eventId: uuid, listenerId: uuid }).meta({ id: 'DeliveryRef' });

/** `/deliveries` (protocol, section 6). */
export function deliveryRoutes(): Route[] {
  const tag = 'Deliveries';
  return [
    defineRoute({
      method: 'get',
      path: '/deliveries',
      summary: 'List deliveries, newest events first',
      tag,
      role: 'viewer',
      scope: 'node',
      query: z.strictObject({
        ...pageFields,
        eventId: uuid.optional(),
        listenerId: uuid.optional(),
        nodeCode: z.string().optional(),
        state: deliveryState.optional(),
        from: givenTime.optional(),
        to: givenTime.optional(),
      }),
      status: 200,
      answer: pageOf(delivery),
      async handle({ query, reach }) {
        const { page, filter } = splitQuery(query);
        const { items, nextCursor } = await reach.journal.listDeliveries(filter, page);
        const nameOf = reach.journal.listenerNames();
        return { items: items.map((one) => deliveryView(one, nameOf)), nextCursor };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/deliveries/{eventId}/{listenerId}',
      summary: 'Read a delivery with its attempts',
      tag,
      role: 'viewer',
      scope: 'node',
      params,
      status: 200,
      answer: deliveryDetail,
      errors: ['NOT_FOUND'],
      async handle({ params: { eventId, listenerId }, reach }) {
        const found = await reach.journal.delivery(eventId, listenerId);
        const { attempts: attemptCount, ...view } = deliveryView(found, reach.journal.listenerNames());
        return { ...view, attemptCount, attempts: found.attemptRecords.map(attemptView) };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/deliveries/{eventId}/{listenerId}/retry',
      summary: 'Retry a delivery',
      description: 'Begins a fresh schedule; the attempts count on.',
      tag,
      role: 'operator',
      scope: 'node',
      params,
      status: 202,
      answer: begun,
      errors: ['NOT_FOUND', 'NOT_RETRYABLE'],
      async handle({ params: { eventId, listenerId }, reach }) {
        await reach.journal.retry(eventId, listenerId);
        return { eventId, listenerId };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/deliveries/{eventId}/{listenerId}/cancel',
      summary: 'Cancel an unsettled delivery',
      tag,
      role: 'operator',
      scope: 'node',
      params,
      status: 202,
      answer: begun,
      errors: ['NOT_FOUND', 'CONFLICT'],
      async handle({ params: { eventId, listenerId }, reach }) {
        await reach.journal.cancel(eventId, listenerId);
        return { eventId, listenerId };
      },
    }),
  ];
}
