/** Runs jest on RabbitMQ and MariaDB or MySQL, which are found or started. Used by `npm test` and `npm run test:security`. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithNpm } from './npm-parent.mjs';
import { ROOT, prepare } from './prepare.mjs';

const JEST = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');

let jest = null;
let interrupted = false;

/**
 * Prepares the clone, finds or starts the services, and runs jest with `jestArgs` and `environment` added.
 * `embedded` runs without services, `onlyOwn` starts its own even when some are running here.
 * Resolves with the counts, what jest's `--json` says (null when it ended without), and a line for each service.
 */
export async function runJest({ jestArgs, environment = {}, embedded = false, onlyOwn = false, say }) {
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      interrupted = true;
      jest?.kill(signal);
    });
  }
  endWithNpm();
  await prepare();
  if (embedded) {
    const lines = ['the embedded broker and SQLite only (--embedded)'];
    say(lines[0]);
    return { ...(await run(jestArgs, { ...environment, EVENT_CENTER_TEST_EMBEDDED_ONLY: '1' }, say)), lines };
  }
  const { testServices } = await import('./test-services.mjs');
  const services = await testServices({ onlyOwn });
  try {
    for (const line of services.lines) say(line);
    if (interrupted) return { ...nothingRan('interrupted', say), lines: services.lines };
    return { ...(await run(jestArgs, { ...environment, ...services.environment }, say)), lines: services.lines };
  } finally {
    await services.stop();
  }
}

/** Prints `N passed, N failed` as the last line and sets the exit code, also when `work` throws. */
export function endWithCounts(work, name) {
  work.then(
    ({ passed, failed, skipped }) => {
      process.stdout.write(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
      process.exitCode = failed === 0 ? 0 : 1;
    },
    (error) => {
      process.stderr.write(`${name}: ${error.message}\n`);
      process.stdout.write('\n0 passed, 1 failed\n');
      process.exitCode = 1;
    },
  );
}

/** Runs jest and returns its counts; a suite that cannot be loaded counts as one failure. */
async function run(jestArgs, environment, say) {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-test-'));
  const resultFile = join(folder, 'result.json');
  const fixed = ['--maxWorkers=2', '--json', `--outputFile=${resultFile}`];
  try {
    jest = spawn(process.execPath, [JEST, ...fixed, ...jestArgs], {
      cwd: ROOT,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const end = await new Promise((resolve, reject) =>
      jest.once('error', reject).once('exit', (code, signal) => resolve(signal ?? code)),
    );
    if (!existsSync(resultFile)) return nothingRan(`jest ended with ${end} and without a result`, say);
    const result = JSON.parse(readFileSync(resultFile, 'utf8'));
    const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
    if (result.numPassedTests === 0 && failed === 0) say('no test ran, which counts as a failure');
    return {
      passed: result.numPassedTests,
      failed: result.numPassedTests === 0 ? Math.max(failed, 1) : failed,
      skipped: result.numPendingTests,
      result,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nothingRan(reason, say) {
  say(interrupted ? 'interrupted' : reason);
  return { passed: 0, failed: 1, skipped: 0, result: null };
}
