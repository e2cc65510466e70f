/** The one table of error codes: HTTP status on the management API and whether a repeat can help. */
const ERROR_TABLE = {
  INVALID_PARAM: { status: 422, retryable: false, title: 'A field does not satisfy its rule' },
  MALFORMED_BODY: { status: 400, retryable: false, title: 'The body cannot be read' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, retryable: false, title: 'The content type is not supported' },
  UNAUTHENTICATED: { status: 401, retryable: false, title: 'A valid bearer token is required' },
  FORBIDDEN: { status: 403, retryable: false, title: 'The token may not do this' },
  NOT_FOUND: { status: 404, retryable: false, title: 'There is no such thing' },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false, title: 'The method is not offered here' },
  CONFLICT: { status: 409, retryable: false, title: 'It conflicts with what is registered' },
  IN_USE: { status: 409, retryable: false, title: 'It is in use' },
  NOT_RETRYABLE: { status: 409, retryable: false, title: 'The delivery cannot be retried now' },
  VERSION_MISMATCH: { status: 412, retryable: false, title: 'It was changed meanwhile' },
  PAYLOAD_TOO_LARGE: { status: 413, retryable: false, title: 'The body is too large' },
  NOT_IMPLEMENTED: { status: 422, retryable: false, title: 'This is not built yet' },
  RATE_LIMITED: { status: 429, retryable: true, title: 'The rate limit is reached' },
  UNAVAILABLE: { status: 503, retryable: true, title: 'A service that is needed does not answer' },
  IN_PROGRESS: { status: 503, retryable: true, title: 'The same call is still running' },
  UNKNOWN_APP: { status: 401, retryable: false, title: 'The application is not registered' },
  BAD_SIGNATURE: { status: 401, retryable: false, title: 'The signature is wrong' },
  TIMESTAMP_EXPIRED: { status: 401, retryable: false, title: 'The timestamp is missing or too far away' },
  SIGNATURE_USED: { status: 401, retryable: false, title: 'The very same signed request was accepted before' },
  UNKNOWN_EVENT_TYPE: { status: 422, retryable: false, title: 'The event type is not registered' },
  NOT_OWNER: { status: 403, retryable: false, title: 'The application does not own the event type' },
  SCHEMA_MISMATCH: {
    status: 422,
    retryable: false,
    title: 'The payload does not satisfy the schema of its event type',
  },
  CONFIG_INVALID: { status: 500, retryable: false, title: 'The configuration is wrong' },
  INTERNAL: { status: 500, retryable: false, title: 'Something broke on our side' },
} as const;

export type ErrorCode = keyof typeof ERROR_TABLE;

/** One field that is wrong: `path` in dotted form as the caller wrote it, `message` naming the rule. */
export interface FieldError {
  path: string;
  message: string;
}

export interface ErrorDetails {
  fields?: FieldError[];
  /** Seconds after which a repeat may help; for `Retry-After`. */
  retryAfterSeconds?: number;
  cause?: unknown;
  /** Further members of the problem document, such as `usedBy`. */
  extra?: Record<string, unknown>;
}

/** The one error class of the centre. The message says what was expected, what was found and what to do. */
export class EventCenterError extends Error {
  readonly code: ErrorCode;
  readonly fields: FieldError[];
  readonly retryAfterSeconds: number | null;
  readonly extra: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.name = 'EventCenterError';
    this.fields = details.fields ?? [];
    this.retryAfterSeconds = details.retryAfterSeconds ?? null;
    this.extra = details.extra ?? {};
  }

  get status(): number {
    return ERROR_TABLE[this.code].status;
  }

  get title(): string {
    return ERROR_TABLE[this.code].title;
  }

  get retryable(): boolean {
    return ERROR_TABLE[this.code].retryable;
  }

  /** The event that the refused call was about; null when none was made or nobody knows its id. */
  get eventId(): string | null {
    const { eventId } = this.extra;
    return typeof eventId === 'string' ? eventId : null;
  }

  /** The same error about an event whose id is known. A new one, because others may be told of this one too. */
  aboutEvent(eventId: string): EventCenterError {
    return new EventCenterError(this.code, this.message, {
      fields: this.fields,
      ...(this.retryAfterSeconds === null ? {} : { retryAfterSeconds: this.retryAfterSeconds }),
      cause: this.cause ?? this,
      extra: { ...this.extra, eventId },
    });
  }
}

/** An `INVALID_PARAM` about one field. */
export function invalidField(path: string, rule: string): EventCenterError {
  return invalidFields([{ path, message: rule }]);
}

/** An answer names no more fields than this: nobody reads on, and somebody may have written a million. */
export const MOST_FIELDS = 50;

/** An `INVALID_PARAM` that names all `fields`, or the first `MOST_FIELDS` of them and that there are more. */
export function invalidFields(fields: FieldError[]): EventCenterError {
  const named = fields.slice(0, MOST_FIELDS);
  const problems = named.map((field) => `${field.path}: ${field.message}`);
  if (fields.length > named.length) problems.push('and more');
  return new EventCenterError('INVALID_PARAM', problems.join('; '), { fields: named });
}

/** Whether `error` is an EventCenterError with `code`. */
export function hasCode(error: unknown, code: ErrorCode): error is EventCenterError {
  return error instanceof EventCenterError && error.code === code;
}
