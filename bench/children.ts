/** Starting, asking and ending the bench's child processes. */
import { fork, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

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
