import type { MigrationInterface } from 'typeorm';
import { Registry1763600000000 } from './1763600000000-registry.js';
import { Access1763600001000 } from './1763600001000-access.js';
import { Journal1763600002000 } from './1763600002000-journal.js';
import { Lease1763600003000 } from './1763600003000-lease.js';
import { TokenScope1763600006000 } from './1763600006000-token-scope.js';
import { Lists1763600008000 } from './1763600008000-lists.js';
import { ListsOfApps1763600009000 } from './1763600009000-lists-of-apps.js';
import { OldChains1763600010000 } from './1763600010000-old-chains.js';

/** All migrations in the order of their timestamps. Append only: one that was released never changes. */
export const migrations: (new () => MigrationInterface)[] = [
  Registry1763600000000,
  Access1763600001000,
  Journal1763600002000,
  Lease1763600003000,
  TokenScope1763600006000,
  Lists1763600008000,
  ListsOfApps1763600009000,
  OldChains1763600010000,
];
