import type { DeliveryState } from '../core/model.js';
import type { Claim, ClaimRequest, ClaimStore } from '../core/ports.js';
import { raiseChains } from './chain-rows.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { rowsOf } from './sql.js';

export interface ClaimStoreDeps {
  database: Database;
}

interface ClaimRow {
  generation: number;
  sequence: number;
  message_id: string | null;
  listener_id: Buffer | null;
  delivery_state: DeliveryState | null;
}

/** The kept position, with a row for each listener that is settled in its generation (or one without). */
const KEPT =
  'SELECT c.generation, c.sequence, c.message_id, d.listener_id, d.state AS delivery_state FROM pub_event_chain c' +
  ' LEFT JOIN pub_event_delivery d ON d.event_id = c.event_id AND d.node_code = c.node_code' +
  " AND d.generation = c.generation AND d.state NOT IN ('pending', 'retrying')" +
  ' WHERE c.event_id = ? AND c.node_code = ?';

/**
 * Claims over `pub_event_chain`. Two statements without a transaction: the first keeps the position if nothing is
 * ahead of it, the second looks who holds it. Whoever comes in between has gone further, so that the loss is right.
 */
export class SqlClaimStore implements ClaimStore {
  readonly #database: Database;

  constructor(deps: ClaimStoreDeps) {
    this.#database = deps.database;
  }

  claim(request: ClaimRequest): Promise<Claim> {
    const { eventId, nodeCode, generation, sequence, messageId } = request;
    return this.#database.run(async (manager): Promise<Claim> => {
      await raiseChains(manager, [{ eventId, nodeCode, generation, sequence, messageId }], Date.now());
      const rows = await rowsOf<ClaimRow>(manager, KEPT, [uuidToBytes(eventId), nodeCode]);
      const kept = rows[0];
      if (kept === undefined) return { result: 'lost' };
      if (kept.generation > generation) return { result: 'stale' };
      if (kept.sequence !== sequence || kept.message_id !== messageId) return { result: 'lost' };
      const settled = new Map<string, DeliveryState>();
      for (const { listener_id, delivery_state } of rows) {
        if (listener_id !== null && delivery_state !== null) settled.set(uuidFromBytes(listener_id), delivery_state);
      }
      return { result: 'granted', settled };
    });
  }
}
