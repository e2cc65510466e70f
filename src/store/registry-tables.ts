import type { EntitySchema } from 'typeorm';
import type { JsonObject, RetryPolicy } from '../core/model.js';
import { entityOf, nullable, primary, type Columns, type TableShape } from './columns.js';

/** `app_key`, `previous_keys` (a JSON list of `{key, expiresAt}`) and `client_key` are sealed by the master key. */
export interface NodeRow {
  node_code: string;
  node_name: string | null;
  note: string | null;
  client_key: string | null;
  app_key: string;
  previous_keys: string | null;
  algorithm: string;
  content_length: string;
  enabled: boolean;
  on_exhausted: string;
  concurrency: number;
  send_rate_limit: number | null;
  deliver_rate_limit: number | null;
  version: number;
  last_time: number;
}

export interface EventTypeRow {
  id: string;
  sourceid: string;
  sourcename: string | null;
  eventtypecode: string;
  eventtypename: string | null;
  owner: string;
  note: string | null;
  json_schema: JsonObject | null;
  version: number;
  last_time: number;
}

/** `headers` and `secret` are sealed by the master key. */
export interface ListenerRow {
  id: string;
  event_type_id: string;
  name: string;
  namei18n: string | null;
  implclassname: string | null;
  url: string | null;
  owner: string | null;
  note: string | null;
  operindex: number;
  node_code: string;
  enabled: boolean;
  tenant_code: string | null;
  event_filter: JsonObject | null;
  format: string;
  method: string;
  headers: string;
  timeout_ms: number;
  secret: string | null;
  fields_as_headers: boolean;
  retry: RetryPolicy;
  version: number;
  last_time: number;
}

export interface RevisionRow {
  listener_id: string;
  from_version: number;
  to_version: number | null;
  closed_at: number | null;
  listener_name: string;
  event_type_id: string;
  node_code: string;
  kind: string;
  operindex: number;
  tenant_code: string | null;
  event_filter: JsonObject | null;
}

/**
 * The one row, with id 1, that every change of the registry locks. `key_check` is a text sealed by the master key that
 * seals all secrets here; null until the first process has written it.
 */
export interface RegistryRow {
  id: number;
  version: number;
  key_check: string | null;
}

/** Tables of the registry as they are after the last migration. */
export function registryEntities(columns: Columns): EntitySchema[] {
  return [
    entityOf<NodeRow>(nodeTable(columns)),
    entityOf<EventTypeRow>(eventTypeTable(columns)),
    entityOf<ListenerRow>(listenerTable(columns)),
    entityOf<RevisionRow>(revisionTable(columns)),
    entityOf<RegistryRow>(registryTable(columns)),
  ] as EntitySchema[];
}

function nodeTable(columns: Columns): TableShape {
  return {
    name: 'pub_event_node',
    columns: {
      node_code: primary(columns.text(40)),
      node_name: nullable(columns.text(200)),
      note: nullable(columns.longText()),
      client_key: nullable(columns.longText()),
      app_key: columns.longText(),
      previous_keys: nullable(columns.longText()),
      algorithm: columns.text(16),
      content_length: columns.text(8),
      enabled: columns.yesNo(),
      on_exhausted: columns.text(16),
      concurrency: columns.int(),
      send_rate_limit: nullable(columns.int()),
      deliver_rate_limit: nullable(columns.int()),
      version: columns.int(),
      last_time: columns.time(),
    },
  };
}

function eventTypeTable(columns: Columns): TableShape {
  return {
    name: 'pub_eventtype',
    columns: {
      id: primary(columns.uuid()),
      sourceid: columns.text(40),
      sourcename: nullable(columns.text(200)),
      eventtypecode: columns.text(40),
      eventtypename: nullable(columns.text(200)),
      owner: columns.text(40),
      note: nullable(columns.longText()),
      json_schema: nullable(columns.json()),
      version: columns.int(),
      last_time: columns.time(),
    },
    indices: [
      { name: 'pub_eventtype_code', columns: ['sourceid', 'eventtypecode'], unique: true },
      { name: 'pub_eventtype_owner', columns: ['owner'] },
    ],
  };
}

function listenerTable(columns: Columns): TableShape {
  return {
    name: 'pub_eventlistener',
    columns: {
      id: primary(columns.uuid()),
      event_type_id: columns.uuid(),
      name: columns.text(200),
      namei18n: nullable(columns.text(200)),
      implclassname: nullable(columns.text(300)),
      url: nullable(columns.text(2000)),
      owner: nullable(columns.text(200)),
      note: nullable(columns.longText()),
      operindex: columns.int(),
      node_code: columns.text(40),
      enabled: columns.yesNo(),
      tenant_code: nullable(columns.text(40)),
      event_filter: nullable(columns.json()),
      format: columns.text(32),
      method: columns.text(8),
      headers: columns.longText(),
      timeout_ms: columns.int(),
      secret: nullable(columns.longText()),
      fields_as_headers: columns.yesNo(),
      retry: columns.json(),
      version: columns.int(),
      last_time: columns.time(),
    },
    indices: [
      { name: 'pub_eventlistener_order', columns: ['node_code', 'event_type_id', 'operindex'], unique: true },
      { name: 'pub_eventlistener_type', columns: ['event_type_id'] },
    ],
  };
}

function revisionTable(columns: Columns): TableShape {
  return {
    name: 'pub_eventlistener_revision',
    columns: {
      listener_id: primary(columns.uuid()),
      from_version: primary(columns.time()),
      to_version: nullable(columns.time()),
      closed_at: nullable(columns.time()),
      listener_name: columns.text(200),
      event_type_id: columns.uuid(),
      node_code: columns.text(40),
      kind: columns.text(8),
      operindex: columns.int(),
      tenant_code: nullable(columns.text(40)),
      event_filter: nullable(columns.json()),
    },
    indices: [{ name: 'pub_eventlistener_revision_closed', columns: ['closed_at'] }],
  };
}

function registryTable(columns: Columns): TableShape {
  return {
    name: 'pub_registry',
    columns: { id: primary(columns.int()), version: columns.time(), key_check: nullable(columns.longText()) },
  };
}
