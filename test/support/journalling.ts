import { uuidV7 } from '../../src/core/ids.js';
import type { Event, Outcome, OwedListener } from '../../src/core/model.js';
import type { RecordedEvent } from '../../src/core/ports.js';
import type { Database } from '../../src/store/database.js';
import { rowsOf } from '../../src/store/sql.js';
import { anEvent } from './redelivering.js';

/** An event as the recorder gives it to the store. */
export function recordedEvent(more: Partial<Event> = {}, owed: OwedListener[] = [], scheduled = false): RecordedEvent {
  return { event: anEvent(more), owed, scheduled };
}

export function owedListener(nodeCode = 'N', operIndex = 1): OwedListener {
  return { listenerId: uuidV7(), nodeCode, operIndex };
}

/** An outcome of what a listener is owed. */
export function outcomeOf(event: Event, owed: OwedListener, more: Partial<Outcome> & Pick<Outcome, 'state'>): Outcome {
  const refused = more.state === 'failed' || more.state === 'retrying';
  return {
    outcomeId: uuidV7(),
    eventId: event.eventId,
    ...owed,
    generation: 1,
    sequence: 0,
    attempt: 1,
    called: true,
    reason: more.state === 'failed' ? 'exhausted' : null,
    startedAt: event.acceptedAt + 10,
    durationMs: 5,
    status: refused ? 500 : 200,
    error: refused ? 'status 500' : null,
    response: refused ? 'oops' : null,
    nextAttemptAt: more.state === 'retrying' ? event.acceptedAt + 5_000 : null,
    ...more,
  };
}

/** Rows of a table, as the driver gives them. */
export function rowsIn(database: Database, table: string): Promise<Record<string, unknown>[]> {
  return database.run((manager) => rowsOf<Record<string, unknown>>(manager, `SELECT * FROM ${table}`));
}
