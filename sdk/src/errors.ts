/**
 * Any error of this package. `code` is for programs, `message` for people. `instanceof` also knows errors of another copy
 * of this package, such as the CommonJS one in an application that loads both.
 */
export class EventCenterClientError extends Error {
  /** How copies of this package know each other's classes. */
  static readonly kind: string = 'EventCenterClientError';
  override readonly name: string = 'EventCenterClientError';
  /** As the centre names it (protocol page, section 2), or one of this package's own. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    Object.defineProperty(this, KINDS, { value: kindsOf(new.target) });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (Function.prototype[Symbol.hasInstance].call(this, value)) return true;
    // A class that an application derives has no kind of its own, and no other copy.
    if (!Object.hasOwn(this, 'kind') || typeof value !== 'object' || value === null) return false;
    const kinds = (value as { [KINDS]?: unknown })[KINDS];
    return Array.isArray(kinds) && kinds.includes(this.kind);
  }
}

const KINDS = Symbol.for('@event-center/sdk/error-kinds');

function kindsOf(type: unknown): string[] {
  const kinds: string[] = [];
  for (let at = type; typeof at === 'function' && at !== Error; at = Object.getPrototypeOf(at) as unknown) {
    if (Object.hasOwn(at, 'kind')) kinds.push((at as typeof EventCenterClientError).kind);
  }
  return kinds;
}

/** The centre refused the call by rule; repeating it as it is changes nothing. */
export class RefusedError extends EventCenterClientError {
  static override readonly kind = 'RefusedError';
  override readonly name = 'RefusedError';
  /** HTTP status of the answer. */
  readonly status: number;
  /** The event's id, when the centre knew it. */
  readonly eventId: string | null;

  constructor(code: string, message: string, of: { status: number; eventId?: string | null }) {
    super(code, message);
    this.status = of.status;
    this.eventId = of.eventId ?? null;
  }
}

/** What is known of a call without a usable answer. */
export interface UnavailableDetails {
  status: number | null;
  uuid?: string | null;
  /** `UNAVAILABLE` by default. */
  code?: string;
  retryAfterMs?: number | null;
  cause?: unknown;
}

/**
 * The centre could not be reached, or could not say that it has taken the call. Whether it did is unknown: repeat it
 * under the same uuid. Codes beside the centre's `UNAVAILABLE`, `IN_PROGRESS` and `RATE_LIMITED` are `TIMEOUT`,
 * `ABORTED` and `UNEXPECTED_ANSWER`.
 */
export class UnavailableError extends EventCenterClientError {
  static override readonly kind = 'UnavailableError';
  override readonly name = 'UnavailableError';
  /** HTTP status of the last answer, null when there was none. */
  readonly status: number | null;
  /** The key under which a repeat is safe, if the call had one. */
  readonly uuid: string | null;
  /** Milliseconds after which the centre asked for a repeat, null when it did not. */
  readonly retryAfterMs: number | null;

  constructor(message: string, of: UnavailableDetails) {
    super(of.code ?? 'UNAVAILABLE', message, of.cause === undefined ? undefined : { cause: of.cause });
    this.status = of.status;
    this.uuid = of.uuid ?? null;
    this.retryAfterMs = of.retryAfterMs ?? null;
  }
}

/** Something that the application gave is not as it must be; nothing was sent. */
export class InvalidOptionError extends EventCenterClientError {
  static override readonly kind = 'InvalidOptionError';
  override readonly name = 'InvalidOptionError';
  /** The field that is wrong. */
  readonly field: string;

  constructor(field: string, rule: string) {
    super('INVALID_PARAM', `${field}: ${rule}`);
    this.field = field;
  }
}
