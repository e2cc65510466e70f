/** Any error of this package. `code` is for programs, `message` for people. */
export class EventCenterClientError extends Error {
  override readonly name: string = 'EventCenterClientError';
  /** As the centre names it (protocol page, section 2), or one of this package's own. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The centre refused the call by rule; repeating it as it is changes nothing. */
export class RefusedError extends EventCenterClientError {
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

/**
 * The centre could not be reached, or could not say that it has taken the call. Whether it did is unknown: repeat it
 * under the same uuid.
 */
export class UnavailableError extends EventCenterClientError {
  override readonly name = 'UnavailableError';
  /** HTTP status of the last answer, null when there was none. */
  readonly status: number | null;
  /** The key under which a repeat is safe, if the call had one. */
  readonly uuid: string | null;

  constructor(message: string, of: { status: number | null; uuid?: string | null; code?: string; cause?: unknown }) {
    super(of.code ?? 'UNAVAILABLE', message, of.cause === undefined ? undefined : { cause: of.cause });
    this.status = of.status;
    this.uuid = of.uuid ?? null;
  }
}

/** Something that the application gave is not as it must be; nothing was sent. */
export class InvalidOptionError extends EventCenterClientError {
  override readonly name = 'InvalidOptionError';
  /** The field that is wrong. */
  readonly field: string;

  constructor(field: string, rule: string) {
    super('INVALID_PARAM', `${field}: ${rule}`);
    this.field = field;
  }
}
