import { InvalidOptionError } from '../errors.js';
import { noLog, type SdkLog } from '../log.js';
import type { FailedNotification, NotifierEvent } from './notification.js';

export interface EventNotifierOptions<Event extends NotifierEvent = NotifierEvent> {
  /**
   * Most events that are taken and not finished at all their handlers: waiting, running, or waiting for a retry. 1000 by
   * default.
   */
  queueSize?: number;
  /** `notify` with a full queue: `wait` for a place (the default), or `refuse` with a QueueFullError. */
  whenFull?: 'wait' | 'refuse';
  /** Events at a time at each handler, 4 by default. With 1, events begin in the order in which they were given. */
  concurrency?: number;
  /** Attempts at each handler in all, 5 by default. */
  maxAttempts?: number;
  /** Milliseconds before the first retry, 1000 by default; each further one doubles, less up to half of it by chance. */
  firstDelayMs?: number;
  /** The longest milliseconds before a retry, 60000 by default. */
  maxDelayMs?: number;
  /** Milliseconds after which an attempt counts as failed and its signal is aborted, 30000 by default. */
  attemptTimeoutMs?: number;
  /** Milliseconds for which the id of a finished event is remembered, 3600000 (an hour) by default. */
  idempotencyTtlMs?: number;
  /** Most ids that are remembered, 100000 by default; beyond it the oldest is forgotten before its time. */
  idempotencyMaxIds?: number;
  /** Most failed notifications that `failed()` keeps, 1000 by default; beyond it the oldest goes, and the log says so. */
  maxFailed?: number;
  /** Called with what failed for the last time. */
  onFailed?: (failed: FailedNotification<Event>) => Promise<void> | void;
  /** Told what happened, never an event's content; nothing by default. */
  log?: SdkLog;
}

export type NotifierSettings<Event extends NotifierEvent> = Required<EventNotifierOptions<Event>>;

/** The longest that a timer of Node can wait. */
const LONGEST_MS = 2_147_483_647;

/** The options with their defaults. @throws InvalidOptionError */
export function settingsOf<Event extends NotifierEvent>(options: EventNotifierOptions<Event>): NotifierSettings<Event> {
  const settings: NotifierSettings<Event> = {
    queueSize: whole('queueSize', options.queueSize, { or: 1000, from: 1 }),
    whenFull: options.whenFull ?? 'wait',
    concurrency: whole('concurrency', options.concurrency, { or: 4, from: 1 }),
    maxAttempts: whole('maxAttempts', options.maxAttempts, { or: 5, from: 1 }),
    firstDelayMs: whole('firstDelayMs', options.firstDelayMs, { or: 1000, from: 0, to: LONGEST_MS }),
    maxDelayMs: whole('maxDelayMs', options.maxDelayMs, { or: 60_000, from: 0, to: LONGEST_MS }),
    attemptTimeoutMs: whole('attemptTimeoutMs', options.attemptTimeoutMs, { or: 30_000, from: 1, to: LONGEST_MS }),
    idempotencyTtlMs: whole('idempotencyTtlMs', options.idempotencyTtlMs, { or: 3_600_000, from: 0 }),
    idempotencyMaxIds: whole('idempotencyMaxIds', options.idempotencyMaxIds, { or: 100_000, from: 0 }),
    maxFailed: whole('maxFailed', options.maxFailed, { or: 1000, from: 0 }),
    onFailed: options.onFailed ?? (() => undefined),
    log: options.log ?? noLog,
  };
  if (!['wait', 'refuse'].includes(settings.whenFull)) {
    throw new InvalidOptionError('whenFull', 'expected wait or refuse');
  }
  return settings;
}

/** A whole number in a range, or its default. @throws InvalidOptionError */
export function whole(
  field: string,
  value: number | undefined,
  { or, from, to = Number.MAX_SAFE_INTEGER }: { or: number; from: number; to?: number },
): number {
  const number = value ?? or;
  if (!Number.isInteger(number) || number < from || number > to) {
    throw new InvalidOptionError(field, `expected a whole number, ${from} to ${to}`);
  }
  return number;
}
