import { FailureAnnouncer } from '../core/recording/announce-failures.js';
import { DeadQueue } from '../core/recording/dead.js';
import { DueScanner } from '../core/redelivering/due.js';
import { Recorder } from '../core/recording/record.js';
import { ReplayRunner } from '../core/redelivering/replay-runner.js';
import { Retention } from '../core/recording/retention.js';
import { Sweeper } from '../core/redelivering/sweep.js';
import { Worker } from '../core/delivering/worker.js';
import { SqlJournalStore } from '../store/journal-store.js';
import { SqlRetentionStore } from '../store/retention-store.js';
import { SqlScheduledStore } from '../store/scheduled-store.js';
import { Parts, clock, steadyClock } from './parts.js';
import type { Surroundings } from './surroundings.js';

/** The parts of a process that delivers. */
export type Delivering = Awaited<ReturnType<typeof startDelivering>>;

/** What delivers, records and acts later: the parts of the roles `worker` and `all`. */
export async function startDelivering(surroundings: Surroundings, parts: Parts) {
  const { config, log, metrics, database, broker, registry, admin, caller, idempotency } = surroundings;
  const { claims, parked, leases } = surroundings;
  const journalStore = new SqlJournalStore({ database });
  const announcer = new FailureAnnouncer({ broker, parked, journalStore, registry, clock, log, metrics });
  const recorder = new Recorder({
    broker,
    journalStore,
    registry,
    announcer,
    clock,
    steadyClock,
    log,
    metrics,
    options: config.journal,
  });
  const dead = new DeadQueue({ broker, journal: journalStore, registry, announcer, clock, log, metrics });
  const worker = new Worker({
    broker,
    registry,
    claims,
    parked,
    caller,
    disableListener: (listenerId) => admin.listeners.disable({ name: 'system', requestId: null }, listenerId),
    clock,
    log,
    metrics,
    options: config.delivery,
  });
  registry.onSnapshot((snapshot) => {
    worker.onSnapshot(snapshot);
  });
  const { sweepIntervalMs, sweepGraceMs, dueIntervalMs } = config.journal;
  const background = [
    new Sweeper({
      store: surroundings.redeliveryStore,
      redelivery: surroundings.redelivery,
      broker,
      registry,
      isBehind: () => recorder.isBehind(),
      log,
      metrics,
      clock,
      intervalMs: sweepIntervalMs,
      graceMs: sweepGraceMs,
    }),
    new DueScanner({
      scheduled: new SqlScheduledStore({ database, log }),
      parked,
      leases,
      broker,
      registry,
      log,
      metrics,
      clock,
      intervalMs: dueIntervalMs,
    }),
    new ReplayRunner({
      store: surroundings.replays,
      redelivery: surroundings.redelivery,
      registry,
      log,
      clock,
    }),
    new Retention({ store: new SqlRetentionStore({ database }), idempotency, log, clock, ...config.retention }),
  ];
  for (const part of [recorder, dead]) {
    await part.start();
    parts.add(part.constructor.name, part, (started) => started.stop());
  }
  worker.start();
  parts.add('worker', worker, (part) => part.stop(config.shutdown.graceMs));
  const startBackground = (): void => {
    for (const part of background) {
      part.start();
      parts.add(part.constructor.name, part, (started) => started.stop());
    }
  };
  return { worker, recorder, startBackground };
}
