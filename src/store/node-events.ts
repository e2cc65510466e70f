import type { EntityManager } from 'typeorm';
import type { DeliveryState } from '../core/model.js';
import { newestFirst, type ListQuery, type Statement } from './journal-lists.js';
import { deliveryIndices, eventIndices, forceIndices } from './list-indices.js';
import type { SqlValue } from './sql.js';

/**
 * The list of the events that a node has sent or that have a delivery to it: the first rows of its sends, and of its
 * deliveries in each state, each by an index that gives them in the order of the list. An event with several deliveries
 * comes once. A filter is looked up row by row, so one that hardly any event of the node matches reads them all.
 */
export function eventsConcerning(
  manager: EntityManager,
  list: Omit<ListQuery, 'force'>,
  { nodeCode, states }: { nodeCode: string; states: readonly DeliveryState[] },
): Statement {
  const { ids, time } = list;
  const place = [time, ...ids];
  const { app_id: appId, ...others } = list.equal;
  const sends = forceIndices(manager, eventIndices({ appId: nodeCode }));
  const sent =
    appId === undefined || appId === nodeCode
      ? [newestFirst({ ...list, force: sends, columns: place, equal: { ...others, app_id: nodeCode } })]
      : [];
  const received = states.map((state) => receivedIn(manager, list, { nodeCode, state }));
  const parts = [...sent, ...received];
  const union = parts.map(({ sql }, index) => `SELECT * FROM (${sql}) AS part${String(index)}`).join(' UNION ');
  const order = place.map((column) => `${column} DESC`).join(', ');
  const first = `SELECT * FROM (${union}) AS parts ORDER BY ${order} LIMIT ?`;
  const columns = list.columns.map((column) => `e.${column}`).join(', ');
  return {
    sql:
      `SELECT ${columns} FROM (${first}) AS places JOIN ${list.table} e ON e.event_id = places.event_id` +
      ` ORDER BY ${place.map((column) => `e.${column} DESC`).join(', ')}`,
    parameters: [...parts.flatMap(({ parameters }) => parameters), list.limit],
  };
}

/** The places of the events of which a node has a delivery in this state. */
function receivedIn(
  manager: EntityManager,
  list: Omit<ListQuery, 'force'>,
  { nodeCode, state }: { nodeCode: string; state: DeliveryState },
): Statement {
  const force = forceIndices(manager, deliveryIndices({ nodeCode, state }));
  const { equal, from, to, after } = list;
  const conditions = ['d.state = ?', 'd.node_code = ?'];
  const parameters: SqlValue[] = [state, nodeCode];
  const add = (condition: string, ...values: SqlValue[]): void => {
    conditions.push(condition);
    parameters.push(...values);
  };
  if (from !== undefined) add('d.created_at >= ?', from);
  if (to !== undefined) add('d.created_at < ?', to);
  if (after !== null) {
    add('d.created_at <= ?', after.time);
    add('(d.created_at < ? OR d.event_id < ?)', after.time, after.ids[0] ?? null);
  }
  for (const [column, value] of Object.entries(equal)) if (value !== undefined) add(`e.${column} = ?`, value);
  return {
    sql:
      'SELECT d.created_at AS accepted_at, d.event_id FROM pub_event_delivery d' +
      `${force} JOIN pub_event e ON e.event_id = d.event_id WHERE ${conditions.join(' AND ')}` +
      // Not DISTINCT, which MariaDB answers by reading all of the node's deliveries into a temporary table.
      ' GROUP BY d.created_at, d.event_id ORDER BY d.created_at DESC, d.event_id DESC LIMIT ?',
    parameters: [...parameters, list.limit],
  };
}
