import { eventStateOf, mergeOutcome, mergeOwed, type DeliveryRecord } from '../../src/core/recording/delivery-state.js';
import type { Delivery, Event, Listener, Outcome } from '../../src/core/model.js';
import { uuidToBytes } from '../../src/store/columns.js';
import type { Database } from '../../src/store/database.js';
import {
  DELIVERY_COLUMNS,
  deliveryRecordOf,
  deliveryValues,
  EVENT_COLUMNS,
  eventValues,
  type RawDelivery,
} from '../../src/store/journal-rows.js';
import { insertRows, rowsOf } from '../../src/store/sql.js';

/** Records an event that `listeners` are owed, and what came of it so far, as the journal would. */
export async function seedEvent(
  database: Database,
  event: Event,
  recorded: { listeners: Listener[]; outcomes?: Outcome[]; waits?: true },
): Promise<void> {
  const deliveries = recorded.listeners.map(({ id, nodeCode, operIndex }): DeliveryRecord => {
    let delivery = mergeOwed(null, { listenerId: id, nodeCode, operIndex }, event);
    for (const outcome of recorded.outcomes ?? []) {
      if (outcome.listenerId === id) delivery = mergeOutcome(delivery, outcome).delivery;
    }
    return delivery;
  });
  const state = eventStateOf(
    deliveries.map((delivery) => delivery.state),
    { scheduled: recorded.waits === true },
  );
  await database.transaction(async (manager) => {
    const rows = [eventValues(event, state)];
    await insertRows(manager, { table: 'pub_event', columns: EVENT_COLUMNS, rows, onDuplicate: 'error' });
    await insertRows(manager, {
      table: 'pub_event_delivery',
      columns: DELIVERY_COLUMNS,
      rows: deliveries.map(deliveryValues),
      onDuplicate: 'error',
    });
  });
}

/** The deliveries of an event as they stand, by listener id. */
export async function deliveriesOf(database: Database, eventId: string): Promise<Map<string, Delivery>> {
  const sql = `SELECT ${DELIVERY_COLUMNS.join(', ')} FROM pub_event_delivery WHERE event_id = ?`;
  const rows = await database.run((manager) => rowsOf<RawDelivery>(manager, sql, [uuidToBytes(eventId)]));
  return new Map(rows.map(deliveryRecordOf).map((delivery) => [delivery.listenerId, delivery]));
}

/** The state of an event, null when it is not recorded. */
export async function eventStateIn(database: Database, eventId: string): Promise<string | null> {
  const sql = 'SELECT state FROM pub_event WHERE event_id = ?';
  const rows = await database.run((manager) => rowsOf<{ state: string }>(manager, sql, [uuidToBytes(eventId)]));
  return rows[0]?.state ?? null;
}

/** Rows of a table. */
export async function countRows(database: Database, table: string): Promise<number> {
  const rows = await database.run((manager) => rowsOf<{ n: number }>(manager, `SELECT COUNT(*) AS n FROM ${table}`));
  return Number(rows[0]?.n);
}
