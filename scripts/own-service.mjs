/** A service of one's own: started, stopped, killed and started again by the ids of its processes. */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

const START_MS = 240_000;
const STOP_MS = 30_000;
const POLL_MS = 300;

/**
 * Makes a service of `launch(stdio)`, which starts its process; `pidOf(child)` is whom signals go to, and the service is
 * there when `answers()` resolves. Its output is kept in `folder`.
 */
export function serviceOf({ name, folder, launch, pidOf, answers }) {
  const logFile = join(folder, 'output.log');
  let child = null;
  let ended = Promise.resolve();

  const end = async (signal) => {
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    try {
      process.kill(pidOf(child), signal);
    } catch {
      child.kill(signal);
    }
    await ended;
    clearTimeout(timer);
  };

  const start = async () => {
    const output = openSync(logFile, 'a');
    child = launch(['ignore', output, output]);
    closeSync(output);
    ended = new Promise((resolve) => child.once('exit', resolve));
    for (const giveUpAt = Date.now() + START_MS; ; await wait(POLL_MS)) {
      try {
        await answers();
        return;
      } catch (error) {
        if (Date.now() < giveUpAt && child.exitCode === null) continue;
        await end('SIGTERM');
        throw new Error(`${name} did not start: ${error.message}\n${readFileSync(logFile, 'utf8').slice(-2_000)}`, {
          cause: error,
        });
      }
    }
  };

  return { start, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') };
}

/** A port that nobody on this machine listens at. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
