/** An event as an application sees it, whichever way it came. Times are milliseconds since the epoch. */
export interface BusinessEvent<Payload = unknown> {
  /** The centre's id of the event: the same however often it comes, so that a receiver can act once. */
  readonly eventId: string;
  readonly sourceId: string;
  readonly eventType: string;
  readonly tenantCode: string | null;
  /** `userObject` parsed as JSON; its text when it is no JSON; null when the sender gave none. */
  readonly payload: Payload;
  /** `userObject` as the sender wrote it, null when absent. */
  readonly userObject: string | null;
  /** The listener that is called; null when the way it came does not say. */
  readonly listenerId: string | null;
  /** 1-based number of the attempt at this listener. */
  readonly attempt: number;
  /** When the centre accepted it; null when the way it came does not say. */
  readonly acceptedAt: number | null;
  /** The sender's idempotency key, if any. */
  readonly senderUuid: string | null;
  /** W3C trace context of the sender, if any. */
  readonly traceparent: string | null;
}

/** The payload of `userObject`: parsed when it is JSON, else its text; null when there is none. */
export function payloadOf(userObject: string | null): unknown {
  if (userObject === null) return null;
  try {
    return JSON.parse(userObject) as unknown;
  } catch {
    return userObject;
  }
}
