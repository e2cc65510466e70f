import { InvalidOptionError } from '../errors.js';
import { HandlerLane } from './handler-lane.js';
import type {
  FailedNotification,
  NotifierEvent,
  NotifierHandler,
  NotifyAnswer,
  NotifyOptions,
  RegisterOptions,
  StopResult,
} from './notification.js';
import { NotifierStoppedError, QueueFullError } from './notifier-errors.js';
import { settingsOf, whole } from './notifier-options.js';
import type { EventNotifierOptions, NotifierSettings } from './notifier-options.js';
import { Places } from './places.js';

/** `stop` without a time-out waits so long. */
const STOP_MS = 10_000;
const LONGEST_STOP_MS = 2_147_483_647;

/**
 * Hands an application's events to handlers in the same process, beside the application's own work: queued in bounded
 * memory, retried with growing delays, once per event id and handler. What is queued is lost when the process is killed;
 * for events that must survive that there are the centre and the outbox.
 */
export class EventNotifier<Event extends NotifierEvent = NotifierEvent> {
  readonly #settings: NotifierSettings<Event>;
  readonly #places: Places;
  readonly #lanes = new Map<string, HandlerLane<Event>>();
  /** Events that wait for a place. */
  readonly #entering = new Map<string, Promise<void>>();
  #failed: FailedNotification<Event>[] = [];
  #stopping: Promise<StopResult<Event>> | null = null;

  /** @throws InvalidOptionError */
  constructor(options: EventNotifierOptions<Event> = {}) {
    this.#settings = settingsOf(options);
    this.#places = new Places(this.#settings.queueSize);
  }

  /**
   * Adds a handler, which gets the events that are given from now on.
   * @param name of its own, for logs and for what failed or is left.
   * @throws InvalidOptionError
   */
  register(name: string, handler: NotifierHandler<Event>, { eventTypes }: RegisterOptions = {}): this {
    if (typeof name !== 'string' || name === '')
      throw new InvalidOptionError('name', 'expected a text that is not empty');
    if (this.#lanes.has(name)) throw new InvalidOptionError('name', `a handler ${name} is registered already`);
    const given = handler as Partial<{ handle: unknown }> | null | undefined;
    if (typeof given !== 'function' && typeof given?.handle !== 'function') {
      throw new InvalidOptionError('handler', 'expected a function, or an object with handle(event, context)');
    }
    const types = eventTypes === undefined ? null : new Set(eventTypes);
    const onFailed = (failed: FailedNotification<Event>): Promise<void> => this.#keepFailed(failed);
    const settings = this.#settings;
    this.#lanes.set(name, new HandlerLane({ name, handler, eventTypes: types, settings, onFailed }));
    return this;
  }

  /**
   * Gives an event to every handler that wants it and does not know its id; none has begun when this resolves.
   * @returns once the event has its place in the queue: with `whenFull: 'wait'` that may take until another is finished.
   * @throws QueueFullError with `whenFull: 'refuse'`; NotifierStoppedError, also while it waits for a place;
   *   InvalidOptionError. The event was not taken then.
   */
  async notify(event: Event, options: NotifyOptions = {}): Promise<NotifyAnswer> {
    requireEvent(event);
    const named = options.handlers?.map((name) => this.#lane(name)) ?? [...this.#lanes.values()];
    const wanting = named.filter((lane) => lane.wants(event));
    for (let first = this.#entering.get(event.id); first !== undefined; first = this.#entering.get(event.id))
      await first;
    if (this.#stopping !== null) throw new NotifierStoppedError(event.id);
    if (wanting.length === 0) return 'unwanted';
    const lanes = wanting.filter((lane) => !lane.knows(event.id));
    if (lanes.length === 0) return 'duplicate';
    await this.#enter(event, lanes);
    return 'queued';
  }

  /** What failed for the last time and was not tried again since, the oldest first. */
  failed(): FailedNotification<Event>[] {
    return [...this.#failed];
  }

  /**
   * Gives a failed event to the handlers again at which it failed, with all attempts anew.
   * @returns at how many handlers; 0 when it is not among `failed()`.
   * @throws as `notify`; the event is then still among `failed()`.
   */
  async retryFailed(eventId: string): Promise<number> {
    if (this.#stopping !== null) throw new NotifierStoppedError(eventId);
    const entries = this.#failed.filter(({ event }) => event.id === eventId);
    const [first] = entries;
    if (first === undefined || this.#entering.has(eventId)) return 0;
    await this.#enter(
      first.event,
      entries.map(({ handler }) => this.#lane(handler)),
    );
    this.#failed = this.#failed.filter((entry) => !entries.includes(entry));
    return entries.length;
  }

  /**
   * Takes no more events, and finishes what it has: everything queued, and every retry without the rest of its delay, gets
   * one attempt. What fails then, and what is not done within `timeoutMs` (10000 by default, 0 to begin nothing more), is
   * handed back. Calls of `notify` that wait for a place are refused. Called again, it answers the same.
   */
  stop({ timeoutMs }: { timeoutMs?: number } = {}): Promise<StopResult<Event>> {
    const longestMs = whole('timeoutMs', timeoutMs, { or: STOP_MS, from: 0, to: LONGEST_STOP_MS });
    this.#stopping ??= this.#stop(longestMs);
    return this.#stopping;
  }

  async #stop(timeoutMs: number): Promise<StopResult<Event>> {
    this.#places.refuseAll((eventId) => new NotifierStoppedError(eventId));
    const lanes = [...this.#lanes.values()];
    if (timeoutMs > 0) await settledWithin(timeoutMs, Promise.all(lanes.map((lane) => lane.drain())));
    const left = lanes.flatMap((lane) => lane.close());
    this.#settings.log.info('notifier.stopped', { left: left.length, failed: this.#failed.length });
    return { left };
  }

  async #enter(event: Event, lanes: HandlerLane<Event>[]): Promise<void> {
    const { whenFull, queueSize } = this.#settings;
    if (whenFull === 'refuse' && this.#places.isFull) throw new QueueFullError(event.id, queueSize);
    const entered = this.#places.take(event.id, () => this.#queue(event, lanes));
    this.#entering.set(event.id, entered);
    try {
      await entered;
    } finally {
      this.#entering.delete(event.id);
    }
  }

  /** The event has its place until it is finished at all of its handlers. */
  #queue(event: Event, lanes: HandlerLane<Event>[]): void {
    let open = lanes.length;
    const done = (): void => {
      open -= 1;
      if (open === 0) this.#places.free();
    };
    for (const lane of lanes) lane.add(event, done);
  }

  async #keepFailed(failed: FailedNotification<Event>): Promise<void> {
    const { maxFailed, log, onFailed } = this.#settings;
    this.#failed.push(failed);
    for (const { event, handler } of this.#failed.splice(0, Math.max(0, this.#failed.length - maxFailed))) {
      log.error('failed.forgotten', { handler, eventId: event.id });
    }
    try {
      await onFailed(failed);
    } catch (error) {
      log.error('on-failed.threw', { handler: failed.handler, eventId: failed.event.id, error: String(error) });
    }
  }

  #lane(name: string): HandlerLane<Event> {
    const lane = this.#lanes.get(name);
    if (lane === undefined) throw new InvalidOptionError('handlers', `no handler ${name} is registered`);
    return lane;
  }
}

function requireEvent(event: Partial<NotifierEvent> | null | undefined): void {
  for (const field of ['id', 'type'] as const) {
    const value = event?.[field];
    if (typeof value !== 'string' || value === '') {
      throw new InvalidOptionError(`event.${field}`, 'expected a text that is not empty');
    }
  }
}

async function settledWithin(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
