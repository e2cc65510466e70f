import { TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';

const TABLE = 'pub_event';
const INDICES = [
  { name: 'pub_event_type', columnNames: ['sourceid', 'eventtype', 'accepted_at', 'event_id'] },
  { name: 'pub_event_tenant_type', columnNames: ['tenant_code', 'eventtype', 'accepted_at', 'event_id'] },
];

/** Indices for lists of events by two filters that hardly or never occur together. */
export class Lists1763600008000 implements MigrationInterface {
  /** Only what is missing: MySQL keeps what a run had done before it broke. */
  async up(queryRunner: QueryRunner): Promise<void> {
    const table = await queryRunner.getTable(TABLE);
    const existing = new Set(table?.indices.map(({ name }) => name));
    for (const index of INDICES) {
      if (!existing.has(index.name)) await queryRunner.createIndex(TABLE, new TableIndex(index));
    }
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    for (const { name } of INDICES) await queryRunner.dropIndex(TABLE, name);
  }
}
