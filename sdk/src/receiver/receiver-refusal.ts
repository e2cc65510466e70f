import { EventCenterClientError } from '../errors.js';

/** HTTP status of each refusal. */
const STATUSES = {
  /** The method is not POST. */
  METHOD_NOT_ALLOWED: 405,
  /** The body is larger than it may be. */
  PAYLOAD_TOO_LARGE: 413,
  /** Something of the request is not as the protocol says. */
  INVALID_PARAM: 400,
  /** It is not signed with a key of this receiver. */
  BAD_SIGNATURE: 401,
  /** It is signed for another application. */
  UNKNOWN_APP: 401,
  /** It was signed too long ago, or for a time to come. */
  TIMESTAMP_EXPIRED: 401,
  /** The framework has read the raw body, without which no signature can be checked. */
  BODY_ALREADY_PARSED: 500,
} as const;

/** Why a receiver refuses a call before the application sees it. */
export type ReceiverRefusalCode = keyof typeof STATUSES;

/** A call that the application does not get to see. */
export class ReceiverRefusal extends EventCenterClientError {
  static override readonly kind = 'ReceiverRefusal';
  override readonly name = 'ReceiverRefusal';
  declare readonly code: ReceiverRefusalCode;
  /** HTTP status of the answer. */
  readonly status: number;

  constructor(code: ReceiverRefusalCode, message: string) {
    super(code, message);
    this.status = STATUSES[code];
  }
}
