import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addEventIndices, dropEventIndices } from './event-indices.js';

const INDICES = [
  { name: 'pub_event_type', columnNames: ['sourceid', 'eventtype', 'accepted_at', 'event_id'] },
  { name: 'pub_event_tenant_type', columnNames: ['tenant_code', 'eventtype', 'accepted_at', 'event_id'] },
];

/** Indices for lists of events by two filters that hardly or never occur together. */
export class Lists1763600008000 implements MigrationInterface {
  up(queryRunner: QueryRunner): Promise<void> {
    return addEventIndices(queryRunner, INDICES);
  }

  down(queryRunner: QueryRunner): Promise<void> {
    return dropEventIndices(queryRunner, INDICES);
  }
}
