/** What a notifier needs to know of an event; the rest is the application's. */
export interface NotifierEvent {
  /** The same event has the same id, however often it is given. */
  readonly id: string;
  readonly type: string;
}

/** What a handler is told beside the event. */
export interface HandlerContext {
  /** 1-based number of the attempt at this handler. */
  readonly attempt: number;
  /** Aborted when the attempt takes too long, and when the notifier stops waiting for it. */
  readonly signal: AbortSignal;
}

/** Acts on an event. Returning is success; throwing or rejecting is a failure, which is tried again. */
export type NotifierHandler<Event extends NotifierEvent> =
  | ((event: Event, context: HandlerContext) => Promise<void> | void)
  | { handle(event: Event, context: HandlerContext): Promise<void> | void };

export interface RegisterOptions {
  /** Only events of these types; all by default. */
  eventTypes?: readonly string[];
}

export interface NotifyOptions {
  /** Only to the handlers of these names, for example to one from which the event was handed back. */
  handlers?: readonly string[];
}

/** `queued`: it will be handled. `duplicate`: it was taken before. `unwanted`: no handler wants its type. */
export type NotifyAnswer = 'queued' | 'duplicate' | 'unwanted';

/** An event whose last attempt at a handler failed. */
export interface FailedNotification<Event extends NotifierEvent> {
  readonly event: Event;
  /** Name of the handler. */
  readonly handler: string;
  readonly attempts: number;
  readonly lastError: unknown;
  /** Milliseconds since the epoch. */
  readonly failedAt: number;
}

/** An event that a stopped notifier did not finish at a handler. */
export interface LeftNotification<Event extends NotifierEvent> {
  readonly event: Event;
  /** Name of the handler. */
  readonly handler: string;
  /** Attempts that were begun. */
  readonly attempts: number;
  /** Of the last attempt that failed; null when none did. */
  readonly lastError: unknown;
  /** True when an attempt was under way: the handler may have acted. */
  readonly interrupted: boolean;
}

export interface StopResult<Event extends NotifierEvent> {
  left: LeftNotification<Event>[];
}
