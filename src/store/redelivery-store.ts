import type { EntityManager } from 'typeorm';
import { eventStateOf, mergeOwed, type DeliveryRecord } from '../core/recording/delivery-state.js';
import type { DeliveryState, Event, EventState } from '../core/model.js';
import type { ChainChange, ChainKey, DeliveryChange, RecordedChain, RedeliveryStore } from '../core/ports.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { EVENT_COLUMNS, eventOf, type RawEvent } from './journal-rows.js';
import { readDeliveries, saveDeliveries, setEventState } from './journal-write.js';
import { forUpdateClause } from './skip-locked.js';
import { execute, insertRows, rowsOf } from './sql.js';

/** Chains in the journal's tables. The event's row is the lock of its deliveries and state, as it is for the journal. */
export class SqlRedeliveryStore implements RedeliveryStore {
  readonly #database: Database;

  constructor(deps: { database: Database }) {
    this.#database = deps.database;
  }

  async nodeOf(eventId: string, listenerId: string): Promise<string | null> {
    const sql = 'SELECT node_code FROM pub_event_delivery WHERE event_id = ? AND listener_id = ?';
    const ids = [uuidToBytes(eventId), uuidToBytes(listenerId)];
    const rows = await this.#database.run((manager) => rowsOf<{ node_code: string }>(manager, sql, ids));
    return rows[0]?.node_code ?? null;
  }

  changeChain(key: ChainKey, at: number, decide: (chain: RecordedChain) => ChainChange | null): Promise<boolean> {
    return this.#database.transaction(async (manager) => {
      const recorded = await lockEvent(manager, key.eventId);
      if (recorded === null) return false;
      const chainGeneration = await lockChain(manager, key, at);
      const all = [...((await readDeliveries(manager, [key.eventId])).get(key.eventId)?.values() ?? [])];
      const deliveries = all.filter((delivery) => delivery.nodeCode === key.nodeCode).sort(byOrder);
      const generation = Math.max(chainGeneration, ...deliveries.map((delivery) => delivery.generation));
      const change = decide({ nodeCode: key.nodeCode, ...recorded, generation, deliveries });
      if (change === null) return false;
      await write(manager, { key, at, change, event: recorded.event, all });
      await change.publish?.();
      return true;
    });
  }

  async overdueNodes(before: number): Promise<string[]> {
    const next = 'SELECT node_code FROM pub_event_delivery WHERE node_code > ? ORDER BY node_code LIMIT 1';
    const overdue = 'SELECT 1 FROM pub_event_delivery WHERE node_code = ? AND expected_at < ? LIMIT 1';
    // Jumps from node to node through the index: DISTINCT would read the backlog of every node.
    return this.#database.run(async (manager) => {
      const nodeCodes: string[] = [];
      let nodeCode = '';
      for (;;) {
        const [row] = await rowsOf<{ node_code: string }>(manager, next, [nodeCode]);
        if (row === undefined) return nodeCodes;
        nodeCode = row.node_code;
        if ((await rowsOf(manager, overdue, [nodeCode, before])).length > 0) nodeCodes.push(nodeCode);
      }
    });
  }

  async overdueChains(nodeCode: string, before: number, limit: number): Promise<ChainKey[]> {
    const sql = `
      SELECT d.event_id FROM pub_event_delivery d
      WHERE d.node_code = ? AND d.expected_at < ?
        AND NOT EXISTS (
          SELECT 1 FROM pub_event_delivery s
          WHERE s.event_id = d.event_id AND s.node_code = d.node_code AND (s.updated_at >= ? OR s.expected_at >= ?))
        AND EXISTS (SELECT 1 FROM pub_event e WHERE e.event_id = d.event_id)
        AND NOT EXISTS (
          SELECT 1 FROM pub_event_lease l
          WHERE l.event_id = d.event_id AND l.node_code = d.node_code AND l.state IN ('leased', 'released', 'over'))
      ORDER BY d.expected_at, d.event_id LIMIT ?`;
    const parameters = [nodeCode, before, before, before, limit];
    const rows = await this.#database.run((manager) => rowsOf<{ event_id: Buffer }>(manager, sql, parameters));
    return [...new Set(rows.map((row) => uuidFromBytes(row.event_id)))].map((eventId) => ({ eventId, nodeCode }));
  }
}

async function lockEvent(
  manager: EntityManager,
  eventId: string,
): Promise<{ event: Event; eventState: EventState } | null> {
  const sql = `SELECT ${EVENT_COLUMNS.join(', ')} FROM pub_event WHERE event_id = ?${forUpdateClause(manager)}`;
  const [row] = await rowsOf<RawEvent>(manager, sql, [uuidToBytes(eventId)]);
  return row === undefined ? null : { event: eventOf(row), eventState: row.state };
}

/** The chain's generation. Its row is made if there is none, because only a row can be locked. */
async function lockChain(manager: EntityManager, { eventId, nodeCode }: ChainKey, at: number): Promise<number> {
  await insertRows(manager, {
    table: 'pub_event_chain',
    columns: ['event_id', 'node_code', 'generation', 'sequence', 'message_id', 'updated_at'],
    rows: [[uuidToBytes(eventId), nodeCode, 1, 0, null, at]],
    onDuplicate: 'keep',
  });
  const sql = `SELECT generation FROM pub_event_chain WHERE event_id = ? AND node_code = ?${forUpdateClause(manager)}`;
  const [row] = await rowsOf<{ generation: number }>(manager, sql, [uuidToBytes(eventId), nodeCode]);
  return row?.generation ?? 1;
}

interface Writing {
  key: ChainKey;
  at: number;
  change: ChainChange;
  event: Event;
  /** The event's deliveries as they were, of all nodes. */
  all: DeliveryRecord[];
}

async function write(manager: EntityManager, { key, at, change, event, all }: Writing): Promise<void> {
  const eventId = uuidToBytes(key.eventId);
  if (change.generation !== null) {
    const sql = `UPDATE pub_event_chain SET generation = ?, sequence = 0, message_id = NULL, updated_at = ?
      WHERE event_id = ? AND node_code = ?`;
    await execute(manager, sql, [change.generation, at, eventId, key.nodeCode]);
  }
  const states = new Map<string, DeliveryState>(all.map((delivery) => [delivery.listenerId, delivery.state]));
  const changed = change.deliveries.map((delivery) => {
    states.set(delivery.listenerId, delivery.state);
    const existing = all.find((candidate) => candidate.listenerId === delivery.listenerId);
    return changedDelivery(existing ?? mergeOwed(null, delivery, event), delivery, at);
  });
  await saveDeliveries(
    manager,
    changed.sort((a, b) => (a.listenerId < b.listenerId ? -1 : 1)),
  );
  const state = eventStateOf(states.values(), { scheduled: false });
  await setEventState(manager, [key.eventId], { state, registryVersion: event.registryVersion });
}

function changedDelivery(delivery: DeliveryRecord, change: DeliveryChange, at: number): DeliveryRecord {
  return {
    ...delivery,
    state: change.state,
    reason: change.reason,
    generation: change.generation,
    nextAttemptAt: null,
    expectedAt: change.state === 'pending' ? at : null,
    updatedAt: Math.max(at, delivery.updatedAt),
  };
}

function byOrder(a: DeliveryRecord, b: DeliveryRecord): number {
  if (a.operIndex !== b.operIndex) return a.operIndex - b.operIndex;
  return a.listenerId < b.listenerId ? -1 : 1;
}
