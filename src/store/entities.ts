import type { EntitySchema } from 'typeorm';
import { accessEntities } from './access-tables.js';
import type { Columns } from './columns.js';
import { journalEntities } from './journal-tables.js';
import { leaseEntity } from './lease-table.js';
import { registryEntities } from './registry-tables.js';

/** All tables of the centre as they are after the last migration. */
export function entities(columns: Columns): EntitySchema[] {
  return [...registryEntities(columns), ...accessEntities(columns), ...journalEntities(columns), leaseEntity(columns)];
}
