import type { EntitySchema } from 'typeorm';
import type { DeliveryReason, DeliveryState, EventState } from '../core/model.js';
import type { Replay, ReplayFilter } from '../core/ports.js';
import { entityOf, nullable, primary, type Columns, type TableShape } from './columns.js';

/** The entities of the journal's tables. */
export function journalEntities(columns: Columns): EntitySchema[] {
  return [
    entityOf<EventRow>(eventTable(columns)),
    entityOf<DeliveryRow>(deliveryTable(columns)),
    entityOf<AttemptRow>(attemptTable(columns)),
    entityOf<FailureRow>(failureTable(columns)),
    entityOf<ChainRow>(chainTable(columns)),
    entityOf<ReplayRow>(replayTable(columns)),
    entityOf<ParkedMessageRow>(parkedMessageTable(columns)),
  ] as EntitySchema[];
}

/**
 * One row per event. `release_at` is set while a scheduled event waits for its time, so that what is due is one range.
 * Every filter has its index, in the order of the lists, and so have source and type, tenant and type, application and
 * type, and application and source together: a page of what never occurs together would read all that has the one.
 */
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
      { name: 'pub_event_type', columns: ['sourceid', 'eventtype', 'accepted_at', 'event_id'] },
      { name: 'pub_event_tenant_type', columns: ['tenant_code', 'eventtype', 'accepted_at', 'event_id'] },
      { name: 'pub_event_app_type', columns: ['app_id', 'eventtype', 'accepted_at', 'event_id'] },
      { name: 'pub_event_app_source', columns: ['app_id', 'sourceid', 'accepted_at', 'event_id'] },
      { name: 'pub_event_state', columns: ['state', 'accepted_at', 'event_id'] },
      { name: 'pub_event_release', columns: ['release_at', 'event_id'] },
    ],
  };
}

/**
 * One row per event and listener that is owed it. The `last_` columns stand for the outcome that decided the row.
 * `expected_at` is null once settled; until then it says since when, or for when, something is expected. Lists without
 * a state are put together from the lists of each state, so that a node needs no further index.
 */
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

/** One row per attempt that failed or was repeated; a success at the first attempt lives in the delivery's row. */
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

/** The failure log: exhausted deliveries, and messages that nobody could read or store (`raw` is Base64). */
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

/** How far the chain of an (event, node) has come, and which message may go on; no row is generation 1, sequence 0. */
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
    indices: [{ name: 'pub_event_chain_updated', columns: ['updated_at', 'event_id'] }],
  };
}

/** Replays with their progress; `lease_` says who runs one. */
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

/** Messages that could not be confirmed in time; `body` is JSON. */
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

/** A row of `pub_event`. */
export interface EventRow {
  event_id: string;
  app_id: string;
  event_type_id: string;
  sourceid: string;
  eventtype: string;
  tenant_code: string | null;
  user_object: string | null;
  sender_uuid: string | null;
  traceparent: string | null;
  accepted_at: number;
  deliver_at: number | null;
  registry_version: number;
  state: EventState;
  release_at: number | null;
}

/** A row of `pub_event_delivery`. */
export interface DeliveryRow {
  event_id: string;
  listener_id: string;
  node_code: string;
  oper_index: number;
  state: DeliveryState;
  reason: DeliveryReason | null;
  generation: number;
  attempts: number;
  last_status: number | null;
  last_error: string | null;
  last_response: string | null;
  last_outcome_id: string | null;
  last_started_at: number | null;
  last_duration_ms: number | null;
  last_generation: number;
  last_attempt: number;
  last_sequence: number;
  next_attempt_at: number | null;
  expected_at: number | null;
  created_at: number;
  updated_at: number;
}

/** A row of `pub_event_attempt`. */
export interface AttemptRow {
  event_id: string;
  listener_id: string;
  outcome_id: string;
  attempt: number;
  generation: number;
  state: DeliveryState;
  started_at: number;
  duration_ms: number;
  status: number | null;
  error: string | null;
  response: string | null;
}

/** A row of `pub_event_failure`. */
export interface FailureRow {
  id: string;
  kind: 'delivery' | 'unreadable';
  event_id: string | null;
  listener_id: string | null;
  node_code: string | null;
  generation: number | null;
  attempts: number | null;
  reason: string;
  last_status: number | null;
  last_error: string | null;
  last_response: string | null;
  raw: string | null;
  raw_headers: string | null;
  failed_at: number;
}

/** A row of `pub_event_chain`. */
export interface ChainRow {
  event_id: string;
  node_code: string;
  generation: number;
  sequence: number;
  message_id: string | null;
  updated_at: number;
}

/** A row of `pub_replay`. */
export interface ReplayRow {
  id: string;
  filter: ReplayFilter;
  dry_run: boolean;
  rate_per_second: number | null;
  state: Replay['state'];
  phase: 'counting' | 'publishing';
  page_cursor: string | null;
  matched: number;
  done: number;
  failed: number;
  error: string | null;
  created_at: number;
  created_by: string;
  finished_at: number | null;
  lease_owner: string | null;
  lease_until: number | null;
}

/** A row of `pub_parked_message`. */
export interface ParkedMessageRow {
  id: string;
  kind: 'successor' | 'outcomes' | 'event';
  due_at: number;
  body: string;
}
