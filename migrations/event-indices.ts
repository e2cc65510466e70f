import { TableIndex, type QueryRunner, type TableIndexOptions } from 'typeorm';

const TABLE = 'pub_event';

/** Adds indices of events, but only what is missing: MySQL keeps what a run had done before it broke. */
export async function addEventIndices(queryRunner: QueryRunner, indices: TableIndexOptions[]): Promise<void> {
  const table = await queryRunner.getTable(TABLE);
  const existing = new Set(table?.indices.map(({ name }) => name));
  for (const index of indices) {
    if (existing.has(index.name)) continue;
    await queryRunner.createIndex(TABLE, new TableIndex(index));
  }
}

export async function dropEventIndices(queryRunner: QueryRunner, indices: TableIndexOptions[]): Promise<void> {
  for (const index of indices) await queryRunner.dropIndex(TABLE, new TableIndex(index));
}
