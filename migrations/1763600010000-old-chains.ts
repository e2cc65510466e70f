import { TableIndex, type MigrationInterface, type QueryRunner } from 'typeorm';
import { addIndices } from './event-indices.js';

const TABLE = 'pub_event_chain';
const INDEX = { name: 'pub_event_chain_updated', columnNames: ['updated_at', 'event_id'] };

/** An index for retention, which deletes old chains without an event. */
export class OldChains1763600010000 implements MigrationInterface {
  up(queryRunner: QueryRunner): Promise<void> {
    return addIndices(queryRunner, TABLE, [INDEX]);
  }

  down(queryRunner: QueryRunner): Promise<void> {
    return queryRunner.dropIndex(TABLE, new TableIndex(INDEX));
  }
}
