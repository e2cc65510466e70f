import type { MigrationInterface, QueryRunner } from 'typeorm';
import { columnsOf, nullable, primary, tableOf, type Columns, type TableShape } from '../src/store/columns.js';

/** Events, deliveries, attempts, failures, chains, replays and parked messages. */
export class Journal1763600002000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    for (const shape of shapes(columnsOf(queryRunner))) await queryRunner.createTable(tableOf(shape));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    for (const shape of shapes(columnsOf(queryRunner)).reverse()) await queryRunner.dropTable(shape.name);
  }
}

function shapes(columns: Columns): TableShape[] {
  return [
    eventTable(columns),
    deliveryTable(columns),
    attemptTable(columns),
    failureTable(columns),
    chainTable(columns),
    replayTable(columns),
    parkedMessageTable(columns),
  ];
}

function eventTable(columns: Columns): TableShape {
  return {
    name: 'pub_event',
    columns: {
      event_id: primary(columns.uuid()),
      app_id: columns.text(40),
      event_type_id: columns.uuid(),
      sourceid: columns.text(40),
      eventtype: columns.text(40),
      tenant_code: nullable(columns.text(40)),
      user_object: nullable(columns.longText()),
      sender_uuid: nullable(columns.text(128)),
      traceparent: nullable(columns.text(128)),
      accepted_at: columns.time(),
      deliver_at: nullable(columns.time()),
      registry_version: columns.time(),
      state: columns.text(16),
      release_at: nullable(columns.time()),
    },
    indices: [
      { name: 'pub_event_accepted', columns: ['accepted_at', 'event_id'] },
      { name: 'pub_event_source', columns: ['sourceid', 'accepted_at', 'event_id'] },
      { name: 'pub_event_eventtype', columns: ['eventtype', 'accepted_at', 'event_id'] },
      { name: 'pub_event_tenant', columns: ['tenant_code', 'accepted_at', 'event_id'] },
      { name: 'pub_event_app', columns: ['app_id', 'accepted_at', 'event_id'] },
      { name: 'pub_event_state', columns: ['state', 'accepted_at', 'event_id'] },
      { name: 'pub_event_release', columns: ['release_at', 'event_id'] },
    ],
  };
}

function deliveryTable(columns: Columns): TableShape {
  return {
    name: 'pub_event_delivery',
    columns: {
      event_id: primary(columns.uuid()),
      listener_id: primary(columns.uuid()),
      node_code: columns.text(40),
      oper_index: columns.int(),
      state: columns.text(16),
      reason: nullable(columns.text(32)),
      generation: columns.int(),
      attempts: columns.int(),
      last_status: nullable(columns.int()),
      last_error: nullable(columns.text(1000)),
      last_response: nullable(columns.longText()),
      last_outcome_id: nullable(columns.uuid()),
      last_started_at: nullable(columns.time()),
      last_duration_ms: nullable(columns.int()),
      last_generation: columns.int(),
      last_attempt: columns.int(),
      last_sequence: columns.int(),
      next_attempt_at: nullable(columns.time()),
      expected_at: nullable(columns.time()),
      created_at: columns.time(),
      updated_at: columns.time(),
    },
    indices: [
      { name: 'pub_event_delivery_listener', columns: ['listener_id', 'created_at', 'event_id'] },
      { name: 'pub_event_delivery_node', columns: ['state', 'node_code', 'created_at', 'event_id', 'listener_id'] },
      { name: 'pub_event_delivery_state', columns: ['state', 'created_at', 'event_id', 'listener_id'] },
      { name: 'pub_event_delivery_expected', columns: ['node_code', 'expected_at', 'event_id'] },
    ],
  };
}

function attemptTable(columns: Columns): TableShape {
  return {
    name: 'pub_event_attempt',
    columns: {
      event_id: primary(columns.uuid()),
      listener_id: primary(columns.uuid()),
      outcome_id: primary(columns.uuid()),
      attempt: columns.int(),
      generation: columns.int(),
      state: columns.text(16),
      started_at: columns.time(),
      duration_ms: columns.int(),
      status: nullable(columns.int()),
      error: nullable(columns.text(1000)),
      response: nullable(columns.longText()),
    },
  };
}

function failureTable(columns: Columns): TableShape {
  return {
    name: 'pub_event_failure',
    columns: {
      id: primary(columns.uuid()),
      kind: columns.text(16),
      event_id: nullable(columns.uuid()),
      listener_id: nullable(columns.uuid()),
      node_code: nullable(columns.text(40)),
      generation: nullable(columns.int()),
      attempts: nullable(columns.int()),
      reason: columns.text(1000),
      last_status: nullable(columns.int()),
      last_error: nullable(columns.text(1000)),
      last_response: nullable(columns.longText()),
      raw: nullable(columns.longText()),
      raw_headers: nullable(columns.longText()),
      failed_at: columns.time(),
    },
    indices: [
      { name: 'pub_event_failure_failed', columns: ['failed_at', 'id'] },
      { name: 'pub_event_failure_kind', columns: ['kind', 'failed_at', 'id'] },
      { name: 'pub_event_failure_node', columns: ['node_code', 'failed_at', 'id'] },
      { name: 'pub_event_failure_listener', columns: ['listener_id', 'failed_at', 'id'] },
      { name: 'pub_event_failure_event', columns: ['event_id', 'failed_at', 'id'] },
    ],
  };
}

function chainTable(columns: Columns): TableShape {
  return {
    name: 'pub_event_chain',
    columns: {
      event_id: primary(columns.uuid()),
      node_code: primary(columns.text(40)),
      generation: columns.int(),
      sequence: columns.int(),
      message_id: nullable(columns.text(128)),
      updated_at: columns.time(),
    },
  };
}

function replayTable(columns: Columns): TableShape {
  return {
    name: 'pub_replay',
    columns: {
      id: primary(columns.uuid()),
      filter: columns.json(),
      dry_run: columns.yesNo(),
      rate_per_second: nullable(columns.int()),
      state: columns.text(16),
      phase: columns.text(16),
      page_cursor: nullable(columns.text(512)),
      matched: columns.time(),
      done: columns.time(),
      failed: columns.time(),
      error: nullable(columns.text(1000)),
      created_at: columns.time(),
      created_by: columns.text(255),
      finished_at: nullable(columns.time()),
      lease_owner: nullable(columns.text(128)),
      lease_until: nullable(columns.time()),
    },
    indices: [
      { name: 'pub_replay_state', columns: ['state', 'created_at', 'id'] },
      { name: 'pub_replay_finished', columns: ['finished_at', 'id'] },
    ],
  };
}

function parkedMessageTable(columns: Columns): TableShape {
  return {
    name: 'pub_parked_message',
    columns: {
      id: primary(columns.uuid()),
      kind: columns.text(16),
      due_at: columns.time(),
      body: columns.longText(),
    },
    indices: [{ name: 'pub_parked_message_due', columns: ['due_at', 'id'] }],
  };
}
