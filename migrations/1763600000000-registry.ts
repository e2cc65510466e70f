import type { MigrationInterface, QueryRunner } from 'typeorm';
import {
  columnsOf,
  nullable,
  primary,
  tableOf,
  uuidToBytes,
  type Columns,
  type TableShape,
} from '../src/store/columns.js';

/** The UUIDv5 of the built-in event type, the same in every installation. */
const DELIVERY_EXHAUSTED_ID = '254ddc26-71bc-5f69-b1a0-47c3e7281407';

/** Nodes, event types, listeners and their revisions; with the built-in event type, at registry version 0. */
export class Registry1763600000000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const shape of shapes(columnsOf(queryRunner))) await queryRunner.createTable(tableOf(shape), true);
    await insertFirstRows(queryRunner);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    for (const shape of shapes(columnsOf(queryRunner)).reverse()) await queryRunner.dropTable(shape.name);
  }
}

/** Only what is missing: MySQL keeps what a run had done before it broke. */
async function insertFirstRows(queryRunner: QueryRunner): Promise<void> {
  const registry = (await queryRunner.query('SELECT id FROM pub_registry')) as unknown[];
  if (registry.length === 0) await queryRunner.query('INSERT INTO pub_registry (id, version) VALUES (1, 0)');
  const id = uuidToBytes(DELIVERY_EXHAUSTED_ID);
  const builtIn = (await queryRunner.query('SELECT id FROM pub_eventtype WHERE id = ?', [id])) as unknown[];
  if (builtIn.length > 0) return;
  const columns = 'id, sourceid, sourcename, eventtypecode, eventtypename, owner, note, version, last_time';
  await queryRunner.query(`INSERT INTO pub_eventtype (${columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, [
    id,
    'EVENT_CENTER',
    'Event Center',
    'DELIVERY_EXHAUSTED',
    'A delivery is exhausted',
    'EVENT_CENTER',
    'Payload: {eventId, listenerId, nodeCode, attempts, lastStatus, lastError}',
    1,
    Date.now(),
  ]);
}

function shapes(columns: Columns): TableShape[] {
  return [
    nodeTable(columns),
    eventTypeTable(columns),
    listenerTable(columns),
    revisionTable(columns),
    registryTable(columns),
  ];
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
