import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { until } from '../support/until.js';

/** A process that hosts plugins; what it has begun is known also after it was killed. */
export interface PluginHostProcess {
  /** Event ids of the calls that it began. */
  readonly begun: Set<string>;
  readonly ended: boolean;
  /** kill -9, and waits for the end. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the end; resolves with what the host said of itself last. */
  stop(): Promise<{ state: string; inHand: number; lostLeases?: number } | null>;
}

/** Starts `plugin-host.mjs` and waits until it takes events. */
export async function startPluginHost(environment: Record<string, string>): Promise<PluginHostProcess> {
  const child = spawn(process.execPath, ['test/fault/plugin-host.mjs'], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const begun = new Set<string>();
  let isReady = false;
  let last: string | null = null;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    if (line === 'ready') isReady = true;
    else if (line.startsWith('begun ')) begun.add(line.slice('begun '.length));
    else if (line.startsWith('stopped ')) last = line.slice('stopped '.length);
  });
  let ended = false;
  // 'close' comes after the pipe was read to its end, so that nothing that was begun is missed.
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => {
      ended = true;
      resolve();
    });
  });
  const signalled = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal);
    await closed;
  };
  await until('the plugin host takes events', () => {
    if (ended) throw new Error(`the plugin host ended with ${String(child.exitCode)}`);
    return isReady;
  });
  return {
    begun,
    get ended() {
      return ended;
    },
    kill: () => signalled('SIGKILL'),
    stop: async () => {
      await signalled('SIGTERM');
      return last === null ? null : JSON.parse(last);
    },
  };
}
