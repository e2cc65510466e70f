import type { EventType, JsonObject, Listener, ListenerRevision, Node, RegistryData } from '../../../src/core/model.js';
import type {
  RegisteredEventType,
  RegisteredListener,
  RegisteredNode,
  RegisteredRevision,
  Registrations,
} from '../plugins/registrations.js';

/**
 * A registry of one node and its plugins. What only the centre needs, such as keys, is left empty: nothing here reads it.
 * `concurrency` is the host's own.
 */
export function registryDataOf(registrations: Registrations, { concurrency }: { concurrency: number }): RegistryData {
  const { version, node, eventTypes, listeners, revisions } = registrations;
  const { nodeCode } = node;
  const plugins = listeners.filter(({ implClassName }) => implClassName !== null);
  return {
    version,
    nodes: [nodeOf(node, concurrency)],
    eventTypes: eventTypes.map(eventTypeOf),
    listeners: plugins.map((listener) => listenerOf(listener, nodeCode)),
    revisions: revisions.map((revision) => revisionOf(revision, nodeCode)),
  };
}

function nodeOf(node: RegisteredNode, concurrency: number): Node {
  const { nodeCode, enabled, onExhausted, deliverRateLimit } = node;
  return {
    nodeCode,
    nodeName: null,
    note: null,
    appKey: '',
    previousKeys: [],
    clientKey: null,
    algorithm: 'HmacSHA1',
    contentLength: 'exact',
    enabled,
    onExhausted,
    concurrency,
    sendRateLimit: null,
    deliverRateLimit,
    version: 1,
    lastTime: 0,
  };
}

function eventTypeOf(type: RegisteredEventType): EventType {
  return { ...type, schema: type.schema as JsonObject | null, lastTime: 0 };
}

function listenerOf(listener: RegisteredListener, nodeCode: string): Listener {
  const { id, name, namei18n, eventTypeId, implClassName, operIndex, enabled, owner, note } = listener;
  const { tenantCode, filter, timeoutMs, retry, version } = listener;
  return {
    id,
    eventTypeId,
    name,
    namei18n,
    implClassName,
    url: null,
    owner,
    note,
    operIndex,
    nodeCode,
    enabled,
    tenantCode,
    filter: filter as JsonObject | null,
    format: 'iuap',
    method: 'POST',
    headers: {},
    timeoutMs,
    secret: null,
    fieldsAsHeaders: false,
    retry,
    version,
    lastTime: 0,
  };
}

function revisionOf(revision: RegisteredRevision, nodeCode: string): ListenerRevision {
  return { ...revision, filter: revision.filter as JsonObject | null, nodeCode, kind: 'plugin' };
}
