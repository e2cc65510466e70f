import { uuidV5 } from '../ids.js';
import type { Clock, JournalBatch, JournalStore, Log, Metrics, RejectedEntry } from '../ports.js';

export interface RefusedEntriesDeps {
  journalStore: Pick<JournalStore, 'recordUnreadable'>;
  clock: Clock;
  log: Log;
  metrics: Metrics;
}

/** What a reason to dead-letter begins with when the entry is already listed under failures. */
export const UNSTORABLE = 'not storable: ';

/**
 * Lists what the database refused of a batch under failures; gives the reasons by event or outcome id.
 * @throws UNAVAILABLE when the database went away meanwhile; repeating lists nothing twice.
 */
export async function listRefused(
  deps: RefusedEntriesDeps,
  rejected: RejectedEntry[],
  batch: JournalBatch,
): Promise<Map<string, string>> {
  const { journalStore, clock, log, metrics } = deps;
  const reasons = new Map<string, string>();
  for (const { entry, reason: cause } of rejected) {
    const id = entry.kind === 'event' ? entry.eventId : entry.outcomeId;
    const reason = `${UNSTORABLE}${cause}`;
    await journalStore.recordUnreadable({
      id: uuidV5('unstorable', entry.kind, id),
      reason,
      raw: Buffer.from(JSON.stringify(contentOf(entry, batch))),
      rawHeaders: '{}',
      at: clock.now(),
    });
    metrics.incident('journal.entry-refused');
    log.error('journal.entry-refused', { ...entry, reason });
    reasons.set(id, reason);
  }
  return reasons;
}

/** What was refused, the payload as text. */
function contentOf(entry: RejectedEntry['entry'], batch: JournalBatch): unknown {
  if (entry.kind === 'outcome') return batch.outcomes.find(({ outcomeId }) => outcomeId === entry.outcomeId) ?? null;
  const event = batch.events.find((recorded) => recorded.event.eventId === entry.eventId)?.event;
  return event === undefined ? null : { ...event, userObject: event.userObject?.toString('utf8') ?? null };
}
