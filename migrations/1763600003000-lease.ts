import type { MigrationInterface, QueryRunner } from 'typeorm';
import { columnsOf, nullable, primary, tableOf, type Columns, type TableShape } from '../src/store/columns.js';

/** Leases of events for plugins. */
export class Lease1763600003000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.createTable(tableOf(leaseTable(columnsOf(queryRunner))));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropTable('pub_event_lease');
  }
}

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
