import { createRequire } from 'node:module';
import { defineConfig } from 'tsdown';
import type { UserConfig } from 'tsdown';

const PARTS = ['plugins', 'amqp', 'outbox', 'inbox', 'handlers', 'notifier'];

/**
 * Of undici only the pool of HTTP/1.1 connections is bundled. It would pull in the implementation of `fetch` for request
 * bodies that are streams, forms or blobs; this package sends texts.
 */
const POOL_ONLY = {
  name: 'undici-pool-only',
  load: (id: string) => (/[\\/]undici[\\/]lib[\\/]web[\\/]fetch[\\/]body\.js$/.test(id) ? 'module.exports = {}' : null),
};

const SHARED = {
  target: 'node18',
  platform: 'node',
  fixedExtension: false,
  logLevel: 'warn',
  plugins: [POOL_ONLY],
  checks: { pluginTimings: false },
} satisfies UserConfig;

export default defineConfig([
  {
    ...SHARED,
    entry: {
      index: 'src/index.ts',
      ...Object.fromEntries(PARTS.map((part) => [part, `src/${part}/index.ts`])),
    },
    format: ['esm', 'cjs'],
    dts: true,
    copy: [{ from: createRequire(import.meta.url).resolve('undici/LICENSE'), to: 'dist', rename: 'undici-LICENSE' }],
  },
  { ...SHARED, entry: { cli: 'src/cli.ts' }, format: ['esm'], dts: false, clean: false },
]);
