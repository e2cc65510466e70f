import type { MigrationInterface, QueryRunner, TableColumn } from 'typeorm';
import { columnsOf, nullable, tableOf } from '../src/store/columns.js';

const TABLE = 'pub_api_token';
const COLUMN = 'node_code';

/** Tokens that reach the things of one node only; those that are there already reach everything, as before. */
export class TokenScope1763600006000 implements MigrationInterface {
  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.addColumn(TABLE, nodeCodeColumn(queryRunner));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.dropColumn(TABLE, COLUMN);
  }
}

/** As `tableOf` would write it into a new table. */
function nodeCodeColumn(queryRunner: QueryRunner): TableColumn {
  const columns = { [COLUMN]: nullable(columnsOf(queryRunner).text(40)) };
  const [column] = tableOf({ name: TABLE, columns }).columns;
  if (column === undefined) throw new Error('the table has no column');
  return column;
}
