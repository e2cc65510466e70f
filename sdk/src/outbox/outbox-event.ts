import { checkSubmission, type SubmissionDetails } from '../client/submission.js';
import { InvalidOptionError } from '../errors.js';

/** An event as an application puts it into its outbox; the rules are those of a client's `send`. */
export interface OutboxEvent extends SubmissionDetails {
  /** 1 to 40 characters. */
  sourceId: string;
  /** 1 to 40 characters. */
  eventType: string;
  /** A text is sent as it is, everything else as JSON. */
  userObject?: unknown;
  /**
   * What the event belongs to, 1 to 190 characters: `order:17`. Events of one aggregate are sent in the order in which
   * they were added; events without one are independent of all others.
   */
  aggregate?: string;
}

/** An event as it stands in the table: checked, its payload as text, absent values null, times in milliseconds. */
export interface StoredEvent {
  uuid: string;
  sourceId: string;
  eventType: string;
  tenantCode: string | null;
  userObject: string | null;
  aggregate: string | null;
  deliverAt: number | null;
  traceparent: string | null;
}

const AGGREGATE_LENGTH = 190;

/** @throws InvalidOptionError that names the field, behind `prefix`, and its rule. */
export function storedEvent(event: OutboxEvent, prefix = ''): StoredEvent {
  try {
    if (typeof event !== 'object' || (event as unknown) === null)
      throw new InvalidOptionError('event', 'expected an object');
    const { aggregate, ...submission } = event;
    if (submission.userObject === undefined) delete submission.userObject;
    const { uuid, fields, headers } = checkSubmission(submission);
    return {
      uuid,
      sourceId: fields['sourceID'] ?? '',
      eventType: fields['eventType'] ?? '',
      tenantCode: fields['tenantCode'] ?? null,
      userObject: fields['userObject'] ?? null,
      aggregate: aggregateOf(aggregate),
      deliverAt: fields['deliverAt'] === undefined ? null : Number(fields['deliverAt']),
      traceparent: headers['traceparent'] ?? null,
    };
  } catch (error) {
    if (prefix === '' || !(error instanceof InvalidOptionError)) throw error;
    throw new InvalidOptionError(`${prefix}${error.field}`, error.message.slice(`${error.field}: `.length));
  }
}

function aggregateOf(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== 'string' || value === '' || [...value].length > AGGREGATE_LENGTH) {
    throw new InvalidOptionError('aggregate', `expected a text of 1 to ${AGGREGATE_LENGTH} characters, or none`);
  }
  return value;
}
