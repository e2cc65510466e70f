import { execFile } from 'node:child_process';
import type { CentreEnd } from './centre-process.js';

/** Runs a script of the repository as a user does, in a process of its own, to its end. */
export function runProgram(file: string, args: string[], timeoutMs = 50_000): Promise<CentreEnd> {
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'] };
    execFile(process.execPath, [file, ...args], { env, timeout: timeoutMs }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : null, stdout, stderr });
    });
  });
}
