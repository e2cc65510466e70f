/**
 * `npm run test:security`: what the centre promises against those who mean it harm, test by test.
 *
 *   npm run test:security                the long run; writes its results into docs/security.md
 *   npm run test:security -- --short     fewer cases, none of the slow tests; writes nothing
 *   npm run test:security -- test/security/fuzz-bodies.test.ts -t x   anything else is given to jest; writes nothing
 *   EVENT_CENTER_TEST_SEED=42 npm run test:security -- -t x           repeats fuzzing with the seed that a run printed
 *
 * RabbitMQ and MariaDB or MySQL are found or started as by `npm test`, and `--own-services` means the same here.
 * The last line is `N passed, N failed`; exit code 0 only when something ran and nothing failed.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithCounts, runJest } from '../../scripts/jest-run.mjs';
import { writeResults } from './run-report.mjs';

const SHORT = '--short';
const OWN_SERVICES = '--own-services';

async function main(args) {
  const isShort = args.includes(SHORT);
  const given = args.filter((arg) => arg !== SHORT && arg !== OWN_SERVICES);
  const folder = mkdtempSync(join(tmpdir(), 'event-center-security-'));
  const fuzzFile = join(folder, 'fuzz.jsonl');
  try {
    const run = await runJest({
      jestArgs: [
        ...(given.some((arg) => arg.includes('test/security')) ? [] : ['test/security/']),
        '--verbose',
        ...given,
      ],
      environment: { EVENT_CENTER_TEST_LONG: isShort ? '' : '1', EVENT_CENTER_TEST_FUZZ_FILE: fuzzFile },
      onlyOwn: args.includes(OWN_SERVICES),
      say,
    });
    const fuzzed = readFuzzed(fuzzFile);
    for (const { test, cases, seed, slowestMs } of fuzzed) {
      say(`${cases} cases, slowest ${slowestMs} ms, seed ${seed}: ${test}`);
    }
    if (!isShort && given.length === 0 && run.result !== null) {
      writeResults({ result: run.result, fuzzed, services: run.lines });
      say('results are in docs/security.md');
    }
    return run;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What each fuzz test ran, in the order of their names. */
function readFuzzed(file) {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line)).sort((a, b) => (a.test < b.test ? -1 : 1));
}

function say(text) {
  process.stdout.write(`security: ${text}\n`);
}

endWithCounts(main(process.argv.slice(2)), 'security');
