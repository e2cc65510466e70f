import { z } from 'zod';
import type { Replay } from '../../core/ports.js';
import { deliveryState } from './delivery-schemas.js';
import { given, givenTime, isoTime, isoTimeOrNull, time, uuid } from './fields.js';
import { defineRoute, type Route } from './route.js';

const MAX_EVENT_IDS = 1_000;
const MAX_RATE = 100_000;

const states = z.array(z.enum([...deliveryState.options, 'no-listener'])).min(1);
const filterFields = {
  eventIds: z.array(uuid).min(1).max(MAX_EVENT_IDS),
  sourceId: z.string(),
  eventType: z.string(),
  nodeCode: z.string(),
  listenerId: uuid,
  states: states.meta({ description: 'states of deliveries, and `no-listener` for events that nobody was owed' }),
};

const filter = z
  .strictObject({ ...filterFields, from: givenTime, to: givenTime })
  .partial()
  .refine((fields) => Object.values(fields).some((value) => value !== undefined), {
    error: 'expected at least one field, so that nobody replays everything by mistake',
    // Beside an unknown field too; else zod asks only when everything else is right.
    when: ({ value }) => typeof value === 'object' && value !== null,
  })
  .meta({ id: 'NewReplayFilter' });

const newReplay = z
  .strictObject({
    filter,
    dryRun: z.boolean().default(false).meta({ description: 'only counts what would be published' }),
    ratePerSecond: z
      .int()
      .min(1)
      .max(MAX_RATE)
      .nullable()
      .default(null)
      .meta({ description: 'null is as fast as it goes' }),
  })
  .meta({ id: 'NewReplay' });

const replay = z
  .object({
    id: uuid,
    filter: z
      .object({ ...filterFields, from: time, to: time })
      .partial()
      .meta({ id: 'ReplayFilter' }),
    dryRun: z.boolean(),
    ratePerSecond: z.int().nullable(),
    state: z.enum(['pending', 'running', 'done', 'cancelled', 'failed']),
    matched: z.int(),
    done: z.int(),
    failed: z.int(),
    error: z.string().nullable(),
    createdAt: time,
    createdBy: z.string(),
    finishedAt: time.nullable(),
  })
  .meta({ id: 'Replay' });

const params = z.strictObject({ id: uuid });

/** `/replays` (protocol, sections 4 and 6). */
export function replayRoutes(): Route[] {
  const tag = 'Replays';
  return [
    defineRoute({
      method: 'post',
      path: '/replays',
      summary: 'Replay what a filter matches',
      description:
        'Goes on in the background; its progress is read by its id. A token of a node replays to that node what it was owed before.',
      tag,
      role: 'operator',
      scope: 'node',
      body: newReplay,
      status: 202,
      answer: replay,
      async handle({ body, reach }) {
        return replayView(await reach.journal.startReplay({ ...body, filter: given(body.filter) }));
      },
    }),
    defineRoute({
      method: 'get',
      path: '/replays/{id}',
      summary: 'Read the progress of a replay',
      tag,
      role: 'viewer',
      scope: 'node',
      params,
      status: 200,
      answer: replay,
      errors: ['NOT_FOUND'],
      async handle({ params: { id }, reach }) {
        return replayView(await reach.journal.replay(id));
      },
    }),
    defineRoute({
      method: 'delete',
      path: '/replays/{id}',
      summary: 'Cancel a replay',
      description: 'What was published stays published. Cancelling one that is over changes nothing.',
      tag,
      role: 'operator',
      scope: 'node',
      params,
      status: 200,
      answer: replay,
      errors: ['NOT_FOUND'],
      async handle({ params: { id }, reach }) {
        return replayView(await reach.journal.cancelReplay(id));
      },
    }),
  ];
}

function replayView(one: Replay): z.infer<typeof replay> {
  const { from, to, ...rest } = one.filter;
  const times = {
    ...(from === undefined ? {} : { from: isoTime(from) }),
    ...(to === undefined ? {} : { to: isoTime(to) }),
  };
  return {
    ...one,
    filter: { ...rest, ...times },
    createdAt: isoTime(one.createdAt),
    finishedAt: isoTimeOrNull(one.finishedAt),
  };
}
