import type { Log } from './ports.js';

/** Waits `ms`, or until the signal fires; resolves in both cases. */
export type Sleep = (ms: number, signal: AbortSignal) => Promise<void>;

/** Whether a task found less than it could have taken (`idle`), or is to be run again at once (`more`). */
export type TaskResult = 'more' | 'idle';

export interface PeriodicOptions {
  /** Prefix of its log lines, such as `sweep`. */
  name: string;
  /** Time between the end of a run and the next one, give or take a tenth. */
  intervalMs: number;
  log: Log;
  /** One run; long ones look at the signal. A rejection is logged and the run repeated with backoff. */
  task: (signal: AbortSignal) => Promise<TaskResult>;
  sleep?: Sleep;
  /** 0 up to 1; spreads the runs of several processes. */
  random?: () => number;
}

const FIRST_BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 10_000;
const LONGEST_FIRST_WAIT_MS = 1_000;

/**
 * Runs a task again and again, never twice at a time. A failing task is repeated with a growing delay of at most
 * 10 s, so that it goes on soon after an outage; only the first failure of a row and the recovery are logged.
 */
export class Periodic {
  readonly #options: PeriodicOptions;
  readonly #sleep: Sleep;
  readonly #random: () => number;
  #running: { abort: AbortController; ended: Promise<void> } | null = null;
  #failures = 0;

  constructor(options: PeriodicOptions) {
    this.#options = options;
    this.#sleep = options.sleep ?? sleep;
    this.#random = options.random ?? Math.random;
  }

  /** Begins; the first run comes within a second. Starting twice changes nothing. */
  start(): void {
    if (this.#running !== null) return;
    const abort = new AbortController();
    this.#running = { abort, ended: this.#run(abort.signal) };
  }

  /** Resolves when no run is going on any more; the signal tells a running one to end early. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    running.abort.abort();
    await running.ended;
    if (this.#running === running) this.#running = null;
  }

  async #run(signal: AbortSignal): Promise<void> {
    await this.#sleep(Math.min(this.#options.intervalMs, LONGEST_FIRST_WAIT_MS) * this.#random(), signal);
    while (!signal.aborted) {
      await this.#sleep(await this.#once(signal), signal);
    }
  }

  /** One run; returns how long to wait after it. */
  async #once(signal: AbortSignal): Promise<number> {
    const { name, intervalMs, log, task } = this.#options;
    try {
      const result = await task(signal);
      if (this.#failures > 0) log.info(`${name}.recovered`, { failures: this.#failures });
      this.#failures = 0;
      return result === 'more' ? 0 : intervalMs * (0.9 + 0.2 * this.#random());
    } catch (error) {
      this.#failures += 1;
      if (this.#failures === 1) log.warn(`${name}.failed`, { error });
      const backoffMs = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(this.#failures - 1, 10));
      return backoffMs * (0.5 + 0.5 * this.#random());
    }
  }
}

/** Waits on the clock of the process. */
export const sleep: Sleep = (ms, signal) =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end, { once: true });
  });

/**
 * Runs `work` over `items`, `width` at a time, until all are done or one fails; the first failure is thrown after the
 * ones under way have ended, and the rest is not begun. Ends early, without an error, when the signal fires.
 */
export async function eachOf<T>(
  items: Iterable<T>,
  options: { width: number; signal?: AbortSignal },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed && options.signal?.aborted !== true) {
      const next = iterator.next();
      if (next.done === true) return;
      try {
        await work(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: options.width }, lane));
  const failure = lanes.find((result) => result.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
