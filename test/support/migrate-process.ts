import { migrations } from '../../migrations/index.js';
import { entities } from '../../src/store/entities.js';
import { migrate } from '../../src/store/migrate.js';

/** Migrates the database of the first argument and prints how many migrations it ran; a process of its own in tests. */
async function main(): Promise<void> {
  const names = await migrate({
    url: process.argv[2] as string,
    poolSize: 1,
    queryTimeoutMs: 30_000,
    entities,
    migrations,
  });
  process.stdout.write(String(names.length));
}

void main();
