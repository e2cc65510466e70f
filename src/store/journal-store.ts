import { hasCode } from '../core/errors.js';
import { uuidV5 } from '../core/ids.js';
import type { Outcome } from '../core/model.js';
import type { EventOrigin, JournalBatch, JournalStore, RejectedEntry } from '../core/ports.js';
import { isSettled, type DeliveryRecord } from '../core/recording/delivery-state.js';
import { uuidFromBytes, uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { RefusedRowError, unavailable } from './database-errors.js';
import { groupByEvent, type EventEntries } from './journal-plan.js';
import { FAILURE_COLUMNS, failureValues, type RawEvent } from './journal-rows.js';
import { EventOvertook, lockEvents, readDeliveries, writeEvents } from './journal-write.js';
import { insertRows, placeholders, rowsOf } from './sql.js';
import type { Work } from './session.js';

export interface JournalStoreDeps {
  database: Database;
}

/** Times that a batch is begun again because an event's row came to be between two of its statements. */
const MOST_RESTARTS = 10;
/** Bytes of an unreadable message that are kept. */
const RAW_BYTES = 64 * 1024;
const RAW_HEADERS = 64 * 1024;
/** What a row takes in a packet besides its payload. */
const ROW_OVERHEAD = 64 * 1024;

/** The journal over the `pub_event…` tables. */
export class SqlJournalStore implements JournalStore {
  readonly #database: Database;
  #packetBytes: number | null = null;

  constructor(deps: JournalStoreDeps) {
    this.#database = deps.database;
  }

  async record(batch: JournalBatch): Promise<RejectedEntry[]> {
    const rejected: RejectedEntry[] = [];
    const packetBytes = await this.#longestPacket();
    const groups: EventEntries[] = [];
    for (const group of groupByEvent(batch)) {
      const excess = excessOf(group, packetBytes);
      if (excess === null) groups.push(group);
      else {
        rejected.push({ entry: { kind: 'event', eventId: group.eventId }, reason: excess });
        if (group.outcomes.length > 0) groups.push({ ...group, recorded: null });
      }
    }
    const refused = new Refused(rejected);
    await this.#recordGroups(groups, refused);
    refused.throwIfAllAreSuspect();
    return rejected;
  }

  async recordUnreadable(failure: Parameters<JournalStore['recordUnreadable']>[0]): Promise<void> {
    const row = failureValues({
      id: failure.id,
      kind: 'unreadable',
      eventId: null,
      listenerId: null,
      nodeCode: null,
      generation: null,
      attempts: null,
      reason: failure.reason,
      lastStatus: null,
      lastError: null,
      lastResponse: null,
      raw: failure.raw.subarray(0, RAW_BYTES).toString('base64'),
      rawHeaders: failure.rawHeaders.slice(0, RAW_HEADERS),
      failedAt: failure.at,
    });
    await this.#database.run((manager) =>
      insertRows(manager, { table: 'pub_event_failure', columns: FAILURE_COLUMNS, rows: [row], onDuplicate: 'keep' }),
    );
  }

  async failDeadLettered(dead: Parameters<JournalStore['failDeadLettered']>[0]): Promise<Outcome[]> {
    const { message, nodeCode, reason, at } = dead;
    const { eventId } = message.event;
    const generation = message.chain?.generation ?? 1;
    return this.#transaction(async (manager) => {
      await lockEvents(manager, [eventId]);
      const stored = await readDeliveries(manager, [eventId]);
      const concerned = [...(stored.get(eventId)?.values() ?? [])].filter(
        (delivery) => delivery.nodeCode === nodeCode && delivery.generation <= generation,
      );
      const failedBefore = concerned.filter((delivery) => delivery.reason === 'dead-lettered');
      const outcomes = concerned
        .filter((delivery) => !isSettled(delivery.state))
        .map((delivery) => deadLettered(delivery, reason, at));
      if (outcomes.length > 0) await writeEvents(manager, [{ eventId, recorded: null, outcomes }], at);
      return [...failedBefore.map((delivery) => deadLettered(delivery, delivery.lastError ?? reason, at)), ...outcomes];
    });
  }

  originsOf(eventIds: string[]): Promise<EventOrigin[]> {
    if (eventIds.length === 0) return Promise.resolve([]);
    return this.#database.run(async (manager) => {
      const rows = await rowsOf<Pick<RawEvent, 'event_id' | 'sourceid' | 'tenant_code' | 'traceparent'>>(
        manager,
        `SELECT event_id, sourceid, tenant_code, traceparent FROM pub_event WHERE event_id IN (${placeholders(eventIds.length)})`,
        eventIds.map(uuidToBytes),
      );
      return rows.map(({ event_id, sourceid, tenant_code, traceparent }) => ({
        eventId: uuidFromBytes(event_id),
        sourceId: sourceid,
        tenantCode: tenant_code,
        traceparent,
      }));
    });
  }

  async probe(): Promise<void> {
    await this.#database.run((manager) => rowsOf(manager, 'SELECT event_id FROM pub_event LIMIT 1'));
  }

  /** Halves what is refused until the one entry is found; everything else commits. */
  async #recordGroups(groups: EventEntries[], refused: Refused): Promise<void> {
    if (groups.length === 0) return;
    try {
      await this.#transaction((manager) => writeEvents(manager, groups, Date.now()));
      refused.someCommitted = true;
      return;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const [group] = groups;
      if (groups.length === 1 && group !== undefined && isSingle(group)) {
        refused.add(group, error);
        return;
      }
    }
    for (const part of partsOf(groups)) await this.#recordGroups(part, refused);
  }

  async #transaction<T>(work: Work<T>): Promise<T> {
    for (let restarts = 0; ; restarts += 1) {
      try {
        return await this.#database.transaction(work);
      } catch (error) {
        if (!(error instanceof EventOvertook)) throw error;
        if (restarts >= MOST_RESTARTS) throw unavailable('other recorders were faster each time');
      }
    }
  }

  /**
   * The longest statement that the server takes. It drops the connection over a longer one, which would look like a
   * database that is away, for ever.
   */
  async #longestPacket(): Promise<number> {
    if (this.#packetBytes !== null) return this.#packetBytes;
    if (this.#database.isSqlite) return (this.#packetBytes = Infinity);
    const [row] = await this.#database.run((manager) =>
      rowsOf<{ bytes: number }>(manager, 'SELECT @@max_allowed_packet AS bytes'),
    );
    return (this.#packetBytes = Number(row?.bytes));
  }
}

/** What of a batch was refused. `suspects` were refused by an error that may be ours rather than the row's. */
class Refused {
  readonly #rejected: RejectedEntry[];
  #suspect: unknown = null;
  someCommitted = false;

  constructor(rejected: RejectedEntry[]) {
    this.#rejected = rejected;
  }

  add(group: EventEntries, error: unknown): void {
    if (!(error instanceof RefusedRowError)) this.#suspect = error;
    const [outcome] = group.outcomes;
    this.#rejected.push({
      entry:
        outcome === undefined
          ? { kind: 'event', eventId: group.eventId }
          : { kind: 'outcome', outcomeId: outcome.outcomeId },
      reason: error instanceof Error ? error.message : String(error),
    });
  }

  /** An unknown error that nothing escapes, such as a missing table, is no reason to throw the journal away. */
  throwIfAllAreSuspect(): void {
    if (this.#suspect !== null && !this.someCommitted) throw this.#suspect as Error;
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof RefusedRowError || hasCode(error, 'INTERNAL');
}

function isSingle(group: EventEntries): boolean {
  return group.outcomes.length + (group.recorded === null ? 0 : 1) === 1;
}

function partsOf(groups: EventEntries[]): EventEntries[][] {
  if (groups.length > 1) {
    const middle = groups.length >> 1;
    return [groups.slice(0, middle), groups.slice(middle)];
  }
  return groups.flatMap(({ eventId, recorded, outcomes }): EventEntries[][] => [
    ...(recorded === null ? [] : [[{ eventId, recorded, outcomes: [] }]]),
    ...outcomes.map((outcome) => [{ eventId, recorded: null, outcomes: [outcome] }]),
  ]);
}

/** Why an event cannot be written in one packet, or null. Quotes and control characters are written with a backslash. */
function excessOf(group: EventEntries, packetBytes: number): string | null {
  const payload = group.recorded?.event.userObject ?? null;
  if (payload === null || 2 * payload.length + ROW_OVERHEAD <= packetBytes) return null;
  let bytes = payload.length + ROW_OVERHEAD;
  for (const byte of payload) if (ESCAPED.has(byte)) bytes += 1;
  if (bytes <= packetBytes) return null;
  return `a statement with the userObject takes ${bytes} bytes, and the database takes ${packetBytes} (max_allowed_packet)`;
}

const ESCAPED = new Set(Buffer.from('\0\b\t\n\r\x1a"\'\\'));

function deadLettered(delivery: DeliveryRecord, reason: string, at: number): Outcome {
  return {
    outcomeId: uuidV5('dead-lettered', delivery.eventId, delivery.listenerId, String(delivery.generation)),
    eventId: delivery.eventId,
    listenerId: delivery.listenerId,
    nodeCode: delivery.nodeCode,
    operIndex: delivery.operIndex,
    generation: delivery.generation,
    sequence: delivery.lastSequence + 1,
    attempt: delivery.attempts,
    called: false,
    state: 'failed',
    reason: 'dead-lettered',
    startedAt: at,
    durationMs: 0,
    status: delivery.lastStatus,
    error: reason,
    response: delivery.lastResponse,
    nextAttemptAt: null,
  };
}
