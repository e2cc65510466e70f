import { registrationsIn, type Registrations as ApplicationRegistrations } from '../client/registrations.js';
import type { SignedAnswer } from '../client/read-answer.js';
import { UnavailableError } from '../errors.js';

export type { RegisteredEventType, RegisteredListener } from '../client/registrations.js';

/**
 * What `eventinfo/index.do` tells a host about its node (protocol page, section 5). Times are milliseconds, absent
 * values null.
 */
export interface Registrations extends ApplicationRegistrations {
  node: RegisteredNode;
  /** Of the node's plugin listeners: who is owed an event is decided by the registry version that the event carries. */
  revisions: RegisteredRevision[];
  /** The default schedule of retries. */
  defaultDelaysMs: number[];
  /** Every delay step of the centre, ascending. */
  delaysMs: number[];
  /** Begins the names of the centre's queues and exchanges. */
  brokerPrefix: string;
}

export interface RegisteredNode {
  nodeCode: string;
  enabled: boolean;
  onExhausted: 'continue' | 'stop';
  /** Events at a time, per process. */
  concurrency: number;
  /** Calls per second, per process; null is unlimited. */
  deliverRateLimit: number | null;
}

/** From `fromVersion` inclusive to `toVersion` exclusive (null while it lasts) the listener was owed events. */
export interface RegisteredRevision {
  listenerId: string;
  listenerName: string;
  eventTypeId: string;
  operIndex: number;
  fromVersion: number;
  toVersion: number | null;
  closedAt: number | null;
  tenantCode: string | null;
  filter: Record<string, unknown> | null;
}

/** The registrations as the host knows them. */
export interface RegistrationsView {
  /** As last read. They are read before a transport is started. */
  current(): Registrations;
  /**
   * Asks the centre now; several callers share one request.
   * @throws RefusedError and UnavailableError as any signed call.
   */
  refresh(): Promise<Registrations>;
  /** Calls `changed` after each refresh that brought a new version; the answer ends that. */
  onChange(changed: (registrations: Registrations) => void): () => void;
}

/**
 * The registrations in an answer.
 * @throws UnavailableError when they are not there.
 */
export function hostRegistrationsIn(answer: SignedAnswer): Registrations {
  const { node, revisions, defaultDelaysMs, delaysMs, brokerPrefix } = answer.data;
  const isComplete =
    typeof node === 'object' &&
    node !== null &&
    Array.isArray(revisions) &&
    Array.isArray(defaultDelaysMs) &&
    Array.isArray(delaysMs) &&
    typeof brokerPrefix === 'string';
  if (!isComplete) {
    throw new UnavailableError(
      'expected node, revisions, delays and brokerPrefix in the answer, found something else',
      {
        status: answer.status,
        code: 'UNEXPECTED_ANSWER',
      },
    );
  }
  return {
    ...registrationsIn(answer),
    node: node as RegisteredNode,
    revisions: revisions as RegisteredRevision[],
    defaultDelaysMs: defaultDelaysMs as number[],
    delaysMs: delaysMs as number[],
    brokerPrefix,
  };
}
