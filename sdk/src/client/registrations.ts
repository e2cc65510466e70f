import { UnavailableError } from '../errors.js';
import type { SignedAnswer } from './read-answer.js';

/** What the centre has registered for this application: `eventinfo/index.do` (protocol page, section 2). */
export interface Registrations {
  /** Of the whole registry; it grows with every change. */
  version: number;
  /** Those that the application owns or listens to. */
  eventTypes: RegisteredEventType[];
  /** The application's own, without their secrets. */
  listeners: RegisteredListener[];
}

/** An event type as an application sees it. */
export interface RegisteredEventType {
  id: string;
  sourceId: string;
  sourceName: string | null;
  eventTypeCode: string;
  eventTypeName: string | null;
  /** The node code that may send it, or `ALL`. */
  owner: string;
  note: string | null;
  /** JSON Schema of `userObject`, null for none. */
  schema: Record<string, unknown> | null;
  version: number;
}

/** A listener as its application sees it. */
export interface RegisteredListener {
  id: string;
  name: string;
  namei18n: string | null;
  eventTypeId: string;
  sourceId: string | null;
  eventTypeCode: string | null;
  /** Where callbacks go; null for a plugin. */
  url: string | null;
  /** Class name of a plugin; null for a callback. */
  implClassName: string | null;
  /** Place among the application's listeners of the event type, ascending. */
  operIndex: number;
  enabled: boolean;
  owner: string | null;
  note: string | null;
  tenantCode: string | null;
  /** JSON Schema that a payload must satisfy to be delivered here, null for none. */
  filter: Record<string, unknown> | null;
  format: string;
  timeoutMs: number;
  /** `maxAttempts` counts all attempts; null takes the centre's default. */
  retry: { strategy: 'default' | 'loop' | 'none'; maxAttempts: number | null; delaysMs: number[] | null };
  version: number;
}

/**
 * The registrations in an answer.
 * @throws UnavailableError when they are not there.
 */
export function registrationsIn({ status, data }: SignedAnswer): Registrations {
  const { version, eventTypes, listeners } = data;
  if (typeof version !== 'number' || !Array.isArray(eventTypes) || !Array.isArray(listeners)) {
    throw new UnavailableError('expected version, eventTypes and listeners in the answer, found something else', {
      status,
      code: 'UNEXPECTED_ANSWER',
    });
  }
  return {
    version,
    eventTypes: eventTypes as RegisteredEventType[],
    listeners: listeners as RegisteredListener[],
  };
}
