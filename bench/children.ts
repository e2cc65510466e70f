/** Starting, asking and ending the bench's child processes. */
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const START_MS = 60_000;
const ANSWER_MS = 600_000;

/** A child that runs a TypeScript file of the bench and talks by messages. */
export function forkBench(file: string, args: string[] = []): ChildProcess {
  return fork(join(import.meta.dirname, file), args, {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
}

/** Resolves with the next message that `pick` accepts. */
export function nextMessage<T>(child: ChildProcess, pick: (message: unknown) => T | null): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      finish();
      reject(new Error('a child process did not answer'));
    }, ANSWER_MS);
    function finish(): void {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
    }
    function onMessage(message: unknown): void {
      const picked = pick(message);
      if (picked === null) return;
      finish();
      resolve(picked);
    }
    function onExit(code: number | null): void {
      finish();
      reject(new Error(`a child process ended with ${String(code)}`));
    }
    child.on('message', onMessage);
    child.on('exit', onExit);
  });
}

/** Ends a child that we started and waits for it. */
export function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    if (child.connected) child.disconnect();
    child.kill('SIGTERM');
  });
}

export interface RunningCentre {
  url: string;
  pid: number;
  token: string;
  stop(): Promise<void>;
}

/** Starts `event-center serve` as built, with these variables, in a data folder of its own. */
export async function startCentre(environment: Record<string, string>): Promise<RunningCentre> {
  const dataDir = mkdtempSync(join(tmpdir(), 'event-center-bench-'));
  const token = 'bench-admin-token-0123456789';
  const child = spawn(process.execPath, [join(import.meta.dirname, '..', 'dist', 'src', 'main.js'), 'serve'], {
    env: {
      ...process.env,
      EVENT_CENTER_PORT: '0',
      EVENT_CENTER_DATA_DIR: dataDir,
      EVENT_CENTER_ADMIN_TOKEN: token,
      EVENT_CENTER_MASTER_KEY: '00'.repeat(32),
      EVENT_CENTER_AUTO_MIGRATE: 'true',
      EVENT_CENTER_LOG_LEVEL: 'warn',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await readyUrl(child);
  return {
    url,
    pid: child.pid as number,
    token,
    stop: async () => {
      await end(child);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function readyUrl(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => {
      reject(new Error(`the centre was not ready after ${START_MS} ms`));
    }, START_MS);
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const url = /event-center ready (\S+)/.exec(text)?.[1];
      if (url === undefined) return;
      clearTimeout(timer);
      resolve(url);
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`the centre ended with ${String(code)}`));
    });
  });
}

/** Watches the resident memory of a process; `stop` gives the highest seen, in MB. */
export function watchMemory(pid: number): { stop(): number } {
  let peakMb = 0;
  const timer = setInterval(() => {
    try {
      const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      peakMb = Math.max(peakMb, Number(resident ?? 0) / 1024);
    } catch {
      // Where there is no /proc, memory is not measured.
    }
  }, 200);
  return {
    stop: () => {
      clearInterval(timer);
      return Math.round(peakMb);
    },
  };
}
