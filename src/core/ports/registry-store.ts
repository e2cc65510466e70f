import type { EventType, JsonObject, Listener, ListenerRevision, Node, RegistryData } from '../model.js';

/** Who does a write on the management API. */
export interface Actor {
  /** `token:<name>` or `system`. */
  name: string;
  /** Request id, for the audit log. */
  requestId: string | null;
}

export interface AuditEntry {
  action: string;
  /** Kind and id of what was changed, such as `node` and `A`. */
  subjectKind: string;
  subjectId: string;
  /** What was asked, secrets replaced by `***`. */
  detail: JsonObject;
}

/** The registry inside one transaction; sees its own writes. Saves overwrite by id and keep `version` as given. */
export interface RegistryWriter {
  /** The registry version that this change becomes. */
  readonly version: number;
  findNode(nodeCode: string): Promise<Node | null>;
  findEventType(id: string): Promise<EventType | null>;
  findEventTypeByCode(sourceId: string, eventTypeCode: string): Promise<EventType | null>;
  findListener(id: string): Promise<Listener | null>;
  eventTypesOwnedBy(nodeCode: string): Promise<EventType[]>;
  listenersOfNode(nodeCode: string): Promise<Listener[]>;
  listenersOfEventType(eventTypeId: string): Promise<Listener[]>;
  /** All different delays of all listeners. */
  listenerDelaysMs(): Promise<number[]>;
  saveNode(node: Node): Promise<void>;
  deleteNode(nodeCode: string): Promise<void>;
  /** Ends the tokens of a node; returns how many there were. */
  revokeTokensOf(nodeCode: string): Promise<number>;
  saveEventType(eventType: EventType): Promise<void>;
  deleteEventType(id: string): Promise<void>;
  saveListener(listener: Listener): Promise<void>;
  deleteListener(id: string): Promise<void>;
  openRevision(revision: ListenerRevision): Promise<void>;
  /** Ends the open revision of a listener at this change's version. */
  closeRevision(listenerId: string, closedAt: number): Promise<void>;
  audit(entry: AuditEntry): Promise<void>;
}

export interface RegistryStore {
  readVersion(): Promise<number>;
  load(): Promise<RegistryData>;
  /**
   * Runs `work` in a transaction that excludes other changes (retried on deadlock, so `work` has no outside effect);
   * what it throws rolls everything back. The version is raised by one.
   */
  change<T>(actor: Actor, work: (writer: RegistryWriter) => Promise<T>): Promise<{ value: T; version: number }>;
  /** Removes closed revisions of before `closedBefore`; returns them. */
  pruneRevisions(closedBefore: number): Promise<ListenerRevision[]>;
}
