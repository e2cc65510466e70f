import { hasCode } from '../core/errors.js';
import type {
  EventType,
  Listener,
  ListenerFormat,
  ListenerKind,
  ListenerRevision,
  Node,
  PreviousKey,
  SignatureAlgorithm,
  UnreadableSecret,
} from '../core/model.js';
import { isUnreadable } from '../core/registry/unreadable-secret.js';
import type { EventTypeRow, ListenerRow, NodeRow, RevisionRow } from './registry-tables.js';
import type { SecretBox } from './secrets.js';

/** The columns that are sealed, by table. */
export const SEALED_COLUMNS = {
  pub_event_node: ['app_key', 'client_key', 'previous_keys'],
  pub_eventlistener: ['headers', 'secret'],
} as const;

/** What binds a sealed text to its place. `id` is the row's key as text. */
export function secretContext(table: keyof typeof SEALED_COLUMNS, column: string, id: string): string {
  return `${table}.${column}:${id}`;
}

/** Rows of the registry's tables and what they stand for; secrets are sealed for their column and row. */
export function nodeToRow(node: Node, secrets: SecretBox): NodeRow {
  const seal = (column: string, secret: string | UnreadableSecret) =>
    sealed(secrets, secret, secretContext('pub_event_node', column, node.nodeCode));
  const hasPrevious = isUnreadable(node.previousKeys) || node.previousKeys.length > 0;
  return {
    node_code: node.nodeCode,
    node_name: node.nodeName,
    note: node.note,
    client_key: node.clientKey === null ? null : seal('client_key', node.clientKey),
    app_key: seal('app_key', node.appKey),
    previous_keys: hasPrevious ? seal('previous_keys', unreadableOrJson(node.previousKeys)) : null,
    algorithm: node.algorithm,
    content_length: node.contentLength,
    enabled: node.enabled,
    on_exhausted: node.onExhausted,
    concurrency: node.concurrency,
    send_rate_limit: node.sendRateLimit,
    deliver_rate_limit: node.deliverRateLimit,
    version: node.version,
    last_time: node.lastTime,
  };
}

/** What does not open under the master key holds nothing else up: it comes as unreadable. */
export function nodeFromRow(row: NodeRow, secrets: SecretBox): Node {
  const open = (column: string, text: string) =>
    opened(secrets, text, secretContext('pub_event_node', column, row.node_code));
  const previousKeys = row.previous_keys === null ? '[]' : open('previous_keys', row.previous_keys);
  return {
    nodeCode: row.node_code,
    nodeName: row.node_name,
    note: row.note,
    appKey: open('app_key', row.app_key),
    previousKeys: isUnreadable(previousKeys) ? previousKeys : (JSON.parse(previousKeys) as PreviousKey[]),
    clientKey: row.client_key === null ? null : open('client_key', row.client_key),
    algorithm: row.algorithm as SignatureAlgorithm,
    contentLength: row.content_length as Node['contentLength'],
    enabled: row.enabled,
    onExhausted: row.on_exhausted as Node['onExhausted'],
    concurrency: row.concurrency,
    sendRateLimit: row.send_rate_limit,
    deliverRateLimit: row.deliver_rate_limit,
    version: row.version,
    lastTime: row.last_time,
  };
}

export function eventTypeToRow(eventType: EventType): EventTypeRow {
  return {
    id: eventType.id,
    sourceid: eventType.sourceId,
    sourcename: eventType.sourceName,
    eventtypecode: eventType.eventTypeCode,
    eventtypename: eventType.eventTypeName,
    owner: eventType.owner,
    note: eventType.note,
    json_schema: eventType.schema,
    version: eventType.version,
    last_time: eventType.lastTime,
  };
}

export function eventTypeFromRow(row: EventTypeRow): EventType {
  return {
    id: row.id,
    sourceId: row.sourceid,
    sourceName: row.sourcename,
    eventTypeCode: row.eventtypecode,
    eventTypeName: row.eventtypename,
    owner: row.owner,
    note: row.note,
    schema: row.json_schema,
    version: row.version,
    lastTime: row.last_time,
  };
}

/** Headers are sealed as well: they are where receivers expect their API keys. */
export function listenerToRow(listener: Listener, secrets: SecretBox): ListenerRow {
  const seal = (column: string, secret: string | UnreadableSecret) =>
    sealed(secrets, secret, secretContext('pub_eventlistener', column, listener.id));
  return {
    id: listener.id,
    event_type_id: listener.eventTypeId,
    name: listener.name,
    namei18n: listener.namei18n,
    implclassname: listener.implClassName,
    url: listener.url,
    owner: listener.owner,
    note: listener.note,
    operindex: listener.operIndex,
    node_code: listener.nodeCode,
    enabled: listener.enabled,
    tenant_code: listener.tenantCode,
    event_filter: listener.filter,
    format: listener.format,
    method: listener.method,
    headers: seal('headers', unreadableOrJson(listener.headers)),
    timeout_ms: listener.timeoutMs,
    secret: listener.secret === null ? null : seal('secret', listener.secret),
    fields_as_headers: listener.fieldsAsHeaders,
    retry: listener.retry,
    version: listener.version,
    last_time: listener.lastTime,
  };
}

/** What does not open under the master key holds nothing else up: it comes as unreadable. */
export function listenerFromRow(row: ListenerRow, secrets: SecretBox): Listener {
  const open = (column: string, text: string) =>
    opened(secrets, text, secretContext('pub_eventlistener', column, row.id));
  const headers = open('headers', row.headers);
  return {
    id: row.id,
    eventTypeId: row.event_type_id,
    name: row.name,
    namei18n: row.namei18n,
    implClassName: row.implclassname,
    url: row.url,
    owner: row.owner,
    note: row.note,
    operIndex: row.operindex,
    nodeCode: row.node_code,
    enabled: row.enabled,
    tenantCode: row.tenant_code,
    filter: row.event_filter,
    format: row.format as ListenerFormat,
    method: row.method as Listener['method'],
    headers: isUnreadable(headers) ? headers : (JSON.parse(headers) as Record<string, string>),
    timeoutMs: row.timeout_ms,
    secret: row.secret === null ? null : open('secret', row.secret),
    fieldsAsHeaders: row.fields_as_headers,
    retry: row.retry,
    version: row.version,
    lastTime: row.last_time,
  };
}

export function revisionToRow(revision: ListenerRevision): RevisionRow {
  return {
    listener_id: revision.listenerId,
    from_version: revision.fromVersion,
    to_version: revision.toVersion,
    closed_at: revision.closedAt,
    listener_name: revision.listenerName,
    event_type_id: revision.eventTypeId,
    node_code: revision.nodeCode,
    kind: revision.kind,
    operindex: revision.operIndex,
    tenant_code: revision.tenantCode,
    event_filter: revision.filter,
  };
}

export function revisionFromRow(row: RevisionRow): ListenerRevision {
  return {
    listenerId: row.listener_id,
    listenerName: row.listener_name,
    eventTypeId: row.event_type_id,
    nodeCode: row.node_code,
    kind: row.kind as ListenerKind,
    operIndex: row.operindex,
    fromVersion: row.from_version,
    toVersion: row.to_version,
    closedAt: row.closed_at,
    tenantCode: row.tenant_code,
    filter: row.event_filter,
  };
}

function unreadableOrJson(secret: object): string | UnreadableSecret {
  return isUnreadable(secret) ? secret : JSON.stringify(secret);
}

function sealed(secrets: SecretBox, secret: string | UnreadableSecret, context: string): string {
  return isUnreadable(secret) ? secret.unreadable.sealed : secrets.seal(secret, context);
}

function opened(secrets: SecretBox, text: string, context: string): string | UnreadableSecret {
  try {
    return secrets.open(text, context);
  } catch (error) {
    if (!hasCode(error, 'CONFIG_INVALID')) throw error;
    return { unreadable: { sealed: text, why: error.message } };
  }
}
