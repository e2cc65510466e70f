import { z } from 'zod';
import { kindOf } from '../../core/registry/listener-kind.js';
import type { RouteRules } from './dependencies.js';
import { givenFlag, uuid } from './fields.js';
import { FIXED_LISTENER_FIELDS, listener, listenerChanges, listenerView, newListener } from './listener-schemas.js';
import { pageFields, pageInMemory, pageOf, splitQuery } from './paging.js';
import { defineRoute, type Route } from './route.js';

const params = z.strictObject({ id: uuid });
const query = z.strictObject({
  ...pageFields,
  nodeCode: z.string().optional(),
  eventTypeId: uuid.optional(),
  kind: z.enum(['url', 'plugin']).optional(),
  enabled: givenFlag.optional(),
});

/** `/listeners` (protocol, section 6). */
export function listenerRoutes({ admin: rules }: RouteRules): Route[] {
  const tag = 'Listeners';
  return [
    defineRoute({
      method: 'get',
      path: '/listeners',
      summary: 'List listeners',
      tag,
      role: 'viewer',
      scope: 'node',
      query,
      status: 200,
      answer: pageOf(listener),
      async handle(input) {
        const { page, filter } = splitQuery(input.query);
        const wanted = Object.entries(filter) as [keyof typeof filter, string | boolean][];
        const listeners = await input.reach.registry.listeners();
        const matching = listeners.filter((one) => {
          const shown = { ...one, kind: kindOf(one) };
          return wanted.every(([name, value]) => shown[name] === value);
        });
        const { items, nextCursor } = pageInMemory(matching, (one) => one.id, page);
        return { items: items.map(listenerView), nextCursor };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/listeners',
      summary: 'Register a listener',
      description: '`operIndex` is the next free one when left out. Every event accepted from then on is owed to it.',
      tag,
      role: 'admin',
      scope: 'node',
      body: newListener,
      rulesBroken: (given) => rules.listeners.rulesBroken(given),
      status: 201,
      answer: listener,
      errors: ['CONFLICT', 'NOT_IMPLEMENTED'],
      async handle({ body, reach }) {
        return listenerView(await reach.registry.createListener(body));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/listeners/{id}',
      summary: 'Read a listener',
      tag,
      role: 'viewer',
      scope: 'node',
      params,
      status: 200,
      answer: listener,
      versioned: true,
      errors: ['NOT_FOUND'],
      async handle({ params: { id }, reach }) {
        return listenerView(await reach.registry.listener(id));
      },
    }),
    defineRoute({
      method: 'patch',
      path: '/listeners/{id}',
      summary: 'Change a listener',
      description:
        'Fields that are left out stay as they are; `headers` and `retry` are replaced as a whole; null sets back to the ' +
        'default, or clears.',
      tag,
      role: 'admin',
      scope: 'node',
      params,
      body: listenerChanges,
      rulesBroken: (given) => rules.listeners.changeRulesBroken(given),
      fixedFields: FIXED_LISTENER_FIELDS,
      status: 200,
      answer: listener,
      versioned: true,
      errors: ['NOT_FOUND', 'CONFLICT', 'NOT_IMPLEMENTED'],
      async handle({ params: { id }, body, expectedVersion, reach }) {
        return listenerView(await reach.registry.updateListener({ id, expectedVersion }, body));
      },
    }),
    defineRoute({
      method: 'delete',
      path: '/listeners/{id}',
      summary: 'Delete a listener',
      description: 'Its unsettled deliveries are cancelled.',
      tag,
      role: 'admin',
      scope: 'node',
      params,
      status: 204,
      versioned: true,
      errors: ['NOT_FOUND'],
      async handle({ params: { id }, expectedVersion, reach }) {
        await reach.registry.deleteListener({ id, expectedVersion });
      },
    }),
  ];
}
