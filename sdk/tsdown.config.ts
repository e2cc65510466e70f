import { existsSync } from 'node:fs';
import { defineConfig } from 'tsdown';

const folders = ['plugins', 'amqp', 'outbox', 'inbox', 'handlers', 'notifier'];

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    ...Object.fromEntries(folders.filter((f) => existsSync(`src/${f}/index.ts`)).map((f) => [f, `src/${f}/index.ts`])),
    ...(existsSync('src/cli.ts') ? { cli: 'src/cli.ts' } : {}),
  },
  format: ['esm', 'cjs'],
  target: 'node18',
  platform: 'node',
  dts: true,
  logLevel: 'warn',
  checks: { pluginTimings: false },
  fixedExtension: false,
});
