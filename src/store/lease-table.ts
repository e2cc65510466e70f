import type { EntitySchema } from 'typeorm';
import { entityOf, nullable, primary, type Columns, type TableShape } from './columns.js';

/** The entity of the table of leases. */
export function leaseEntity(columns: Columns): EntitySchema {
  return entityOf<LeaseRow>(leaseTable(columns)) as EntitySchema;
}

/**
 * One row per leased message. `due_at` is when it ends without a report; afterwards it is null, and `forget_at` says how
 * long the row is remembered. A step of a chain is leased once: a message that comes again after its lease was written,
 * because its ack was lost, finds the row, also when that lease is over.
 */
function leaseTable(columns: Columns): TableShape {
  return {
    name: 'pub_event_lease',
    columns: {
      id: primary(columns.uuid()),
      event_id: columns.uuid(),
      node_code: columns.text(40),
      generation: columns.int(),
      sequence: columns.int(),
      state: columns.text(16),
      leased_until: columns.time(),
      taken_until: nullable(columns.time()),
      due_at: nullable(columns.time()),
      forget_at: nullable(columns.time()),
      body: columns.longText(),
    },
    indices: [
      {
        name: 'pub_event_lease_step',
        columns: ['event_id', 'node_code', 'generation', 'sequence'],
        unique: true,
      },
      { name: 'pub_event_lease_due', columns: ['due_at', 'id'] },
      { name: 'pub_event_lease_forget', columns: ['forget_at', 'id'] },
    ],
  };
}

/** A row of `pub_event_lease`. */
export interface LeaseRow {
  id: string;
  event_id: string;
  node_code: string;
  generation: number;
  sequence: number;
  /** `released`: it ends as soon as its successor is published. `expired` and `over` are only remembered. */
  state: 'leased' | 'released' | 'expired' | 'over';
  leased_until: number;
  /** A call settles it until then; null when none does. */
  taken_until: number | null;
  due_at: number | null;
  forget_at: number | null;
  /** The lease as JSON; empty once it is only remembered. */
  body: string;
}
