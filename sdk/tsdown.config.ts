import { defineConfig } from 'tsdown';

const PARTS = ['plugins', 'amqp', 'outbox', 'inbox', 'handlers', 'notifier'];

const SHARED = {
  target: 'node18',
  platform: 'node',
  fixedExtension: false,
  logLevel: 'warn',
  checks: { pluginTimings: false },
} as const;

export default defineConfig([
  {
    ...SHARED,
    entry: {
      index: 'src/index.ts',
      ...Object.fromEntries(PARTS.map((part) => [part, `src/${part}/index.ts`])),
    },
    format: ['esm', 'cjs'],
    dts: true,
  },
  { ...SHARED, entry: { cli: 'src/cli.ts' }, format: ['esm'], dts: false, clean: false },
]);
