/** What a worker asks the journal by itself, timed on the store: sweeping, what is due, retention, replays, metrics. */
import { migrations } from '../migrations/index.js';
import { openDatabase, type Database } from '../src/store/database.js';
import { entities } from '../src/store/entities.js';
import { SqlJournalReader } from '../src/store/journal-reader.js';
import { SqlRedeliveryStore } from '../src/store/redelivery-store.js';
import { SqlReplayStore } from '../src/store/replay-store.js';
import { SqlRetentionStore } from '../src/store/retention-store.js';
import { SqlScheduledStore } from '../src/store/scheduled-store.js';
import { silentLog } from '../test/support/databases.js';
import { SPAN_MS, type FilledListener } from './journal-filling.js';

export interface Chore {
  name: string;
  /** Milliseconds of each run. */
  times: number[];
}

const TIMES = 20;
const BATCH = 1_000;

/** Times the chores, the deleting ones last. */
export async function measureChores(
  databaseUrl: string,
  { now, listener }: { now: number; listener: FilledListener },
): Promise<Chore[]> {
  const database = openDatabase({
    ...{ url: databaseUrl, poolSize: 2, queryTimeoutMs: 60_000 },
    ...{ entities, migrations, log: silentLog },
  });
  try {
    await database.waitUntilReady(10_000);
    const chores: Chore[] = [];
    for (const [name, work] of choresOf(database, now, listener)) {
      const times: number[] = [];
      for (let time = 0; time < TIMES; time += 1) {
        const begunAt = performance.now();
        await work();
        times.push(performance.now() - begunAt);
      }
      chores.push({ name, times });
    }
    return chores;
  } finally {
    await database.close();
  }
}

function choresOf(database: Database, now: number, listener: FilledListener): [string, () => Promise<unknown>][] {
  const redelivery = new SqlRedeliveryStore({ database });
  const scheduled = new SqlScheduledStore({ database, log: silentLog });
  const journal = new SqlJournalReader({ database });
  const replays = new SqlReplayStore({ database });
  const retention = new SqlRetentionStore({ database });
  const { nodeCode, sourceId } = listener;
  const page = { limit: 500, cursor: null };
  const nothing = (): Promise<void> => Promise.resolve();
  return [
    ['metrics: oldest unsettled delivery of each node', () => journal.oldestUnsettled()],
    ['sweeper: nodes with overdue deliveries', () => redelivery.overdueNodes(now)],
    ['sweeper: overdue chains of a node', () => redelivery.overdueChains(nodeCode, now, 200)],
    ['due scanner: scheduled events, none due', () => scheduled.releaseDue(now, 200, nothing)],
    ['replay: a page of a node’s failed deliveries', () => replays.match({ nodeCode, states: ['failed'] }, page)],
    ['replay: a page of a source’s events', () => replays.match({ sourceId }, page)],
    [
      `retention: ${BATCH} events with all that belongs to them`,
      () => retention.deleteEvents(now - SPAN_MS / 2, BATCH),
    ],
    [`retention: ${BATCH} failures`, () => retention.deleteFailures(now - SPAN_MS / 2, BATCH)],
    [`retention: ${BATCH} rows of the audit log`, () => retention.deleteAudit(now - SPAN_MS / 2, BATCH)],
  ];
}
