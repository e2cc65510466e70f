import type { DeliveryState } from '../core/model.js';
import type { Claim, ClaimBatches, ClaimRequest, ClaimStore } from '../core/ports.js';
import { raiseChains } from './chain-rows.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { placeholders, rowsOf } from './sql.js';

export interface ClaimStoreDeps {
  database: Database;
}

interface ClaimRow {
  event_id: Buffer;
  generation: number;
  sequence: number;
  message_id: string | null;
  listener_id: Buffer | null;
  delivery_state: DeliveryState | null;
}

/** The kept positions, each with a row for each listener that is settled in its generation (or one without). */
const KEPT =
  'SELECT c.event_id, c.generation, c.sequence, c.message_id, d.listener_id, d.state AS delivery_state' +
  ' FROM pub_event_chain c' +
  ' LEFT JOIN pub_event_delivery d ON d.event_id = c.event_id AND d.node_code = c.node_code' +
  " AND d.generation = c.generation AND d.state NOT IN ('pending', 'retrying')" +
  ' WHERE c.node_code = ? AND c.event_id IN ';

/**
 * Claims over `pub_event_chain`. Two statements without a transaction: the first keeps the positions that nothing is
 * ahead of, the second looks who holds them. Whoever comes in between has gone further, so that the loss is right.
 */
export class SqlClaimStore implements ClaimStore, ClaimBatches {
  readonly #database: Database;

  constructor(deps: ClaimStoreDeps) {
    this.#database = deps.database;
  }

  async claim(request: ClaimRequest): Promise<Claim> {
    const [claim] = await this.claimAll([request]);
    return claim as Claim;
  }

  async claimAll(requests: ClaimRequest[]): Promise<Claim[]> {
    const [first] = requests;
    if (first === undefined) return [];
    // In one order, so that those who claim many at a time do not wait for each other in a circle.
    const sorted = [...requests].sort((a, b) => (a.eventId < b.eventId ? -1 : 1));
    const ids = sorted.map(({ eventId }) => uuidToBytes(eventId));
    const rows = await this.#database.run(async (manager) => {
      await raiseChains(manager, sorted, Date.now());
      return rowsOf<ClaimRow>(manager, `${KEPT}(${placeholders(ids.length)})`, [first.nodeCode, ...ids]);
    });
    const rowsByEvent = new Map<string, ClaimRow[]>();
    for (const row of rows) {
      const eventId = uuidFromBytes(row.event_id);
      const known = rowsByEvent.get(eventId);
      if (known === undefined) rowsByEvent.set(eventId, [row]);
      else known.push(row);
    }
    return requests.map((request) => claimOf(request, rowsByEvent.get(request.eventId) ?? []));
  }
}

function claimOf({ generation, sequence, messageId }: ClaimRequest, rows: ClaimRow[]): Claim {
  const kept = rows[0];
  if (kept === undefined) return { result: 'lost' };
  if (kept.generation > generation) return { result: 'stale' };
  if (kept.sequence !== sequence || kept.message_id !== messageId) return { result: 'lost' };
  const settled = new Map<string, DeliveryState>();
  for (const { listener_id, delivery_state } of rows) {
    if (listener_id !== null && delivery_state !== null) settled.set(uuidFromBytes(listener_id), delivery_state);
  }
  return { result: 'granted', settled };
}
