import { Periodic, type TaskResult } from '../periodic.js';
import type { Clock, IdempotencyStore, Log, RetentionStore } from '../ports.js';

export interface RetentionDeps {
  store: RetentionStore;
  idempotency: Pick<IdempotencyStore, 'deleteExpired'>;
  log: Log;
  clock: Clock;
  intervalMs: number;
  /** Rows per statement; small, so that nobody waits for their locks. */
  batchRows: number;
  /** How long each is kept. Chains without an event are kept as long as events, finished replays as long as failures. */
  eventsMs: number;
  failuresMs: number;
  auditMs: number;
}

/** Deletes what is older than it has to be, in small batches, in one worker at a time. */
export class Retention {
  readonly #deps: RetentionDeps;
  readonly #loop: Periodic;

  constructor(deps: RetentionDeps) {
    this.#deps = deps;
    this.#loop = new Periodic({
      name: 'retention',
      intervalMs: deps.intervalMs,
      log: deps.log,
      task: (signal) => this.clear(signal),
    });
  }

  start(): void {
    this.#loop.start();
  }

  /** Resolves after the batch under way. */
  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** One run: all that is too old now, unless another worker is at it. */
  async clear(signal: AbortSignal): Promise<TaskResult> {
    const { store, idempotency, clock, batchRows, eventsMs, failuresMs, auditMs } = this.#deps;
    const now = clock.now();
    await store.exclusively('retention', async () => {
      await this.#drain('events', signal, () => store.deleteEvents(now - eventsMs, batchRows));
      await this.#drain('chains', signal, () => store.deleteChains(now - eventsMs, batchRows));
      await this.#drain('failures', signal, () => store.deleteFailures(now - failuresMs, batchRows));
      await this.#drain('audit', signal, () => store.deleteAudit(now - auditMs, batchRows));
      await this.#drain('replays', signal, () => store.deleteReplays(now - failuresMs, batchRows));
      await this.#drain('idempotency-keys', signal, () => idempotency.deleteExpired(now, batchRows));
    });
    return 'idle';
  }

  async #drain(what: string, signal: AbortSignal, deleteBatch: () => Promise<number>): Promise<void> {
    let deleted = 0;
    for (;;) {
      if (signal.aborted) return;
      const batch = await deleteBatch();
      deleted += batch;
      if (batch < this.#deps.batchRows) break;
    }
    if (deleted > 0) this.#deps.log.info('retention.deleted', { what, rows: deleted });
  }
}
