import { messageOf } from '../message-of.js';
import { attemptWithin } from './attempt.js';
import type {
  FailedNotification,
  HandlerContext,
  LeftNotification,
  NotifierEvent,
  NotifierHandler,
} from './notification.js';
import type { NotifierSettings } from './notifier-options.js';
import { RecentIds } from './recent-ids.js';
import { retryDelayMs } from './retry-delay.js';

/** One event at one handler. */
interface Job<Event> {
  readonly event: Event;
  readonly done: () => void;
  attempts: number;
  lastError: unknown;
  /** Waits for the retry, while it does. */
  timer: NodeJS.Timeout | null;
  controller: AbortController;
  /** Its last attempt failed, and that is being told. */
  failed: boolean;
}

export interface LaneOptions<Event extends NotifierEvent> {
  name: string;
  handler: NotifierHandler<Event>;
  eventTypes: ReadonlySet<string> | null;
  settings: NotifierSettings<Event>;
  /** Awaited before the event counts as finished. */
  onFailed(failed: FailedNotification<Event>): Promise<void>;
}

/** The events of one handler: at most `concurrency` at a time, each again after its delay until it was handled. */
export class HandlerLane<Event extends NotifierEvent> {
  readonly name: string;
  readonly #options: LaneOptions<Event>;
  readonly #finishedIds: RecentIds;
  readonly #openIds = new Set<string>();
  readonly #waiting = new Set<Job<Event>>();
  readonly #delayed = new Set<Job<Event>>();
  readonly #running = new Set<Job<Event>>();
  readonly #left: Job<Event>[] = [];
  #state: 'open' | 'draining' | 'closed' = 'open';
  #onDrained: (() => void) | null = null;

  constructor(options: LaneOptions<Event>) {
    this.name = options.name;
    this.#options = options;
    const { idempotencyTtlMs: ttlMs, idempotencyMaxIds: maxIds } = options.settings;
    this.#finishedIds = new RecentIds({ ttlMs, maxIds });
  }

  wants(event: Event): boolean {
    return this.#options.eventTypes?.has(event.type) ?? true;
  }

  /** Whether the event was taken before and is not forgotten. */
  knows(eventId: string): boolean {
    return this.#openIds.has(eventId) || this.#finishedIds.has(eventId, performance.now());
  }

  /** Takes an event, whether it knows it or not. `done` is called once it was handled, or failed for the last time. */
  add(event: Event, done: () => void): void {
    this.#openIds.add(event.id);
    const controller = new AbortController();
    this.#waiting.add({ event, done, attempts: 0, lastError: null, timer: null, controller, failed: false });
    // Not at once: whoever gives an event goes on before anybody acts on it.
    setImmediate(() => this.#runWaiting());
  }

  /**
   * Lets everything be tried once more without its delay, and resolves when nothing waits or runs. What fails again is
   * left, unless that was its last attempt.
   */
  drain(): Promise<void> {
    this.#state = 'draining';
    for (const job of this.#delayed) this.#endDelay(job);
    return new Promise((resolve) => {
      this.#onDrained = resolve;
      this.#runWaiting();
    });
  }

  /** Begins nothing any more, aborts what runs, and gives back what is not finished. */
  close(): LeftNotification<Event>[] {
    this.#state = 'closed';
    const interrupted = [...this.#running].filter((job) => !job.failed);
    for (const job of this.#delayed) this.#endDelay(job);
    const left = [...this.#left, ...this.#waiting].map((job) => this.#leftOf(job, false));
    left.push(...interrupted.map((job) => this.#leftOf(job, true)));
    for (const job of interrupted) job.controller.abort(new Error('the notifier was stopped'));
    return left;
  }

  #runWaiting(): void {
    for (const job of this.#waiting) {
      if (this.#state === 'closed' || this.#running.size >= this.#options.settings.concurrency) return;
      this.#waiting.delete(job);
      this.#running.add(job);
      void this.#run(job);
    }
    if (this.#running.size === 0) this.#onDrained?.();
  }

  async #run(job: Job<Event>): Promise<void> {
    const { settings } = this.#options;
    job.attempts += 1;
    job.controller = new AbortController();
    try {
      const { controller, attempts: attempt } = job;
      await attemptWithin(settings.attemptTimeoutMs, { controller, attempt }, (context) =>
        this.#act(job.event, context),
      );
      if (!this.#isClosed()) this.#finish(job);
    } catch (error) {
      if (!this.#isClosed()) await this.#afterFailure(job, error);
    }
    this.#running.delete(job);
    this.#runWaiting();
  }

  #act(event: Event, context: HandlerContext): Promise<void> | void {
    const { handler } = this.#options;
    return typeof handler === 'function' ? handler(event, context) : handler.handle(event, context);
  }

  async #afterFailure(job: Job<Event>, error: unknown): Promise<void> {
    const { settings } = this.#options;
    job.lastError = error;
    const isLast = job.attempts >= settings.maxAttempts;
    const isLeft = !isLast && this.#state === 'draining';
    const retryInMs = isLast || isLeft ? null : retryDelayMs(job.attempts, settings);
    const { attempts: attempt } = job;
    const facts = { handler: this.name, eventId: job.event.id, attempt, error: messageOf(error) };
    if (isLast) settings.log.error('notification.failed', facts);
    else settings.log.warn('attempt.failed', { ...facts, retryInMs });
    if (isLast) await this.#fail(job);
    else if (retryInMs === null) this.#left.push(job);
    else this.#delay(job, retryInMs);
  }

  #delay(job: Job<Event>, delayMs: number): void {
    this.#delayed.add(job);
    job.timer = setTimeout(() => {
      this.#endDelay(job);
      this.#runWaiting();
    }, delayMs);
  }

  #endDelay(job: Job<Event>): void {
    clearTimeout(job.timer ?? undefined);
    this.#delayed.delete(job);
    this.#waiting.add(job);
  }

  async #fail(job: Job<Event>): Promise<void> {
    job.failed = true;
    const { event, attempts, lastError } = job;
    await this.#options.onFailed({ event, handler: this.name, attempts, lastError, failedAt: Date.now() });
    this.#finish(job);
  }

  #finish(job: Job<Event>): void {
    this.#openIds.delete(job.event.id);
    this.#finishedIds.add(job.event.id, performance.now());
    job.done();
  }

  #leftOf({ event, attempts, lastError }: Job<Event>, interrupted: boolean): LeftNotification<Event> {
    return { event, handler: this.name, attempts, lastError, interrupted };
  }

  // While an attempt runs, the state changes behind the compiler's back.
  #isClosed(): boolean {
    return this.#state === 'closed';
  }
}
