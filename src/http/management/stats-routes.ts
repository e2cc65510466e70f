import { z } from 'zod';
import { invalidField } from '../../core/errors.js';
import type { NodeBacklog } from '../../core/access/journal-reach.js';
import type { RouteRules } from './dependencies.js';
import { givenTime, givenWhole, isoTime, isoTimeOrNull, time } from './fields.js';
import { defineRoute, type Route } from './route.js';

const HOUR_MS = 3_600_000;
const DEFAULT_INTERVAL_MS = 300_000;
const INTERVAL_MS = { min: 1_000, max: 30 * 24 * HOUR_MS };
const MAX_INTERVALS = 1_000;

const interval = z
  .object({ from: time, to: time, accepted: z.int(), delivered: z.int(), retrying: z.int(), failed: z.int() })
  .meta({ id: 'StatsInterval' });

const nodeStats = z
  .object({
    nodeCode: z.string(),
    queues: z.array(
      z.object({
        kind: z.enum(['url', 'plugin']),
        depth: z.int().nullable().meta({ description: 'messages that wait; null when the broker does not say' }),
      }),
    ),
    unsettled: z.int().meta({ description: 'deliveries that are pending or retrying' }),
    oldestAcceptedAt: time.nullable().meta({ description: 'when the event of the oldest of them was accepted' }),
    oldestAgeMs: z.number().nullable(),
  })
  .meta({ id: 'NodeStats' });

const stats = z
  .object({ from: time, to: time, intervalMs: z.number(), intervals: z.array(interval), nodes: z.array(nodeStats) })
  .meta({ id: 'Stats' });

/** `/stats` (protocol, section 6). */
export function statsRoutes({ clock }: RouteRules): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/stats',
      summary: 'Counts per interval, and what waits per node',
      description: 'The last hour in intervals of five minutes unless asked otherwise.',
      tag: 'Events',
      role: 'viewer',
      scope: 'node',
      query: z.strictObject({
        from: givenTime.optional(),
        to: givenTime.optional(),
        intervalMs: givenWhole(INTERVAL_MS).default(DEFAULT_INTERVAL_MS),
      }),
      status: 200,
      answer: stats,
      async handle({ query: { from, to = clock.now(), intervalMs }, reach: { journal } }) {
        const start = from ?? to - HOUR_MS;
        if (start >= to) throw invalidField('from', 'expected a time before `to`');
        if ((to - start) / intervalMs > MAX_INTERVALS) {
          throw invalidField('intervalMs', `expected at most ${MAX_INTERVALS} intervals between from and to`);
        }
        const [intervals, backlogs] = await Promise.all([
          journal.stats({ from: start, to, intervalMs }),
          journal.backlogs(),
        ]);
        const now = clock.now();
        return {
          from: isoTime(start),
          to: isoTime(to),
          intervalMs,
          intervals: intervals.map((one) => ({ ...one, from: isoTime(one.from), to: isoTime(one.to) })),
          nodes: backlogs.map((one) => nodeView(one, now)),
        };
      },
    }),
  ];
}

function nodeView(
  { nodeCode, queues, unsettled, oldestAcceptedAt }: NodeBacklog,
  now: number,
): z.infer<typeof nodeStats> {
  return {
    nodeCode,
    queues,
    unsettled,
    oldestAcceptedAt: isoTimeOrNull(oldestAcceptedAt),
    oldestAgeMs: oldestAcceptedAt === null ? null : Math.max(0, now - oldestAcceptedAt),
  };
}
