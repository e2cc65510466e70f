/**
 * `npm run test:faults -- [scenario …]`: each scenario on a broker and database of its own, closed from the files of the senders and
 * receivers, then compared with the API. Writes the tables of `docs/reliability.md`. Exit code 0 only when all held.
 */
import { parseArgs } from 'node:util';
import { installPackages, missingPackages } from '../../scripts/debian-packages.mjs';
import { chooseScenarios, loadScenarios } from './catalogue.js';
import { keepResult, writeTables } from './results.js';
import { runScenario, type RunOptions } from './run-scenario.js';
import type { Scenario } from './scenario.js';
import { ownServices, sharedServices } from './services.js';

const USAGE = `npm run test:faults -- [option …] [scenario …]     a name, or its beginning; all without one

  --list                  what there is
  --short                 few scenarios with small counts on services that they share, as in .ci/run; the tables stay
  --plant-loss            takes one message away behind the centre's back: the run must fail
  --plant-repeat          makes one message twice behind the centre's back: the run must fail
  --transport http|amqp   only plugin hosts that take their events so
  --keep                  keeps the folders with the records and the log also of what passed
  --tables                runs nothing and writes the tables from the results that are kept
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    list: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    'plant-loss': { type: 'boolean', default: false },
    'plant-repeat': { type: 'boolean', default: false },
    transport: { type: 'string' },
    keep: { type: 'boolean', default: false },
    tables: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

async function main(): Promise<void> {
  const plant = values['plant-loss'] ? 'loss' : values['plant-repeat'] ? 'repeat' : null;
  const { short, keep } = values;
  const all = await loadScenarios();
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (values.list) {
    for (const one of all) console.log(`${one.name}${one.short === true ? ' (short)' : ''}\n    ${one.promise}`);
    return;
  }
  if (values.tables) {
    writeTables();
    return;
  }
  const chosen = chooseScenarios(all, { names: positionals, short, plant, transport: values.transport ?? null });
  await installMissing(chosen);
  const startedAt = Date.now();
  const failed = await runAll(chosen, { short, plant, keep });
  for (const name of failed) console.log(`FAILED ${name}`);
  console.log(`\nin ${Math.round((Date.now() - startedAt) / 1000)} s`);
  console.log(`${chosen.length - failed.length} passed, ${failed.length} failed`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}

/** The services of the scenarios, and what some need beside them, are Debian's packages. */
async function installMissing(chosen: Scenario[]): Promise<void> {
  const needed = chosen.flatMap(({ packages = [] }) => packages);
  const missing = missingPackages(['rabbitmq-server', 'mariadb-server', ...needed]);
  if (missing.length === 0) return;
  const whatToDo = `The scenarios need Debian's packages: apt-get install ${missing.join(' ')}`;
  await installPackages(missing, { say: console.log, whatToDo });
}

/** Runs one after another; gives the names of those that did not hold. */
async function runAll(chosen: Parameters<typeof runScenario>[0][], options: Omit<RunOptions, 'services' | 'ending'>) {
  const [shared, own] = [sharedServices(), ownServices()];
  const ending = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());
  const failed: string[] = [];
  try {
    for (const scenario of chosen) {
      const services = options.short || scenario.sharesServices === true ? shared : own;
      const result = await runScenario(scenario, { ...options, services, ending: ending.signal });
      if (!result.passed) failed.push(result.name);
      if (result.interrupted) throw new Error('interrupted');
      if (result.began && !options.short && options.plant === null) keepResult(result);
    }
  } finally {
    await shared.close();
  }
  return failed;
}

main().catch((error: unknown) => {
  console.error(`test:faults: ${error instanceof Error ? error.message : String(error)}`);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
});
