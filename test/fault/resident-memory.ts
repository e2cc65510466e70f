import { readFileSync } from 'node:fs';

/** Resident memory of a process in MiB: now, and at most since its start. Linux only. */
export function residentMemory(pid: number): { nowMiB: number; mostMiB: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return { nowMiB: field('VmRSS'), mostMiB: field('VmHWM') };
}
