import { EventCenterError } from '../../src/core/errors.js';
import type { ListenerRevision, RegistryData } from '../../src/core/model.js';
import type {
  Actor,
  AuditEntry,
  AuditRecord,
  RegistryStore,
  RegistryWriter,
  SchemaCompiler,
} from '../../src/core/ports.js';
import { RegistrySnapshot, type RegistryView } from '../../src/core/registry/registry.js';

/**
 * The registry in memory, as a store keeps it: one change at a time, rolled back when it throws, rows handed out as
 * copies, and unique indexes that throw what a database would when a rule has let something through.
 */
export class MemoryRegistryStore implements RegistryStore {
  data: RegistryData = { version: 0, nodes: [], eventTypes: [], listeners: [], revisions: [] };
  readonly audits: AuditRecord[] = [];
  /** While true every call throws UNAVAILABLE. */
  isAway = false;
  #last: Promise<unknown> = Promise.resolve();

  async readVersion(): Promise<number> {
    this.#expectHere();
    return this.data.version;
  }

  async load(): Promise<RegistryData> {
    this.#expectHere();
    return structuredClone(this.data);
  }

  change<T>(actor: Actor, work: (writer: RegistryWriter) => Promise<T>): Promise<{ value: T; version: number }> {
    const run = this.#last
      .catch(() => undefined)
      .then(async () => {
        this.#expectHere();
        const draft = structuredClone(this.data);
        draft.version += 1;
        const audits: AuditEntry[] = [];
        const value = await work(writerOf(draft, audits));
        this.#expectHere();
        this.data = draft;
        for (const entry of audits) {
          const id = `audit-${String(this.audits.length)}`;
          this.audits.push({ ...entry, id, at: Date.now(), actor: actor.name, requestId: actor.requestId });
        }
        return { value: structuredClone(value), version: draft.version };
      });
    this.#last = run;
    return run;
  }

  async pruneRevisions(closedBefore: number): Promise<ListenerRevision[]> {
    const old = this.data.revisions.filter((one) => one.closedAt !== null && one.closedAt < closedBefore);
    this.data.revisions = this.data.revisions.filter((one) => !old.includes(one));
    return old;
  }

  /** A view that always asks this store. */
  view(schemas: SchemaCompiler): RegistryView {
    let current = new RegistrySnapshot(structuredClone(this.data), schemas);
    const refreshed = async (): Promise<RegistrySnapshot> => {
      if (!this.isAway && current.version !== this.data.version)
        current = new RegistrySnapshot(structuredClone(this.data), schemas);
      return current;
    };
    return { current: () => current, refreshed, atLeast: refreshed, forVersion: refreshed };
  }

  #expectHere(): void {
    if (this.isAway) throw new EventCenterError('UNAVAILABLE', 'the database does not answer');
  }
}

function writerOf(draft: RegistryData, audits: AuditEntry[]): RegistryWriter {
  const copy = <T>(value: T | undefined): T | null => (value === undefined ? null : structuredClone(value));
  const { version } = draft;
  return {
    version,
    findNode: async (nodeCode) => copy(draft.nodes.find((one) => one.nodeCode === nodeCode)),
    findEventType: async (id) => copy(draft.eventTypes.find((one) => one.id === id)),
    findEventTypeByCode: async (sourceId, code) =>
      copy(draft.eventTypes.find((one) => one.sourceId === sourceId && one.eventTypeCode === code)),
    findListener: async (id) => copy(draft.listeners.find((one) => one.id === id)),
    eventTypesOwnedBy: async (nodeCode) => structuredClone(draft.eventTypes.filter((one) => one.owner === nodeCode)),
    listenersOfNode: async (nodeCode) => structuredClone(draft.listeners.filter((one) => one.nodeCode === nodeCode)),
    listenersOfEventType: async (id) => structuredClone(draft.listeners.filter((one) => one.eventTypeId === id)),
    listenerDelaysMs: async () => [...new Set(draft.listeners.flatMap((one) => one.retry.delaysMs ?? []))],
    saveNode: async (node) => {
      draft.nodes = replaced(draft.nodes, structuredClone(node), (one) => one.nodeCode);
    },
    deleteNode: async (nodeCode) => {
      draft.nodes = draft.nodes.filter((one) => one.nodeCode !== nodeCode);
    },
    revokeTokensOf: async () => 0,
    saveEventType: async (type) => {
      draft.eventTypes = replaced(draft.eventTypes, structuredClone(type), (one) => one.id);
      expectUnique(draft.eventTypes.map((one) => `${one.sourceId} ${one.eventTypeCode}`));
    },
    deleteEventType: async (id) => {
      draft.eventTypes = draft.eventTypes.filter((one) => one.id !== id);
    },
    saveListener: async (listener) => {
      draft.listeners = replaced(draft.listeners, structuredClone(listener), (one) => one.id);
      expectUnique(draft.listeners.map((one) => `${one.nodeCode} ${one.eventTypeId} ${String(one.operIndex)}`));
    },
    deleteListener: async (id) => {
      draft.listeners = draft.listeners.filter((one) => one.id !== id);
    },
    openRevision: async (revision) => {
      draft.revisions.push(structuredClone(revision));
      expectUnique(draft.revisions.filter((one) => one.toVersion === null).map((one) => one.listenerId));
    },
    closeRevision: async (listenerId, closedAt) => {
      const open = draft.revisions.find((one) => one.listenerId === listenerId && one.toVersion === null);
      if (open === undefined) throw new Error(`no open revision of ${listenerId}`);
      Object.assign(open, { toVersion: version, closedAt });
    },
    audit: async (entry) => {
      audits.push(structuredClone(entry));
    },
  };
}

function replaced<T>(rows: T[], row: T, idOf: (one: T) => string): T[] {
  return [...rows.filter((one) => idOf(one) !== idOf(row)), row];
}

function expectUnique(keys: string[]): void {
  const twice = keys.find((key, index) => keys.indexOf(key) !== index);
  if (twice !== undefined) throw new Error(`duplicate entry ${twice}`);
}
