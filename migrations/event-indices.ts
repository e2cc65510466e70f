import { TableIndex, type QueryRunner, type TableIndexOptions } from 'typeorm';

const EVENTS = 'pub_event';

export function addEventIndices(queryRunner: QueryRunner, indices: TableIndexOptions[]): Promise<void> {
  return addIndices(queryRunner, EVENTS, indices);
}

export async function dropEventIndices(queryRunner: QueryRunner, indices: TableIndexOptions[]): Promise<void> {
  for (const index of indices) await queryRunner.dropIndex(EVENTS, new TableIndex(index));
}

/** Adds indices of a table, but only what is missing: MySQL keeps what a run had done before it broke. */
export async function addIndices(
  queryRunner: QueryRunner,
  tableName: string,
  indices: TableIndexOptions[],
): Promise<void> {
  const table = await queryRunner.getTable(tableName);
  const existing = new Set(table?.indices.map(({ name }) => name));
  for (const index of indices) {
    if (existing.has(index.name)) continue;
    await queryRunner.createIndex(tableName, new TableIndex(index));
  }
}
