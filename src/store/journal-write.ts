import type { EntityManager } from 'typeorm';
import type { DeliveryRecord } from '../core/recording/delivery-state.js';
import type { EventState } from '../core/model.js';
import { raiseChains } from './chain-rows.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import { classifyFailure } from './database-errors.js';
import { NOTHING_STORED, planEvent, type EventEntries, type EventPlan, type StoredEvent } from './journal-plan.js';
import {
  ATTEMPT_COLUMNS,
  attemptValues,
  DELIVERY_COLUMNS,
  DELIVERY_KEY,
  deliveryRecordOf,
  deliveryValues,
  EVENT_COLUMNS,
  eventValues,
  FAILURE_COLUMNS,
  failureValues,
  type RawDelivery,
} from './journal-rows.js';
import { forUpdateClause } from './skip-locked.js';
import { execute, insertRows, placeholders, rowsOf, type SqlValue } from './sql.js';

/**
 * Another recorder has made the row of an event after we looked for it, so that nobody would have put the event's
 * state right. The transaction is rolled back and begun again.
 */
export class EventOvertook extends Error {
  constructor() {
    super('another recorder has recorded the event meanwhile');
    this.name = 'EventOvertook';
  }
}

type Deliveries = Map<string, Map<string, DeliveryRecord>>;

/** Ids of one IN list: MariaDB turns lists of 1000 and more into joins. */
const IDS = 500;
const DELIVERY_FIELDS = DELIVERY_COLUMNS.filter((column) => !(DELIVERY_KEY as string[]).includes(column));

/**
 * Writes the entries of a batch inside a transaction; `groups` are sorted by event id.
 *
 * Several recorders write at the same time, under READ COMMITTED, and an event and its outcomes come in any order. An
 * event's row is the lock of its deliveries and of its state:
 * 1. The rows of events of which only outcomes are in hand are locked, in the order of ids, before anything is
 *    inserted; so nobody who holds new rows waits for an older one.
 * 2. Events in hand are inserted. Nobody saw most of them, so nothing is read for them; a duplicate makes us lock the
 *    rows that are there and insert the others.
 * 3. Deliveries of rows that were there are read and merged; those of new events are taken as absent, and inserted. A
 *    duplicate means that an outcome was recorded before its event: then they are read and merged too.
 * What is left is an outcome whose event has no row in 1: it is merged without the event's lock, and who inserts the
 * event puts the state right, because it comes upon the delivery's row and waits for us there. It may have done so
 * before us; therefore, when we come upon a row of such a delivery, we look for the event again (EventOvertook).
 */
export async function writeEvents(manager: EntityManager, groups: EventEntries[], at: number): Promise<void> {
  const writing = new EventsWriting(manager, groups);
  await writing.lockKnownEvents();
  await writing.insertEvents();
  const plans = await writing.writeDeliveries();
  await writing.updateEvents(plans);
  await writeConsequences(manager, plans, at);
}

/** The deliveries of events by event and listener, locked until the commit. */
export async function readDeliveries(manager: EntityManager, eventIds: string[]): Promise<Deliveries> {
  const found: Deliveries = new Map();
  for (const ids of chunksOf(eventIds)) {
    const rows = await rowsOf<RawDelivery>(
      manager,
      `SELECT ${DELIVERY_COLUMNS.join(', ')} FROM pub_event_delivery WHERE event_id IN (${placeholders(ids.length)})` +
        ` ORDER BY event_id, listener_id${forUpdateClause(manager)}`,
      ids.map(uuidToBytes),
    );
    for (const row of rows) {
      const delivery = deliveryRecordOf(row);
      const ofEvent = found.get(delivery.eventId);
      if (ofEvent === undefined) found.set(delivery.eventId, new Map([[delivery.listenerId, delivery]]));
      else ofEvent.set(delivery.listenerId, delivery);
    }
  }
  return found;
}

/** Writes deliveries that are new, or whose rows are locked; sort them by event and listener. */
export async function saveDeliveries(manager: EntityManager, deliveries: DeliveryRecord[]): Promise<void> {
  await insertRows(manager, {
    table: 'pub_event_delivery',
    columns: DELIVERY_COLUMNS,
    rows: deliveries.map(deliveryValues),
    onDuplicate: { key: DELIVERY_KEY, replace: DELIVERY_FIELDS },
  });
}

/** The rows of events, locked until the commit. */
export async function lockEvents(manager: EntityManager, eventIds: string[]): Promise<Map<string, StoredEvent>> {
  return readEvents(manager, eventIds, forUpdateClause(manager));
}

class EventsWriting {
  readonly #manager: EntityManager;
  readonly #groups: EventEntries[];
  /** Rows that were there before us. */
  readonly #stored = new Map<string, StoredEvent>();
  /** What we write for events whose rows we inserted, if nobody recorded an outcome before. */
  readonly #inserted = new Map<string, EventPlan>();
  #deliveries: Deliveries = new Map();

  constructor(manager: EntityManager, groups: EventEntries[]) {
    this.#manager = manager;
    this.#groups = groups;
  }

  async lockKnownEvents(): Promise<void> {
    await this.#lock(this.#groups.filter(({ recorded }) => recorded === null));
  }

  async insertEvents(): Promise<void> {
    let open = this.#groups.filter(({ recorded }) => recorded !== null);
    while (open.length > 0) {
      const rows = open.map((entries) => [entries, planEvent(entries, NOTHING_STORED)] as const);
      const values = rows.flatMap(([{ recorded }, { event }]): SqlValue[][] =>
        recorded === null || event === null ? [] : [eventValues(recorded.event, event.state)],
      );
      if (await this.#tryInsert('pub_event', EVENT_COLUMNS, values)) {
        for (const [{ eventId }, plan] of rows) this.#inserted.set(eventId, plan);
        return;
      }
      const before = open.length;
      await this.#lock(open);
      open = open.filter(({ eventId }) => !this.#stored.has(eventId));
      // The row that was in our way is gone again: it was deleted or rolled back.
      if (open.length === before) throw new EventOvertook();
    }
  }

  /** Returns what was written, with the state that the events have then. */
  async writeDeliveries(): Promise<EventPlan[]> {
    const read = this.#groups.filter(({ eventId }) => !this.#inserted.has(eventId));
    this.#deliveries = await readDeliveries(this.#manager, idsOf(read));
    await this.#refuseOvertaken(read);
    let plans = this.#plan();
    if (!(await this.#tryInsertDeliveries(plans))) {
      this.#deliveries = await readDeliveries(this.#manager, idsOf(this.#groups));
      await this.#refuseOvertaken(this.#groups);
      plans = this.#plan();
      if (!(await this.#tryInsertDeliveries(plans))) throw new EventOvertook();
    }
    await saveDeliveries(
      this.#manager,
      plans.flatMap(({ changed }) => changed),
    );
    return plans;
  }

  async updateEvents(plans: EventPlan[]): Promise<void> {
    const changes = new Map<string, { after: StoredEvent; ids: string[] }>();
    this.#groups.forEach(({ eventId }, index) => {
      const after = plans[index]?.event ?? null;
      const before = this.#stored.get(eventId) ?? this.#inserted.get(eventId)?.event ?? null;
      if (after === null || before === null) return;
      if (after.state === before.state && after.registryVersion === before.registryVersion) return;
      const key = `${after.state} ${after.registryVersion}`;
      const change = changes.get(key);
      if (change === undefined) changes.set(key, { after, ids: [eventId] });
      else change.ids.push(eventId);
    });
    for (const { after, ids } of changes.values()) await setEventState(this.#manager, ids, after);
  }

  async #lock(groups: EventEntries[]): Promise<void> {
    for (const [eventId, stored] of await lockEvents(this.#manager, idsOf(groups))) this.#stored.set(eventId, stored);
  }

  /** Looks again for the events of deliveries that are there although their event was not. */
  async #refuseOvertaken(groups: EventEntries[]): Promise<void> {
    const orphans = groups.filter(
      ({ eventId }) => !this.#stored.has(eventId) && !this.#inserted.has(eventId) && this.#deliveries.has(eventId),
    );
    if (orphans.length === 0) return;
    // Not locked: whoever inserts it from now on waits for the deliveries, which we hold.
    const appeared = await readEvents(this.#manager, idsOf(orphans), '');
    if (appeared.size > 0) throw new EventOvertook();
  }

  #plan(): EventPlan[] {
    return this.#groups.map((entries) => {
      const deliveries = this.#deliveries.get(entries.eventId);
      const planned = this.#inserted.get(entries.eventId);
      if (deliveries === undefined && planned !== undefined) return planned;
      const event = this.#stored.get(entries.eventId) ?? null;
      return planEvent(entries, { event, deliveries: deliveries ?? NOTHING_STORED.deliveries });
    });
  }

  #tryInsertDeliveries(plans: EventPlan[]): Promise<boolean> {
    const added = plans.flatMap((plan) => plan.added);
    return this.#tryInsert('pub_event_delivery', DELIVERY_COLUMNS, added.map(deliveryValues));
  }

  /** False, and nothing inserted by the statement, when a row is there already. */
  async #tryInsert(table: string, columns: string[], rows: SqlValue[][]): Promise<boolean> {
    try {
      await insertRows(this.#manager, { table, columns, rows, onDuplicate: 'error' });
      return true;
    } catch (error) {
      if (classifyFailure(error) === 'duplicate') return false;
      throw error;
    }
  }
}

/** Attempts, failures and chains: rows that only ever come to be, or go forward, so nothing is read for them. */
async function writeConsequences(manager: EntityManager, plans: EventPlan[], at: number): Promise<void> {
  await insertRows(manager, {
    table: 'pub_event_attempt',
    columns: ATTEMPT_COLUMNS,
    rows: plans.flatMap(({ attempts }) => attempts.map(attemptValues)),
    onDuplicate: 'keep',
  });
  await insertRows(manager, {
    table: 'pub_event_failure',
    columns: FAILURE_COLUMNS,
    rows: plans.flatMap(({ failures }) => failures.map(failureValues)),
    onDuplicate: 'keep',
  });
  const chains = plans.flatMap((plan) => plan.chains.map((chain) => ({ ...chain, messageId: null })));
  await raiseChains(manager, chains, at);
}

/** Sets what the rows of events say of them; a row that does not wait for its release any more is not due either. */
export async function setEventState(manager: EntityManager, eventIds: string[], after: StoredEvent): Promise<void> {
  const release = after.state === 'scheduled' ? '' : ', release_at = NULL';
  for (const ids of chunksOf(eventIds)) {
    await execute(
      manager,
      `UPDATE pub_event SET state = ?, registry_version = ?${release} WHERE event_id IN (${placeholders(ids.length)})`,
      [after.state, after.registryVersion, ...ids.map(uuidToBytes)],
    );
  }
}

async function readEvents(manager: EntityManager, eventIds: string[], lock: string): Promise<Map<string, StoredEvent>> {
  const found = new Map<string, StoredEvent>();
  for (const ids of chunksOf(eventIds)) {
    const rows = await rowsOf<{ event_id: Buffer; state: EventState; registry_version: number }>(
      manager,
      `SELECT event_id, state, registry_version FROM pub_event WHERE event_id IN (${placeholders(ids.length)})` +
        ` ORDER BY event_id${lock}`,
      ids.map(uuidToBytes),
    );
    for (const row of rows) {
      found.set(uuidFromBytes(row.event_id), { state: row.state, registryVersion: row.registry_version });
    }
  }
  return found;
}

function idsOf(groups: EventEntries[]): string[] {
  return groups.map(({ eventId }) => eventId);
}

function* chunksOf(ids: string[]): Generator<string[]> {
  for (let start = 0; start < ids.length; start += IDS) yield ids.slice(start, start + IDS);
}
