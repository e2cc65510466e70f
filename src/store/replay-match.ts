import type { EntityManager } from 'typeorm';
import type { DeliveryState, EventState, OwedListener } from '../core/model.js';
import type { MatchedEvent, PageRequest, ReplayFilter } from '../core/ports.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import { deliveryIndices, eventIndices, forceIndices } from './list-indices.js';
import { placeholders, rowsOf, type SqlValue } from './sql.js';

/** One query of a match: each state is asked for itself, because only then an index gives the rows in our order. */
interface Part {
  from: string;
  /** Where time of acceptance and id stand for this part. */
  key: { at: string; id: string };
  where: string[];
  values: SqlValue[];
}

interface MatchedRow {
  event_id: Buffer;
  event_type_id: Buffer;
  tenant_code: string | null;
  accepted_at: number;
}

interface Listed extends MatchedRow {
  eventId: string;
}

/**
 * The events after the page's cursor that a replay's filter matches, by time of acceptance and id, at most `limit`;
 * none only at the end. Without `states` every recorded event matches but those that wait for their release.
 */
export async function matchEvents(
  manager: EntityManager,
  filter: ReplayFilter,
  page: PageRequest,
): Promise<MatchedEvent[]> {
  const { states } = filter;
  if (states === undefined) {
    const all = eventPart(manager, filter, { where: ['e.release_at IS NULL'], values: [] });
    const rows = await rowsOfPart(manager, all, { filter, page });
    return rows.map((row) => matched(row, []));
  }
  const deliveryStates = states.filter((state) => state !== 'no-listener');
  const parts = deliveryStates.map((state) => deliveryPart(manager, state, filter));
  if (states.includes('no-listener')) {
    const state = 'no-listener';
    parts.push(eventPart(manager, { ...filter, state }, { where: ['e.state = ?'], values: [state] }));
  }
  const rows: Listed[] = [];
  for (const part of parts) rows.push(...(await rowsOfPart(manager, part, { filter, page })));
  // Each part gave its first rows, so the first of all of them are complete; rows of one event stand together.
  const first = rows.sort(byKey).slice(0, page.limit);
  const events = [...new Map(first.map((row) => [row.eventId, row])).values()];
  const deliveries = await deliveriesOf(manager, events, { filter, states: deliveryStates });
  return events.map((row) => matched(row, deliveries.get(row.eventId) ?? []));
}

function eventPart(
  manager: EntityManager,
  { sourceId, eventType, eventIds, state }: Omit<ReplayFilter, 'states'> & { state?: EventState },
  matching: Pick<Part, 'where' | 'values'>,
): Part {
  const force = eventIds === undefined ? forceIndices(manager, eventIndices({ sourceId, eventType, state })) : '';
  return { from: `pub_event e${force}`, key: { at: 'e.accepted_at', id: 'e.event_id' }, ...matching };
}

/** What narrows the events may be rarer than the state, so then the database chooses where to begin. */
function deliveryPart(manager: EntityManager, state: DeliveryState, filter: ReplayFilter): Part {
  const narrowed = narrow(filter);
  const { nodeCode, listenerId, sourceId, eventType, eventIds } = filter;
  const isOfDeliveries = sourceId === undefined && eventType === undefined && eventIds === undefined;
  const force = isOfDeliveries ? forceIndices(manager, deliveryIndices({ nodeCode, listenerId, state })) : '';
  return {
    from: `pub_event_delivery d${force} JOIN pub_event e ON e.event_id = d.event_id`,
    key: { at: 'd.created_at', id: 'd.event_id' },
    where: ['d.state = ?', ...narrowed.where],
    values: [state, ...narrowed.values],
  };
}

/** The conditions on a delivery. */
function narrow({ nodeCode, listenerId }: ReplayFilter): { where: string[]; values: SqlValue[] } {
  const where: string[] = [];
  const values: SqlValue[] = [];
  if (nodeCode !== undefined) {
    where.push('d.node_code = ?');
    values.push(nodeCode);
  }
  if (listenerId !== undefined) {
    where.push('d.listener_id = ?');
    values.push(uuidToBytes(listenerId));
  }
  return { where, values };
}

async function rowsOfPart(
  manager: EntityManager,
  part: Part,
  { filter, page }: { filter: ReplayFilter; page: PageRequest },
): Promise<Listed[]> {
  const { at, id } = part.key;
  const where = [...part.where];
  const values = [...part.values];
  const add = (condition: string, ...added: SqlValue[]): void => {
    where.push(condition);
    values.push(...added);
  };
  if (filter.sourceId !== undefined) add('e.sourceid = ?', filter.sourceId);
  if (filter.eventType !== undefined) add('e.eventtype = ?', filter.eventType);
  if (filter.from !== undefined) add(`${at} >= ?`, filter.from);
  if (filter.to !== undefined) add(`${at} < ?`, filter.to);
  if (filter.eventIds !== undefined) {
    if (filter.eventIds.length === 0) return [];
    add(`${id} IN (${placeholders(filter.eventIds.length)})`, ...filter.eventIds.map(uuidToBytes));
  }
  if (page.cursor !== null) {
    const after = readCursor(page.cursor);
    add(`${at} >= ? AND (${at} > ? OR ${id} > ?)`, after.at, after.at, uuidToBytes(after.eventId));
  }
  const sql = `SELECT ${id} AS event_id, ${at} AS accepted_at, e.event_type_id, e.tenant_code FROM ${part.from}
    WHERE ${where.join(' AND ')} ORDER BY ${at}, ${id} LIMIT ?`;
  const rows = await rowsOf<MatchedRow>(manager, sql, [...values, page.limit]);
  return rows.map((row) => ({ ...row, eventId: uuidFromBytes(row.event_id) }));
}

async function deliveriesOf(
  manager: EntityManager,
  events: Listed[],
  { filter, states }: { filter: ReplayFilter; states: DeliveryState[] },
): Promise<Map<string, OwedListener[]>> {
  const deliveries = new Map<string, OwedListener[]>();
  if (events.length === 0 || states.length === 0) return deliveries;
  const narrowed = narrow(filter);
  const where = [
    `d.event_id IN (${placeholders(events.length)})`,
    `d.state IN (${placeholders(states.length)})`,
    ...narrowed.where,
  ];
  const rows = await rowsOf<{ event_id: Buffer; listener_id: Buffer; node_code: string; oper_index: number }>(
    manager,
    `SELECT d.event_id, d.listener_id, d.node_code, d.oper_index FROM pub_event_delivery d
      WHERE ${where.join(' AND ')}`,
    [...events.map((event) => event.event_id), ...states, ...narrowed.values],
  );
  for (const row of rows) {
    const eventId = uuidFromBytes(row.event_id);
    const listener = { listenerId: uuidFromBytes(row.listener_id), nodeCode: row.node_code, operIndex: row.oper_index };
    const known = deliveries.get(eventId);
    if (known === undefined) deliveries.set(eventId, [listener]);
    else known.push(listener);
  }
  return deliveries;
}

function matched(row: Listed, deliveries: OwedListener[]): MatchedEvent {
  return {
    cursor: `${row.accepted_at}:${row.eventId}`,
    eventId: row.eventId,
    eventTypeId: uuidFromBytes(row.event_type_id),
    tenantCode: row.tenant_code,
    deliveries,
  };
}

function readCursor(cursor: string): { at: number; eventId: string } {
  const [at = '', eventId = ''] = cursor.split(':');
  return { at: Number(at), eventId };
}

function byKey(a: Listed, b: Listed): number {
  return a.accepted_at - b.accepted_at || Buffer.compare(a.event_id, b.event_id);
}
