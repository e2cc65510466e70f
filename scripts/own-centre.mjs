/**
 * The centre that the demo and the examples speak to: the one that is named to them, or one of their own on the
 * embedded broker and SQLite in a temporary folder.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, prepare } from './prepare.mjs';

const START_MS = 60_000;

/**
 * The running centre at `url`, or without one a centre of its own. `stop` ends only the latter.
 * @returns {Promise<{ url: string, token: string, stop: () => Promise<void> }>}
 */
export async function centreAt({ url, token }) {
  if (url === undefined) return startOwnCentre();
  if (token === undefined) throw new Error('--url needs --token, an admin token');
  return { url: url.replace(/\/+$/, ''), token, stop: async () => {} };
}

async function startOwnCentre() {
  await prepare();
  const dataDir = mkdtempSync(join(tmpdir(), 'event-center-own-'));
  const token = randomBytes(24).toString('base64url');
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('EVENT_CENTER_'));
  const child = spawn(process.execPath, [join(ROOT, 'dist', 'src', 'main.js'), 'serve'], {
    env: {
      ...Object.fromEntries(environment),
      EVENT_CENTER_PORT: '0',
      EVENT_CENTER_DATA_DIR: dataDir,
      EVENT_CENTER_ADMIN_TOKEN: token,
      EVENT_CENTER_LOG_LEVEL: 'warn',
      EVENT_CENTER_CALLBACK_ADDRESSES: 'development',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const stop = async () => {
    child.kill('SIGTERM');
    await ended;
    rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    return { url: await readyUrl(child), token, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function readyUrl(child) {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`the centre was not ready after ${START_MS} ms`)), START_MS);
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const ready = /event-center ready (\S+)/.exec(text);
      if (ready === null) return;
      clearTimeout(timer);
      resolve(ready[1]);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the centre ended with ${code}`));
    });
  });
}
