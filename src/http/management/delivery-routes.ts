import { z } from 'zod';
import { EventCenterError } from '../../core/errors.js';
import { attempt, attemptView, delivery, deliveryState, deliveryView, listenerNames } from './delivery-schemas.js';
import type { ManagementDeps } from './dependencies.js';
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
export function deliveryRoutes({ journal, registry, deliveries }: ManagementDeps): Route[] {
  const tag = 'Deliveries';
  return [
    defineRoute({
      method: 'get',
      path: '/deliveries',
      summary: 'List deliveries, newest events first',
      tag,
      role: 'viewer',
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
      async handle({ query }) {
        const { page, filter } = splitQuery(query);
        const { items, nextCursor } = await journal.listDeliveries(filter, page);
        const nameOf = listenerNames(registry.current());
        return { items: items.map((one) => deliveryView(one, nameOf)), nextCursor };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/deliveries/{eventId}/{listenerId}',
      summary: 'Read a delivery with its attempts',
      tag,
      role: 'viewer',
      params,
      status: 200,
      answer: deliveryDetail,
      errors: ['NOT_FOUND'],
      async handle({ params: { eventId, listenerId } }) {
        const found = await journal.findDelivery(eventId, listenerId);
        if (found === null) {
          throw new EventCenterError(
            'NOT_FOUND',
            `there is no recorded delivery of event ${eventId} to listener ${listenerId}`,
          );
        }
        const { attempts: attemptCount, ...view } = deliveryView(found, listenerNames(registry.current()));
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
      params,
      status: 202,
      answer: begun,
      errors: ['NOT_FOUND', 'NOT_RETRYABLE'],
      async handle({ params: { eventId, listenerId }, actor }) {
        await deliveries.retry(actor, eventId, listenerId);
        return { eventId, listenerId };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/deliveries/{eventId}/{listenerId}/cancel',
      summary: 'Cancel an unsettled delivery',
      tag,
      role: 'operator',
      params,
      status: 202,
      answer: begun,
      errors: ['NOT_FOUND', 'CONFLICT'],
      async handle({ params: { eventId, listenerId }, actor }) {
        await deliveries.cancel(actor, eventId, listenerId);
        return { eventId, listenerId };
      },
    }),
  ];
}
