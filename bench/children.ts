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

/** What a process used while it was watched. Where there is no /proc, nothing is known. */
export interface ProcessUse {
  /** Highest resident memory seen. */
  memoryMb: number | null;
  /** Processor time, user and system together. */
  cpuMs: number | null;
}

const CLOCK_TICK_MS = 10;

/** Watches a process until `stop`. */
export function watchProcess(pid: number): { stop(): ProcessUse } {
  const before = cpuMsOf(pid);
  let peakMb = 0;
  const timer = setInterval(() => {
    peakMb = Math.max(peakMb, residentMbOf(pid) ?? 0);
  }, 200);
  return {
    stop: () => {
      clearInterval(timer);
      const after = cpuMsOf(pid);
      return {
        memoryMb: peakMb === 0 ? null : Math.round(peakMb),
        cpuMs: before === null || after === null ? null : after - before,
      };
    },
  };
}

/** Resident memory of a process now; null where there is no /proc. */
export function residentMbOf(pid: number): number | null {
  const resident = /VmRSS:\s+(\d+) kB/.exec(readProcess(pid, 'status') ?? '')?.[1];
  return resident === undefined ? null : Number(resident) / 1024;
}

function cpuMsOf(pid: number): number | null {
  const fields = readProcess(pid, 'stat')?.split(') ')[1]?.split(' ');
  return fields === undefined ? null : (Number(fields[11]) + Number(fields[12])) * CLOCK_TICK_MS;
}

function readProcess(pid: number, file: string): string | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return null;
  }
}
