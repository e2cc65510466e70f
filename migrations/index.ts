import type { MigrationInterface } from 'typeorm';

/** All migrations in the order of their timestamps. Append only: one that was released never changes. */
export const migrations: (new () => MigrationInterface)[] = [];
