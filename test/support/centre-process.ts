import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** An `event-center` process as built, started by a test or a benchmark. */
export interface CentreProcess {
  url: string;
  pid: number;
  token: string;
  dataDir: string;
  /** What it has written to standard output. */
  output(): string;
  /** SIGTERM, and waits for the end; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** kill -9, and waits for the end. */
  kill(): Promise<void>;
}

export const ADMIN_TOKEN = 'admin-token-of-the-test-0123456789';

export interface CentreOptions {
  /** Variables beside the ones below. */
  environment: Record<string, string>;
  /** A data folder that outlives the process; else one of its own, removed by `stop`. */
  dataDir?: string;
  /** Arguments of Node itself, such as `--cpu-prof`. */
  nodeArguments?: string[];
  /** The process's log goes there; else to this process's standard error. */
  logFile?: string;
}

const START_MS = 60_000;
const STOP_MS = 45_000;
const MAIN = join(process.cwd(), 'dist', 'src', 'main.js');

/** Starts `event-center serve` from `dist` and waits for its ready line. @throws when it ends or is not ready in time. */
export async function startCentreProcess(options: CentreOptions): Promise<CentreProcess> {
  requireBuild();
  const dataDir = options.dataDir ?? mkdtempSync(join(tmpdir(), 'event-center-'));
  const log = options.logFile === undefined ? null : openSync(options.logFile, 'a');
  const child = spawn(process.execPath, [...(options.nodeArguments ?? []), MAIN, 'serve'], {
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      EVENT_CENTER_PORT: '0',
      EVENT_CENTER_DATA_DIR: dataDir,
      EVENT_CENTER_ADMIN_TOKEN: ADMIN_TOKEN,
      EVENT_CENTER_MASTER_KEY: '5c'.repeat(32),
      EVENT_CENTER_AUTO_MIGRATE: 'true',
      EVENT_CENTER_LOG_LEVEL: 'warn',
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', log ?? 'inherit'],
  });
  if (log !== null) closeSync(log);
  const output = outputOf(child);
  const url = await readyUrl(child, output);
  const removeData = (): void => {
    if (options.dataDir === undefined) rmSync(dataDir, { recursive: true, force: true });
  };
  return {
    url,
    pid: child.pid as number,
    token: ADMIN_TOKEN,
    dataDir,
    output,
    stop: async () => {
      const code = await signalled(child, 'SIGTERM');
      removeData();
      return code;
    },
    kill: async () => {
      await signalled(child, 'SIGKILL');
      removeData();
    },
  };
}

/** Runs a command of `event-center` that is to end by itself. */
export function runCentre(args: string[], environment: Record<string, string>): Promise<CentreEnd> {
  requireBuild();
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment };
    execFile(process.execPath, [MAIN, ...args], { env, timeout: START_MS }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : null, stdout, stderr });
    });
  });
}

/** How a process ended: `code` is null when it had to be ended. */
export interface CentreEnd {
  code: number | null;
  stdout: string;
  stderr: string;
}

function signalled(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
    child.kill(signal);
  });
}

function requireBuild(): void {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: run npm run build`);
}

function outputOf(child: ChildProcess): () => string {
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return () => text;
}

function readyUrl(child: ChildProcess, output: () => string): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the centre was not ready after ${START_MS} ms; it said: ${output()}`));
    }, START_MS);
    child.stdout?.on('data', () => {
      const url = /event-center ready (\S+)/.exec(output())?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the centre ended with ${String(code)} before it was ready; it said: ${output()}`));
    });
  });
}
