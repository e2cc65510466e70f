import { z } from 'zod';
import { OWNER_ALL, type EventType } from '../../core/model.js';
import { CODE_LENGTH, NAME_LENGTH, NOTE_LENGTH } from '../../core/registry/registry-limits.js';
import type { RouteRules } from './dependencies.js';
import { isoTime, jsonObject, text, time, uuid } from './fields.js';
import { pageFields, pageInMemory, pageOf, splitQuery } from './paging.js';
import { defineRoute, type Route } from './route.js';

const codes = { sourceId: text(CODE_LENGTH), eventTypeCode: text(CODE_LENGTH) };
const fields = {
  sourceName: text(NAME_LENGTH).nullable(),
  eventTypeName: text(NAME_LENGTH).nullable(),
  owner: text(CODE_LENGTH).meta({ description: `code of the node that may send it, or ${OWNER_ALL}` }),
  note: text(NOTE_LENGTH, 0).nullable(),
  schema: jsonObject.nullable().meta({ description: 'JSON Schema that `userObject` must satisfy' }),
};

const changes = z.strictObject(fields).partial();
const newEventType = changes.extend(codes).meta({ id: 'NewEventType' });
const eventTypeChanges = changes.meta({ id: 'EventTypeChanges' });
const eventType = z
  .object({ id: uuid, ...codes, ...fields, version: z.int(), lastTime: time })
  .meta({ id: 'EventType' });
const params = z.strictObject({ id: uuid });

const FIXED = {
  sourceId: 'cannot be changed; register another event type',
  eventTypeCode: 'cannot be changed; register another event type',
};

/** `/event-types` (protocol, section 6). */
export function eventTypeRoutes({ admin: rules }: RouteRules): Route[] {
  const tag = 'Event types';
  return [
    defineRoute({
      method: 'get',
      path: '/event-types',
      summary: 'List event types',
      tag,
      role: 'viewer',
      scope: 'node',
      query: z.strictObject({
        ...pageFields,
        sourceId: z.string().optional(),
        eventTypeCode: z.string().optional(),
        owner: z.string().optional(),
      }),
      status: 200,
      answer: pageOf(eventType),
      async handle({ query, reach }) {
        const { page, filter } = splitQuery(query);
        const wanted = Object.entries(filter) as [keyof typeof filter, string][];
        const eventTypes = await reach.registry.eventTypes();
        const matching = eventTypes.filter((type) => wanted.every(([name, value]) => type[name] === value));
        const { items, nextCursor } = pageInMemory(matching, (type) => type.id, page);
        return { items: items.map(eventTypeView), nextCursor };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/event-types',
      summary: 'Register an event type',
      tag,
      role: 'admin',
      scope: 'node',
      body: newEventType,
      rulesBroken: (given) => rules.eventTypes.rulesBroken(given),
      status: 201,
      answer: eventType,
      errors: ['CONFLICT'],
      async handle({ body, reach }) {
        return eventTypeView(await reach.registry.createEventType(body));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/event-types/{id}',
      summary: 'Read an event type',
      tag,
      role: 'viewer',
      scope: 'node',
      params,
      status: 200,
      answer: eventType,
      versioned: true,
      errors: ['NOT_FOUND'],
      async handle({ params: { id }, reach }) {
        return eventTypeView(await reach.registry.eventType(id));
      },
    }),
    defineRoute({
      method: 'patch',
      path: '/event-types/{id}',
      summary: 'Change an event type',
      description: 'Fields that are left out stay as they are. The built-in event type cannot be changed.',
      tag,
      role: 'admin',
      scope: 'node',
      params,
      body: eventTypeChanges,
      rulesBroken: (given) => rules.eventTypes.rulesBroken(given),
      fixedFields: FIXED,
      status: 200,
      answer: eventType,
      versioned: true,
      errors: ['NOT_FOUND', 'CONFLICT'],
      async handle({ params: { id }, body, expectedVersion, reach }) {
        return eventTypeView(await reach.registry.updateEventType({ id, expectedVersion }, body));
      },
    }),
    defineRoute({
      method: 'delete',
      path: '/event-types/{id}',
      summary: 'Delete an event type',
      description: 'Refused with the list `usedBy` while it has listeners.',
      tag,
      role: 'admin',
      scope: 'node',
      params,
      status: 204,
      versioned: true,
      errors: ['NOT_FOUND', 'IN_USE', 'CONFLICT'],
      async handle({ params: { id }, expectedVersion, reach }) {
        await reach.registry.deleteEventType({ id, expectedVersion });
      },
    }),
  ];
}

function eventTypeView(type: EventType): z.infer<typeof eventType> {
  return { ...type, lastTime: isoTime(type.lastTime) };
}
