#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { serve, migrate } from './compose.js';
import { rotateMasterKey } from './compose/rotate-master-key.js';
import { loadConfig, type Config } from './config.js';
import { EventCenterError } from './core/errors.js';

const USAGE = `event-center <command> [--config FILE]

  serve              accept, deliver and record events until SIGINT or SIGTERM (the default)
  migrate            bring the database's tables up to date, then end
  rotate-master-key  encrypt every secret in the database under the current master key, then end
  check-config       read the configuration, print it without its secrets, then end

Types from the registry are written by the program of the same name that comes with the SDK, in an application that has it
installed. Every option: config/default.yaml. Environment variables override the file named by --config or EVENT_CENTER_CONFIG.
`;

const COMMANDS = ['serve', 'migrate', 'rotate-master-key', 'check-config'];
const EXIT_USAGE = 2;

/**
 * Under load most of what lives a little is garbage soon after. V8 would let the heap grow to four times what is alive
 * before it looks; at twice, the process needs about 100 MB less for a few per cent of its time (`npm run bench`).
 */
const HEAP_GROWTH = '--heap-growing-percent=100';

async function main(): Promise<number> {
  setFlagsFromString(HEAP_GROWTH);
  const { values, positionals } = readArguments();
  const [command = 'serve', ...rest] = positionals;
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (rest.length > 0 || !COMMANDS.includes(command)) {
    throw new UsageError(`there is no command "${positionals.join(' ')}"`);
  }
  const config = loadConfig(process.env, values.config);
  if (command === 'check-config') {
    process.stdout.write(`${JSON.stringify(withoutSecrets(config), null, 2)}\n`);
    return 0;
  }
  if (command === 'migrate') {
    const applied = await migrate(config);
    process.stdout.write(applied.length === 0 ? 'nothing to migrate\n' : `migrated: ${applied.join(', ')}\n`);
    return 0;
  }
  if (command === 'rotate-master-key') return rotate(config);
  return runUntilSignal(config);
}

/** 1 when secrets are left that none of the keys opens. */
async function rotate(config: Config): Promise<number> {
  const { keyId, resealed, current, unreadable } = await rotateMasterKey(config);
  process.stdout.write(
    `master key ${keyId}: ${String(resealed)} secrets encrypted anew, ${String(current)} already under it, ${String(unreadable.length)} unreadable\n`,
  );
  for (const sentence of unreadable) process.stderr.write(`event-center: ${sentence}\n`);
  return unreadable.length === 0 ? 0 : 1;
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The command line is wrong. */
class UsageError extends Error {}

/** Serves until a signal; a second signal ends at once. */
async function runUntilSignal(config: Config): Promise<number> {
  const ending = new AbortController();
  const signalled = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.on(signal, () => {
        if (ending.signal.aborted) process.exit(1);
        ending.abort();
        resolve();
      });
    }
  });
  const centre = await serve(config, (line) => process.stdout.write(`${line}\n`), ending.signal);
  await signalled;
  await centre.stop();
  return 0;
}

function withoutSecrets(config: Config): unknown {
  const hide = (text: string | null): string | null => (text === null ? null : '***');
  // A password may have an @ as it stands: the last one before the path ends it.
  const hidePassword = (url: string): string => url.replace(/(:\/\/[^:/?#@]*):[^/?#]*@/g, '$1:***@');
  return {
    ...config,
    masterKey: hide(config.masterKey),
    masterKeyPrevious: config.masterKeyPrevious.map(hide),
    adminToken: hide(config.adminToken),
    broker: { ...config.broker, url: hidePassword(config.broker.url) },
    database: { ...config.database, url: hidePassword(config.database.url) },
  };
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`event-center: ${describe(error)}\n`);
    process.exitCode = error instanceof UsageError ? EXIT_USAGE : 1;
  },
);

/** A sentence for what a person can mend, where it broke for anything else. */
function describe(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}\n\n${USAGE}`;
  if (!(error instanceof Error)) return String(error);
  const isRefusal = error instanceof EventCenterError || 'syscall' in error;
  return isRefusal ? error.message : (error.stack ?? error.message);
}
