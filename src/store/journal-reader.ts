import type { EntityManager } from 'typeorm';
import { ownAttemptOf } from '../core/recording/delivery-state.js';
import { invalidField } from '../core/errors.js';
import { DELIVERY_STATES, type Delivery } from '../core/model.js';
import type {
  AttemptRecord,
  DeliveryFilter,
  EventDetail,
  EventFilter,
  EventSummary,
  FailureFilter,
  FailureRecord,
  JournalReader,
  Page,
  PageRequest,
  StatsInterval,
  StatsRequest,
} from '../core/ports.js';
import { isUuid } from '../core/ids.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { newestFirst, newestFirstOfEach, type ListQuery } from './journal-lists.js';
import { eventsConcerning } from './node-events.js';
import {
  ATTEMPT_COLUMNS,
  attemptOf,
  DELIVERY_COLUMNS,
  deliveryOf,
  deliveryRecordOf,
  EVENT_COLUMNS,
  FAILURE_COLUMNS,
  failureOf,
  type RawAttempt,
  type RawDelivery,
  type RawEvent,
  type RawFailure,
} from './journal-rows.js';
import { deliveryIndices, eventIndices, failureIndices, forceIndices } from './list-indices.js';
import { pageOf, positionOf } from './page-cursor.js';
import { rowsOf } from './sql.js';

export interface JournalReaderDeps {
  database: Database;
}

type RawSummary = Omit<RawEvent, 'user_object' | 'traceparent'>;

const SUMMARY_COLUMNS = EVENT_COLUMNS.filter((column) => column !== 'user_object' && column !== 'traceparent');
const MOST_INTERVALS = 10_000;
const NO_ITEMS: Page<never> = { items: [], nextCursor: null };

/** Reads the journal's tables. Lists are newest first and page by key. */
export class SqlJournalReader implements JournalReader {
  readonly #database: Database;

  constructor(deps: JournalReaderDeps) {
    this.#database = deps.database;
  }

  async listEvents(filter: EventFilter, page: PageRequest): Promise<Page<EventSummary>> {
    const list: Omit<ListQuery, 'force'> = {
      table: 'pub_event',
      columns: SUMMARY_COLUMNS,
      time: 'accepted_at',
      ids: ['event_id'],
      equal: {
        sourceid: filter.sourceId,
        eventtype: filter.eventType,
        tenant_code: filter.tenantCode,
        app_id: filter.appId,
        state: filter.state,
      },
      from: filter.from,
      to: filter.to,
      after: positionOf(page.cursor, 1),
      limit: page.limit + 1,
    };
    const { concerning } = filter;
    const rows = await this.#database.run((manager) => {
      const { sql, parameters } =
        concerning === undefined
          ? newestFirst({ ...list, force: forceIndices(manager, eventIndices(filter)) })
          : eventsConcerning(manager, list, { nodeCode: concerning, states: DELIVERY_STATES });
      return rowsOf<RawSummary>(manager, sql, parameters);
    });
    return pageOf(rows, page, {
      item: summaryOf,
      position: (row) => ({ time: row.accepted_at, ids: [row.event_id] }),
    });
  }

  findEvent(eventId: string): Promise<EventDetail | null> {
    if (!isUuid(eventId)) return Promise.resolve(null);
    const id = uuidToBytes(eventId);
    return this.#database.snapshot(async (manager) => {
      const [row] = await rowsOf<RawEvent>(
        manager,
        `SELECT ${EVENT_COLUMNS.join(', ')} FROM pub_event WHERE event_id = ?`,
        [id],
      );
      if (row === undefined) return null;
      const deliveries = await rowsOf<RawDelivery>(
        manager,
        `SELECT ${DELIVERY_COLUMNS.join(', ')} FROM pub_event_delivery WHERE event_id = ?` +
          ' ORDER BY node_code, oper_index, listener_id',
        [id],
      );
      return {
        ...summaryOf(row),
        userObject: row.user_object,
        traceparent: row.traceparent,
        deliveries: deliveries.map(deliveryOf),
      };
    });
  }

  async listDeliveries(filter: DeliveryFilter, page: PageRequest): Promise<Page<Delivery>> {
    const { eventId, listenerId } = filter;
    if (isNoUuid(eventId) || isNoUuid(listenerId)) return NO_ITEMS;
    const list: Omit<ListQuery, 'force'> = {
      table: 'pub_event_delivery',
      columns: DELIVERY_COLUMNS,
      time: 'created_at',
      ids: ['event_id', 'listener_id'],
      equal: {
        event_id: eventId === undefined ? undefined : uuidToBytes(eventId),
        listener_id: listenerId === undefined ? undefined : uuidToBytes(listenerId),
        node_code: filter.nodeCode,
        state: filter.state,
      },
      from: filter.from,
      to: filter.to,
      after: positionOf(page.cursor, 2),
      limit: page.limit + 1,
    };
    const hasIndex = filter.state !== undefined || eventId !== undefined || listenerId !== undefined;
    const rows = await this.#database.run(async (manager) => {
      if (await isListenerOfAnother(manager, filter)) return [];
      const indices = deliveryIndices(hasIndex ? filter : { ...filter, state: 'pending' });
      const force = forceIndices(manager, indices);
      const { sql, parameters } = hasIndex
        ? newestFirst({ ...list, force })
        : newestFirstOfEach({ ...list, force }, 'state', DELIVERY_STATES);
      return rowsOf<RawDelivery>(manager, sql, parameters);
    });
    return pageOf(rows, page, {
      item: deliveryOf,
      position: (row) => ({ time: row.created_at, ids: [row.event_id, row.listener_id] }),
    });
  }

  findDelivery(eventId: string, listenerId: string): Promise<(Delivery & { attemptRecords: AttemptRecord[] }) | null> {
    if (!isUuid(eventId) || !isUuid(listenerId)) return Promise.resolve(null);
    const key = [uuidToBytes(eventId), uuidToBytes(listenerId)];
    return this.#database.snapshot(async (manager) => {
      const where = 'WHERE event_id = ? AND listener_id = ?';
      const [row] = await rowsOf<RawDelivery>(
        manager,
        `SELECT ${DELIVERY_COLUMNS.join(', ')} FROM pub_event_delivery ${where}`,
        key,
      );
      if (row === undefined) return null;
      const attempts = await rowsOf<RawAttempt>(
        manager,
        `SELECT ${ATTEMPT_COLUMNS.join(', ')} FROM pub_event_attempt ${where}`,
        key,
      );
      return { ...deliveryOf(row), attemptRecords: attemptsOf(row, attempts) };
    });
  }

  async listFailures(filter: FailureFilter, page: PageRequest): Promise<Page<FailureRecord>> {
    const { eventId, listenerId } = filter;
    if (isNoUuid(eventId) || isNoUuid(listenerId)) return NO_ITEMS;
    const list: Omit<ListQuery, 'force'> = {
      table: 'pub_event_failure',
      columns: FAILURE_COLUMNS,
      time: 'failed_at',
      ids: ['id'],
      equal: {
        kind: filter.kind,
        event_id: eventId === undefined ? undefined : uuidToBytes(eventId),
        listener_id: listenerId === undefined ? undefined : uuidToBytes(listenerId),
        node_code: filter.nodeCode,
      },
      from: filter.from,
      to: filter.to,
      after: positionOf(page.cursor, 1),
      limit: page.limit + 1,
    };
    const rows = await this.#database.run(async (manager) => {
      if (await isListenerOfAnother(manager, filter)) return [];
      const force = forceIndices(manager, failureIndices(filter));
      const { sql, parameters } = newestFirst({ ...list, force });
      return rowsOf<RawFailure>(manager, sql, parameters);
    });
    return pageOf(rows, page, { item: failureOf, position: (row) => ({ time: row.failed_at, ids: [row.id] }) });
  }

  async stats({ from, to, intervalMs, nodeCode }: StatsRequest): Promise<StatsInterval[]> {
    const count = Math.ceil((to - from) / intervalMs);
    if (!(intervalMs > 0) || count > MOST_INTERVALS) {
      throw invalidField(
        'intervalMs',
        `expected an interval that fits at most ${MOST_INTERVALS} times between from and to`,
      );
    }
    const intervals = Array.from({ length: Math.max(0, count) }, (_, index) => {
      const start = from + index * intervalMs;
      return { from: start, to: Math.min(start + intervalMs, to), accepted: 0, delivered: 0, retrying: 0, failed: 0 };
    });
    // Both count along an index alone.
    const offset = (column: string) => `${column} - ? - (${column} - ?) % ?`;
    const events =
      `SELECT ${offset('accepted_at')} AS start, COUNT(*) AS n FROM pub_event` +
      ` WHERE ${nodeCode === null ? '' : 'app_id = ? AND '}accepted_at >= ? AND accepted_at < ? GROUP BY start`;
    const deliveries =
      `SELECT ${offset('created_at')} AS start, state, COUNT(*) AS n FROM pub_event_delivery` +
      ` WHERE state IN ('succeeded', 'retrying', 'failed')${nodeCode === null ? '' : ' AND node_code = ?'} AND created_at >= ? AND created_at < ? GROUP BY start, state`;
    const parameters = [from, from, intervalMs, ...(nodeCode === null ? [] : [nodeCode]), from, to];
    await this.#database.run(async (manager) => {
      for (const { start, n } of await rowsOf<{ start: number; n: number }>(manager, events, parameters)) {
        const interval = intervals[start / intervalMs];
        if (interval !== undefined) interval.accepted = n;
      }
      const rows = await rowsOf<{ start: number; state: string; n: number }>(manager, deliveries, parameters);
      for (const { start, state, n } of rows) {
        const interval = intervals[start / intervalMs];
        if (interval !== undefined) interval[COUNTED_AS[state] ?? 'failed'] = n;
      }
    });
    return intervals;
  }

  async oldestUnsettled(nodeCode?: string): Promise<{ nodeCode: string; acceptedAt: number; count: number }[]> {
    const rows = await this.#database.run((manager) =>
      rowsOf<{ node_code: string; oldest: number; n: number }>(
        manager,
        'SELECT node_code, MIN(created_at) AS oldest, COUNT(*) AS n FROM pub_event_delivery' +
          ` WHERE state IN ('pending', 'retrying')${nodeCode === undefined ? '' : ' AND node_code = ?'}` +
          ' GROUP BY node_code ORDER BY node_code',
        nodeCode === undefined ? [] : [nodeCode],
      ),
    );
    return rows.map((row) => ({ nodeCode: row.node_code, acceptedAt: row.oldest, count: row.n }));
  }
}

const COUNTED_AS: Record<string, 'delivered' | 'retrying' | 'failed'> = {
  succeeded: 'delivered',
  retrying: 'retrying',
  failed: 'failed',
};

function summaryOf(row: RawSummary): EventSummary {
  return {
    eventId: uuidFromBytes(row.event_id),
    appId: row.app_id,
    eventTypeId: uuidFromBytes(row.event_type_id),
    sourceId: row.sourceid,
    eventType: row.eventtype,
    tenantCode: row.tenant_code,
    senderUuid: row.sender_uuid,
    state: row.state,
    acceptedAt: row.accepted_at,
    deliverAt: row.deliver_at,
    registryVersion: row.registry_version,
  };
}

/** In the order they were made, with the first success that lives in the delivery's own row. */
function attemptsOf(row: RawDelivery, attempts: RawAttempt[]): AttemptRecord[] {
  const records = attempts.map(attemptOf);
  const own = ownAttemptOf(deliveryRecordOf(row));
  if (own !== null && !records.some((record) => record.outcomeId === own.outcomeId)) {
    const { eventId: _eventId, listenerId: _listenerId, ...record } = own;
    records.push(record);
  }
  return records.sort((a, b) => a.attempt - b.attempt || a.startedAt - b.startedAt);
}

/** A listener never changes its node, so what it was ever owed tells it; a list of both would read all of the listener's. */
async function isListenerOfAnother(
  manager: EntityManager,
  { listenerId, nodeCode }: Pick<DeliveryFilter, 'listenerId' | 'nodeCode'>,
): Promise<boolean> {
  if (listenerId === undefined || nodeCode === undefined) return false;
  const sql = 'SELECT node_code FROM pub_event_delivery WHERE listener_id = ? LIMIT 1';
  const [row] = await rowsOf<{ node_code: string }>(manager, sql, [uuidToBytes(listenerId)]);
  return row !== undefined && row.node_code !== nodeCode;
}

function isNoUuid(id: string | undefined): boolean {
  return id !== undefined && !isUuid(id);
}
