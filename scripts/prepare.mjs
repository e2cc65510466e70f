/**
 * Brings a clone into a state in which it can run, with nothing but Node: checks its version, installs what
 * package-lock.json names, builds what is older than its sources. Does nothing when there is nothing to do.
 * Used by the other scripts, and by itself as `node scripts/prepare.mjs`.
 */
import { spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, readdirSync, rmSync, statSync, closeSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The folder of the clone. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const SOURCES = [
  'src',
  'sdk/src',
  'migrations',
  'ormconfig.ts',
  'tsconfig.json',
  'tsconfig.build.json',
  'sdk/tsconfig.json',
  'sdk/tsdown.config.ts',
  'sdk/package.json',
];
/** Written by `npm run build` with the time at which it began, so that a change during the build is not overlooked. */
export const BUILD_STAMP = join(ROOT, 'dist', '.built');
const LOCK = join(ROOT, '.prepare.lock');
const LOCK_POLL_MS = 500;

/** Installs and builds as far as needed, one process at a time. Throws with one sentence that says what to do. */
export async function prepare() {
  requireNode();
  if (!needsInstall() && !needsBuild()) return;
  const release = await lock();
  try {
    if (needsInstall()) await install();
    if (needsBuild()) await build();
  } finally {
    release();
  }
}

/** Throws when this Node is older than package.json allows. */
export function requireNode() {
  const wanted = readJson(join(ROOT, 'package.json')).engines.node.replace('>=', '');
  const [major, minor] = wanted.split('.').map(Number);
  const [haveMajor, haveMinor] = process.versions.node.split('.').map(Number);
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return;
  throw new Error(
    `Node.js ${wanted} or newer is needed, this is ${process.versions.node}: see https://nodejs.org/en/download`,
  );
}

/**
 * Runs a program to its end, its output in this terminal; rejects unless it ends with 0.
 * What it says on standard output goes to standard error: that of the caller may be read by a program.
 */
export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2], ...options });
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${[command, ...args].join(' ')} ended with ${signal ?? code}`));
    });
  });
}

function needsInstall() {
  return missingPackage(needsBuild()) !== null;
}

/** The first package of package-lock.json that is not installed in its version, or null. */
function missingPackage(withDevelopment) {
  const installedFile = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return 'node_modules';
  const installed = readJson(installedFile).packages;
  for (const [path, wanted] of Object.entries(readJson(join(ROOT, 'package-lock.json')).packages)) {
    if (!path.includes('node_modules/') || wanted.optional || wanted.devOptional) continue;
    if (wanted.dev && !withDevelopment) continue;
    if (wanted.version !== installed[path]?.version) return path;
  }
  return null;
}

async function install() {
  say('installing packages; the first time this takes a minute or two');
  const options = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error'];
  try {
    await npm(['ci', ...options]);
  } catch {
    // npm ci insists on a lock file without gaps, also for packages of other systems that the registry does not offer.
    say('npm ci did not go through, trying npm install');
    await npm(['install', '--no-save', ...options]);
  }
}

/** Runs npm, the one that runs us where one does; see `run`. */
export function npm(args) {
  const cli = process.env.npm_execpath;
  if (cli !== undefined && /npm-cli\.c?js$/.test(cli)) return run(process.execPath, [cli, ...args]);
  return run('npm', args, { shell: process.platform === 'win32' });
}

function needsBuild() {
  if (!existsSync(BUILD_STAMP) || !existsSync(join(ROOT, 'dist', 'src', 'main.js'))) return true;
  const builtAt = Number(readFileSync(BUILD_STAMP, 'utf8'));
  return SOURCES.some((source) => newestChange(join(ROOT, source)) > builtAt);
}

async function build() {
  say('building');
  await npm(['run', '--silent', 'build']);
}

/** When a file, or anything in a folder, was last changed, in milliseconds since the epoch; 0 when it is not there. */
function newestChange(path) {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestChange(join(path, name))));
}

/** `npm start` in one shell and `npm run demo` in another must not install into one folder at the same time. */
async function lock() {
  for (let told = false; ;) {
    try {
      const file = openSync(LOCK, 'wx');
      writeSync(file, String(process.pid));
      closeSync(file);
      return () => rmSync(LOCK, { force: true });
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (!isAlive(lockHolder())) {
      rmSync(LOCK, { force: true });
      continue;
    }
    if (!told) say(`another process (${lockHolder()}) is installing or building here, waiting for it`);
    told = true;
    await wait(LOCK_POLL_MS);
  }
}

function lockHolder() {
  try {
    return Number(readFileSync(LOCK, 'utf8'));
  } catch {
    return NaN;
  }
}

function isAlive(pid) {
  // An empty lock was created a moment ago, and 0 would ask about our own process group.
  if (pid === 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function say(text) {
  process.stderr.write(`event-center: ${text}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  prepare().catch((error) => {
    say(error.message);
    process.exitCode = 1;
  });
}
