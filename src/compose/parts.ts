import type { Clock, Log } from '../core/ports.js';

/** A running centre. */
export interface Centre {
  /** Ends in order: no new work, running calls and requests to their end within `shutdown.graceMs`, then the rest. */
  stop(): Promise<void>;
}

/** The machine's clock. */
export const clock: Clock = { now: () => Date.now() };

/** Counts from the start of the process, and does not follow jumps of the machine's clock: for waits only. */
export const steadyClock: Clock = { now: () => performance.now() };

/** What was started, to be stopped in reverse. */
export class Parts implements Centre {
  readonly log: Log;
  readonly #parts: { name: string; stop: () => Promise<unknown> }[] = [];
  #stopping = false;

  constructor(log: Log) {
    this.log = log;
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  add<T>(name: string, part: T, stop: (part: T) => Promise<unknown>): T {
    this.#parts.push({ name, stop: () => stop(part) });
    return part;
  }

  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const { name, stop } of this.#parts.reverse()) {
      await stop().catch((error: unknown) => {
        this.log.warn('centre.part-not-stopped', { part: name, error });
      });
    }
  }
}
