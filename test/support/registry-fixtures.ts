import type { Event, EventType, Listener, ListenerRevision, Node, RegistryData } from '../../src/core/model.js';
import type { SchemaCompiler } from '../../src/core/ports.js';
import { RegistrySnapshot } from '../../src/core/registry/registry.js';

/** Accepts every schema; a filter `{ never: true }` matches nothing. */
const anySchema: SchemaCompiler = {
  compile: (schema) => () => (schema['never'] === true ? { path: '', message: 'never' } : null),
  compileFilter: (filter) => anySchema.compile(filter),
};

export function aNode(nodeCode: string, over: Partial<Node> = {}): Node {
  return {
    nodeCode,
    nodeName: null,
    note: null,
    appKey: 'b5eb2d',
    previousKeys: [],
    clientKey: null,
    algorithm: 'HmacSHA1',
    contentLength: 'exact',
    enabled: true,
    onExhausted: 'continue',
    concurrency: 4,
    sendRateLimit: null,
    deliverRateLimit: null,
    version: 1,
    lastTime: 0,
    ...over,
  };
}

export function anEventType(id: string, over: Partial<EventType> = {}): EventType {
  return {
    id,
    sourceId: 'USER',
    sourceName: null,
    eventTypeCode: id,
    eventTypeName: null,
    owner: 'ALL',
    note: null,
    schema: null,
    version: 1,
    lastTime: 0,
    ...over,
  };
}

export function aListener(id: string, over: Partial<Listener> = {}): Listener {
  return {
    id,
    eventTypeId: 'T',
    name: id,
    namei18n: null,
    implClassName: null,
    url: `http://listener.invalid/${id}`,
    owner: null,
    note: null,
    operIndex: 1,
    nodeCode: 'A',
    enabled: true,
    tenantCode: null,
    filter: null,
    format: 'iuap',
    method: 'POST',
    headers: {},
    timeoutMs: 5_000,
    secret: null,
    fieldsAsHeaders: false,
    retry: { strategy: 'default', maxAttempts: null, delaysMs: null },
    version: 1,
    lastTime: 0,
    ...over,
  };
}

/** The revision under which a listener is owed events from version 1 on. */
export function aRevision(listener: Listener, over: Partial<ListenerRevision> = {}): ListenerRevision {
  return {
    listenerId: listener.id,
    listenerName: listener.name,
    eventTypeId: listener.eventTypeId,
    nodeCode: listener.nodeCode,
    kind: listener.url === null ? 'plugin' : 'url',
    operIndex: listener.operIndex,
    fromVersion: 1,
    toVersion: null,
    closedAt: null,
    tenantCode: listener.tenantCode,
    filter: listener.filter,
    ...over,
  };
}

/** A registry at `version` with an open revision for each listener, unless revisions are given. */
export function aSnapshot(parts: Partial<RegistryData> = {}): RegistrySnapshot {
  const listeners = parts.listeners ?? [];
  const data: RegistryData = {
    version: 1,
    nodes: [aNode('A')],
    eventTypes: [anEventType('T')],
    listeners,
    revisions: listeners.map((listener) => aRevision(listener)),
    ...parts,
  };
  return new RegistrySnapshot(data, anySchema);
}

export function anEvent(eventId: string, over: Partial<Event> = {}): Event {
  return {
    eventId,
    appId: 'S',
    eventTypeId: 'T',
    sourceId: 'USER',
    eventType: 'ADD',
    tenantCode: null,
    userObject: Buffer.from('{"a":1}'),
    senderUuid: null,
    traceparent: null,
    acceptedAt: 0,
    deliverAt: null,
    registryVersion: 1,
    ...over,
  };
}
