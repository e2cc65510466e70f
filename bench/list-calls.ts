/** The calls of the management API that read the journal, with filters of frequent, rare and no matches. */
import { RARE_TENANT, SPAN_MS, type FilledListener } from './journal-filling.js';

export interface ListCall {
  path: string;
  query: Record<string, string>;
}

const HOUR_MS = 3_600_000;
const PAIRED = ['sourceId', 'eventType', 'tenantCode', 'appId', 'state'] as const;

/** Every filter alone, every two together, and what contradicts itself; times are given as ISO texts. */
export function listCalls(now: number, listeners: FilledListener[]): ListCall[] {
  const iso = (ago: number): string => new Date(now - ago).toISOString();
  const frequent = listeners[0] as FilledListener;
  const rare = listeners.at(-1) as FilledListener;
  const middle = SPAN_MS / 2;
  const times = [
    { from: iso(HOUR_MS), to: iso(0) },
    { from: iso(middle), to: iso(middle - HOUR_MS) },
    { to: iso(middle) },
  ];
  const paths = (path: string, queries: Record<string, string>[]): ListCall[] =>
    queries.map((query) => ({ path, query }));
  return [
    ...paths('/events', [{}, { limit: '500' }, ...times, ...eventQueries(frequent, rare, times)]),
    ...paths('/deliveries', [{}, { limit: '500' }, ...times, ...deliveryQueries(frequent, rare, times)]),
    ...paths('/failures', [{}, { limit: '500' }, ...times, ...failureQueries(frequent, rare, times)]),
    ...paths('/audit', [{}, { limit: '500' }]),
    ...paths('/stats', [{}, { from: iso(24 * HOUR_MS), to: iso(0), intervalMs: String(HOUR_MS) }]),
    ...['/nodes', '/event-types', '/listeners'].flatMap((path) => paths(path, [{}])),
    ...paths('/listeners', [{ nodeCode: frequent.nodeCode }, { eventTypeId: frequent.eventTypeId }]),
  ];
}

type Query = Record<string, string>;

function eventQueries(frequent: FilledListener, rare: FilledListener, times: Query[]): Query[] {
  const common: Record<(typeof PAIRED)[number], string> = {
    sourceId: frequent.sourceId,
    eventType: frequent.eventType,
    tenantCode: 'TENANT-0',
    appId: frequent.sourceId,
    state: 'failed',
  };
  const alone = PAIRED.map((name) => ({ [name]: common[name] }));
  const pairs = PAIRED.flatMap((a, index) => PAIRED.slice(index + 1).map((b) => ({ [a]: common[a], [b]: common[b] })));
  const states = ['no-listener', 'scheduled', 'pending', 'retrying', 'failed', 'succeeded', 'skipped'];
  return [
    ...alone,
    ...pairs,
    common,
    ...states.map((state) => ({ state })),
    ...states.map((state) => ({ state, ...times[1] })),
    { sourceId: 'NOBODY' },
    { eventType: rare.eventType },
    { tenantCode: RARE_TENANT },
    { tenantCode: RARE_TENANT, state: 'failed' },
    { tenantCode: 'TENANT-0', state: 'scheduled' },
    { tenantCode: 'TENANT-40', eventType: rare.eventType },
    { tenantCode: 'TENANT-0', eventType: rare.eventType },
    { tenantCode: RARE_TENANT, eventType: frequent.eventType },
    // No event has both: the source does not send the type.
    { sourceId: rare.sourceId, eventType: frequent.eventType },
    { appId: rare.sourceId, eventType: frequent.eventType },
    { sourceId: frequent.sourceId, appId: rare.sourceId },
    ...alone.map((query) => ({ ...query, ...times[1] })),
    { tenantCode: 'TENANT-0', state: 'failed', ...times[2] },
  ];
}

function deliveryQueries(frequent: FilledListener, rare: FilledListener, times: Query[]): Query[] {
  const { nodeCode, listenerId } = frequent;
  const states = ['pending', 'retrying', 'succeeded', 'failed', 'skipped', 'cancelled'];
  return [
    { nodeCode },
    { listenerId },
    { nodeCode: rare.nodeCode },
    { listenerId: rare.listenerId },
    { nodeCode: 'NOBODY' },
    { nodeCode, listenerId },
    { nodeCode: rare.nodeCode, listenerId },
    ...states.map((state) => ({ state })),
    ...states.map((state) => ({ state, nodeCode })),
    ...states.map((state) => ({ state, listenerId })),
    ...states.map((state) => ({ state, listenerId, nodeCode: rare.nodeCode })),
    { nodeCode, ...times[1] },
    { listenerId, ...times[1] },
    { state: 'failed', ...times[1] },
    { state: 'failed', nodeCode, ...times[2] },
  ];
}

function failureQueries(frequent: FilledListener, rare: FilledListener, times: Query[]): Query[] {
  const { nodeCode, listenerId } = frequent;
  return [
    { kind: 'delivery' },
    { kind: 'unreadable' },
    { nodeCode },
    { listenerId },
    { nodeCode: rare.nodeCode },
    { nodeCode, listenerId },
    { nodeCode: rare.nodeCode, listenerId },
    { kind: 'unreadable', nodeCode },
    { kind: 'delivery', nodeCode, ...times[2] },
  ];
}
