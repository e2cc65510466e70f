import type { MigrationInterface, QueryRunner } from 'typeorm';
import { addEventIndices, dropEventIndices } from './event-indices.js';

const INDICES = [
  { name: 'pub_event_app_type', columnNames: ['app_id', 'eventtype', 'accepted_at', 'event_id'] },
  { name: 'pub_event_app_source', columnNames: ['app_id', 'sourceid', 'accepted_at', 'event_id'] },
];

/** The same for the events of an application: one sends few of all types and sources. */
export class ListsOfApps1763600009000 implements MigrationInterface {
  up(queryRunner: QueryRunner): Promise<void> {
    return addEventIndices(queryRunner, INDICES);
  }

  down(queryRunner: QueryRunner): Promise<void> {
    return dropEventIndices(queryRunner, INDICES);
  }
}
