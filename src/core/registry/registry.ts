import { EventCenterError } from '../errors.js';
import type { EventType, JsonValue, Listener, ListenerKind, ListenerRevision, Node, RegistryData } from '../model.js';
import type { SchemaCheck, SchemaCompiler } from '../ports.js';

/** A listener that is owed an event, with its registration as it is now: null when it was deleted meanwhile. */
export interface Owed {
  listenerId: string;
  nodeCode: string;
  kind: ListenerKind;
  operIndex: number;
  listener: Listener | null;
}

/** What of an event decides who is owed it. */
export interface OwedQuestion {
  eventTypeId: string;
  tenantCode: string | null;
  userObject: Buffer | null;
  registryVersion: number;
}

/**
 * The registry at one version, in memory: immutable, and answers without a query. Worker, journal and accepting
 * use the same rule for who is owed an event (architecture, decision 3).
 */
export class RegistrySnapshot {
  readonly version: number;
  readonly data: RegistryData;
  readonly #nodes: Map<string, Node>;
  readonly #eventTypes: Map<string, EventType>;
  readonly #eventTypesByCode: Map<string, EventType>;
  readonly #listeners: Map<string, Listener>;
  readonly #revisionsByType: Map<string, ListenerRevision[]>;
  readonly #schemas: SchemaCompiler;
  readonly #checks = new Map<object, SchemaCheck>();

  constructor(data: RegistryData, schemas: SchemaCompiler) {
    this.version = data.version;
    this.data = data;
    this.#schemas = schemas;
    this.#nodes = new Map(data.nodes.map((node) => [node.nodeCode, node]));
    this.#eventTypes = new Map(data.eventTypes.map((type) => [type.id, type]));
    this.#eventTypesByCode = new Map(data.eventTypes.map((type) => [codeKey(type.sourceId, type.eventTypeCode), type]));
    this.#listeners = new Map(data.listeners.map((listener) => [listener.id, listener]));
    this.#revisionsByType = new Map();
    for (const revision of data.revisions) {
      const known = this.#revisionsByType.get(revision.eventTypeId);
      if (known === undefined) this.#revisionsByType.set(revision.eventTypeId, [revision]);
      else known.push(revision);
    }
  }

  node(nodeCode: string): Node | null {
    return this.#nodes.get(nodeCode) ?? null;
  }

  eventType(id: string): EventType | null {
    return this.#eventTypes.get(id) ?? null;
  }

  eventTypeByCode(sourceId: string, eventTypeCode: string): EventType | null {
    return this.#eventTypesByCode.get(codeKey(sourceId, eventTypeCode)) ?? null;
  }

  listener(id: string): Listener | null {
    return this.#listeners.get(id) ?? null;
  }

  /**
   * Who is owed an event: the listeners that existed at its version and match its tenant and payload, in ascending
   * `operIndex` per node. The same answer from every snapshot whose version is not older than the question's.
   */
  owed(question: OwedQuestion, only?: { nodeCode: string; kind: ListenerKind }): Owed[] {
    const owed: Owed[] = [];
    let payload: JsonValue | undefined;
    for (const revision of this.#revisionsByType.get(question.eventTypeId) ?? []) {
      if (only !== undefined && (revision.nodeCode !== only.nodeCode || revision.kind !== only.kind)) continue;
      if (revision.fromVersion > question.registryVersion) continue;
      if (revision.toVersion !== null && revision.toVersion <= question.registryVersion) continue;
      if (revision.tenantCode !== null && revision.tenantCode !== question.tenantCode) continue;
      if (revision.filter !== null) {
        payload ??= payloadValue(question.userObject);
        if (this.checkOf(revision.filter)(payload) !== null) continue;
      }
      const listener = this.listener(revision.listenerId);
      owed.push({
        listenerId: revision.listenerId,
        nodeCode: revision.nodeCode,
        kind: revision.kind,
        operIndex: listener?.operIndex ?? revision.operIndex,
        listener,
      });
    }
    return owed.sort(byNodeAndOrder);
  }

  /** The compiled check of a schema or filter of this snapshot. */
  checkOf(schema: Parameters<SchemaCompiler['compile']>[0]): SchemaCheck {
    let check = this.#checks.get(schema);
    if (check === undefined) {
      check = this.#schemas.compile(schema);
      this.#checks.set(schema, check);
    }
    return check;
  }
}

/** The payload as a JSON value: parsed when it is JSON, else its text; null when there is none. */
function payloadValue(userObject: Buffer | null): JsonValue {
  if (userObject === null) return null;
  const text = userObject.toString('utf8');
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return text;
  }
}

function byNodeAndOrder(a: Owed, b: Owed): number {
  if (a.nodeCode !== b.nodeCode) return a.nodeCode < b.nodeCode ? -1 : 1;
  if (a.operIndex !== b.operIndex) return a.operIndex - b.operIndex;
  return a.listenerId < b.listenerId ? -1 : 1;
}

function codeKey(sourceId: string, eventTypeCode: string): string {
  return `${sourceId}\0${eventTypeCode}`;
}

/** Where the current snapshot comes from; `RegistryMirror` is the one implementation, tests may use a fixed one. */
export interface RegistryView {
  /** @throws UNAVAILABLE before the first snapshot was loaded. */
  current(): RegistrySnapshot;
  /** A snapshot whose version is at least `version`, reloading if needed. @throws UNAVAILABLE when it cannot be had. */
  atLeast(version: number): Promise<RegistrySnapshot>;
  /**
   * The snapshot that decides who is owed an event of `version`: one that is not older, or the store's newest when the
   * store does not know that version either. @throws UNAVAILABLE while the store cannot be asked.
   */
  forVersion(version: number): Promise<RegistrySnapshot>;
  /** The newest snapshot: asks the store once, and falls back to the current one while the store is away. */
  refreshed(): Promise<RegistrySnapshot>;
}

/** A view that never changes; the store cannot be asked. */
export function fixedRegistry(snapshot: RegistrySnapshot): RegistryView {
  const atLeast = (version: number): Promise<RegistrySnapshot> =>
    version <= snapshot.version
      ? Promise.resolve(snapshot)
      : Promise.reject(new EventCenterError('UNAVAILABLE', `registry version ${version} is not known yet`));
  return {
    current: () => snapshot,
    atLeast,
    forVersion: atLeast,
    refreshed: () => Promise.resolve(snapshot),
  };
}
