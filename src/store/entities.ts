import type { EntitySchema } from 'typeorm';
import type { Columns } from './columns.js';

/** All tables of the centre as they are after the last migration. */
export function entities(_columns: Columns): EntitySchema[] {
  return [];
}
