import type { Clock, Log } from '../../src/core/ports.js';
import { RegistryAdmin } from '../../src/core/registry/registry-admin.js';
import type { RegistryAdminDeps } from '../../src/core/registry/registry-change.js';
import type { RegistryView } from '../../src/core/registry/registry.js';
import { AjvSchemaCompiler } from '../../src/schema/ajv.js';
import { MemoryRegistryStore } from './memory-registry-store.js';

export const quietLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** A clock that stands until it is moved. */
export class ManualClock implements Clock {
  time = Date.parse('2030-01-01T00:00:00.000Z');

  now(): number {
    return this.time;
  }
}

export interface RegistryAdminKit {
  admin: RegistryAdmin;
  store: MemoryRegistryStore;
  registry: RegistryView;
  clock: ManualClock;
  /** What the broker was asked to declare, and at which version the registry was then. */
  prepared: { need: Parameters<RegistryAdminDeps['prepareTopology']>[0]; atVersion: number }[];
  announced: number[];
  /** Makes the next declarations fail. */
  broker: { problem: Error | null };
}

export function aRegistryAdmin(over: Partial<RegistryAdminDeps> = {}): RegistryAdminKit {
  const schemas = new AjvSchemaCompiler();
  const store = new MemoryRegistryStore();
  const registry = store.view(schemas);
  const clock = new ManualClock();
  const prepared: RegistryAdminKit['prepared'] = [];
  const announced: number[] = [];
  const broker: RegistryAdminKit['broker'] = { problem: null };
  const admin = new RegistryAdmin({
    store,
    registry,
    schemas,
    addresses: { refusalOf: () => null },
    clock,
    log: quietLog,
    defaultDelaysMs: [5_000, 30_000],
    defaultConcurrency: 32,
    prepareTopology: async (need) => {
      if (broker.problem !== null) throw broker.problem;
      prepared.push({ need, atVersion: store.data.version });
    },
    onChanged: async (version) => {
      announced.push(version);
    },
    ...over,
  });
  return { admin, store, registry, clock, prepared, announced, broker };
}
