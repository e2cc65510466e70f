import { EventCenterError } from '../../core/errors.js';
import type { Log, Metrics } from '../../core/ports.js';
import { messageOf } from '../within.js';
import { sqliteCode, type QueueFile } from './queue-file.js';

/** Writes that come within this time share one transaction, and so one wait for the disk. */
const GATHER_MS = 2;
const RETRY_MS = 1000;

/** A write of the embedded broker. */
export interface Write {
  /** Writes, inside the transaction; may run again after a failed transaction. */
  apply(): void;
  /** The transaction is on disk. */
  committed(): void;
  /** It is not; for a publish. A write without this is kept and tried again, because nobody could repeat it. */
  failed?(error: EventCenterError): void;
}

/**
 * Gathers writes into transactions. While the disk refuses (full, broken) publishes fail at once, other writes wait, and
 * a probe is tried every second.
 */
export class GroupCommit {
  readonly #file: QueueFile;
  readonly #log: Log;
  readonly #metrics: Metrics | null;
  #pending: Write[] = [];
  #timer: NodeJS.Timeout | null = null;
  #probeTimer: NodeJS.Timeout | null = null;
  #problem: { sentence: string; full: boolean } | null = null;

  constructor(file: QueueFile, { log, metrics }: { log: Log; metrics: Metrics | null }) {
    this.#file = file;
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Why writes fail now, or null; `full` when the disk is. */
  get problem(): { sentence: string; full: boolean } | null {
    return this.#problem;
  }

  add(write: Write): void {
    this.#pending.push(write);
    this.#flushIn(GATHER_MS);
  }

  /** Commits what was gathered. What nobody waits for and cannot be written is given out again after the next start. */
  close(): void {
    this.flush();
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#probeTimer !== null) clearInterval(this.#probeTimer);
    this.#timer = null;
    this.#probeTimer = null;
  }

  /** Takes note of a write that failed outside of this class. */
  troubled(error: unknown): void {
    if (this.#problem === null) {
      this.#log.error('broker.write.failed', { error: messageOf(error) });
      this.#metrics?.incident('broker-write-failed');
    }
    const full = sqliteCode(error) === 'SQLITE_FULL';
    this.#problem = { sentence: `the embedded broker cannot write: ${messageOf(error)}`, full };
    this.#probeTimer ??= setInterval(() => {
      this.#probe();
    }, RETRY_MS);
  }

  #flushIn(ms: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.flush();
    }, ms);
  }

  /** Commits what was gathered so far, now. */
  flush(): void {
    const writes = this.#pending;
    this.#pending = [];
    if (writes.length === 0) return;
    try {
      this.#file.transaction(() => {
        for (const write of writes) write.apply();
      });
    } catch (error) {
      this.troubled(error);
      this.#fail(writes, error);
      return;
    }
    for (const write of writes) write.committed();
  }

  #fail(writes: Write[], error: unknown): void {
    const kept = writes.filter((write) => write.failed === undefined);
    // Kept ones mostly delete, which can go well where a publish does not: at once, if publishes were in the way.
    if (kept.length > 0) {
      this.#pending.unshift(...kept);
      this.#flushIn(kept.length < writes.length ? 0 : RETRY_MS);
    }
    const refusal = new EventCenterError('UNAVAILABLE', `the embedded broker cannot write: ${messageOf(error)}`, {
      cause: error,
    });
    for (const write of writes) write.failed?.(refusal);
  }

  #probe(): void {
    try {
      this.#file.probe();
    } catch {
      return;
    }
    this.#problem = null;
    if (this.#probeTimer !== null) clearInterval(this.#probeTimer);
    this.#probeTimer = null;
    this.#log.info('broker.write.recovered');
  }
}
