/**
 * `npm test`: every test, on RabbitMQ and MariaDB or MySQL, which it finds or starts.
 *
 *   npm test -- --embedded       without them: the embedded broker and SQLite only
 *   npm test -- --own-services   starts its own even when some are running here
 *   npm test -- test/core -t x   anything else is given to jest
 *
 * The last line is `N passed, N failed`; exit code 0 only when something ran and nothing failed.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endWithNpm } from './npm-parent.mjs';
import { ROOT, prepare } from './prepare.mjs';

const OWN_FLAGS = ['--embedded', '--own-services'];
const args = process.argv.slice(2);
const has = (flag) => args.includes(flag);
const jestArgs = args.filter((arg) => !OWN_FLAGS.includes(arg));

let jest = null;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    interrupted = true;
    jest?.kill(signal);
  });
}
endWithNpm();

async function main() {
  await prepare();
  if (has('--embedded')) {
    say('the embedded broker and SQLite only (--embedded)');
    return runJest({ EVENT_CENTER_TEST_EMBEDDED_ONLY: '1' });
  }
  const { testServices } = await import('./test-services.mjs');
  const services = await testServices({ onlyOwn: has('--own-services') });
  try {
    for (const line of services.lines) say(line);
    return interrupted ? nothingRan('interrupted') : await runJest(services.environment);
  } finally {
    await services.stop();
  }
}

/** Runs jest and returns its counts; a suite that cannot be loaded counts as one failure. */
async function runJest(environment) {
  const folder = mkdtempSync(join(tmpdir(), 'event-center-test-'));
  const resultFile = join(folder, 'result.json');
  const jestFile = join(ROOT, 'node_modules', 'jest', 'bin', 'jest.js');
  const fixed = ['--maxWorkers=2', '--json', `--outputFile=${resultFile}`];
  try {
    jest = spawn(process.execPath, [jestFile, ...fixed, ...jestArgs], {
      cwd: ROOT,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const end = await new Promise((resolve, reject) =>
      jest.once('error', reject).once('exit', (code, signal) => resolve(signal ?? code)),
    );
    if (!existsSync(resultFile)) return nothingRan(`jest ended with ${end} and without a result`);
    const result = JSON.parse(readFileSync(resultFile, 'utf8'));
    const failed = result.numFailedTests + result.numRuntimeErrorTestSuites;
    if (result.numPassedTests === 0 && failed === 0) say('no test ran, which counts as a failure');
    return {
      passed: result.numPassedTests,
      failed: result.numPassedTests === 0 ? Math.max(failed, 1) : failed,
      skipped: result.numPendingTests,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function nothingRan(reason) {
  say(interrupted ? 'interrupted' : reason);
  return { passed: 0, failed: 1, skipped: 0 };
}

function say(text) {
  process.stdout.write(`test: ${text}\n`);
}

main().then(
  ({ passed, failed, skipped }) => {
    process.stdout.write(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
    process.exitCode = failed === 0 ? 0 : 1;
  },
  (error) => {
    process.stderr.write(`test: ${error.message}\n`);
    process.stdout.write('\n0 passed, 1 failed\n');
    process.exitCode = 1;
  },
);
