/**
 * What `eventinfo/index.do` tells a host about its node (protocol page, sections 2 and 5). Times are milliseconds, absent
 * values null.
 */
export interface Registrations {
  /** Version of the registry. */
  version: number;
  node: RegisteredNode;
  eventTypes: RegisteredEventType[];
  /** The node's listeners of both kinds. */
  listeners: RegisteredListener[];
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

export interface RegisteredEventType {
  id: string;
  sourceId: string;
  eventTypeCode: string;
}

export interface RegisteredListener {
  id: string;
  name: string;
  eventTypeId: string;
  sourceId: string | null;
  eventTypeCode: string | null;
  /** Null for a plugin. */
  url: string | null;
  /** Null for a listener that is called by url. */
  implClassName: string | null;
  operIndex: number;
  enabled: boolean;
  tenantCode: string | null;
  /** JSON Schema that the payload must satisfy, or null. */
  filter: Record<string, unknown> | null;
  timeoutMs: number;
  retry: RegisteredRetry;
  version: number;
}

/** `maxAttempts` null means the number of delays + 1; `delaysMs` null means the default schedule. */
export interface RegisteredRetry {
  strategy: 'default' | 'loop' | 'none';
  maxAttempts: number | null;
  delaysMs: number[] | null;
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
