import { eachOf, Periodic, type Sleep } from '../../src/core/periodic.js';
import { recordingLog } from '../support/accepting.js';
import { until } from '../support/until.js';

/** Waits that a test ends: each keeps how long it was to be. */
function manualSleep(): { sleep: Sleep; waits: number[]; wake: () => void } {
  const waits: number[] = [];
  let end: (() => void) | null = null;
  return {
    waits,
    wake: () => {
      const ending = end;
      end = null;
      ending?.();
    },
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        waits.push(ms);
        end = resolve;
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      }),
  };
}

describe('a periodic task', () => {
  it('runs again after the interval, and at once while there is more', async () => {
    const { sleep, waits, wake } = manualSleep();
    const results = ['more', 'idle', 'idle'] as const;
    let runs = 0;
    const loop = new Periodic({
      name: 'test',
      intervalMs: 1_000,
      log: recordingLog(),
      task: () => Promise.resolve(results[runs++] ?? 'idle'),
      sleep,
      random: () => 0.5,
    });
    loop.start();
    loop.start();
    for (let wait = 1; wait <= 4; wait += 1) {
      await until(`wait ${wait}`, () => waits.length === wait);
      wake();
    }
    await until('the fifth wait', () => waits.length === 5);
    await loop.stop();
    expect(waits).toEqual([500, 0, 1_000, 1_000, 1_000]);
    expect(runs).toBe(4);
  });

  it('backs off while it fails, up to ten seconds, and logs only the first failure and the recovery', async () => {
    const { sleep, waits, wake } = manualSleep();
    const log = recordingLog();
    let runs = 0;
    const loop = new Periodic({
      name: 'test',
      intervalMs: 100,
      log,
      task: () => (++runs <= 8 ? Promise.reject(new Error('away')) : Promise.resolve('idle')),
      sleep,
      random: () => 1,
    });
    loop.start();
    for (let wait = 1; wait <= 9; wait += 1) {
      await until(`wait ${wait}`, () => waits.length === wait);
      wake();
    }
    await until('the recovery', () => waits.length === 10);
    await loop.stop();
    expect(waits.slice(1, 9)).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000]);
    expect(log.lines.map((line) => line.event)).toEqual(['test.failed', 'test.recovered']);
  });

  it('ends only after the run under way, which is told', async () => {
    let told = false;
    let release = (): void => undefined;
    const loop = new Periodic({
      name: 'test',
      intervalMs: 1,
      log: recordingLog(),
      task: (signal) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => (told = true));
          release = () => resolve('idle');
        }),
      random: () => 0,
    });
    loop.start();
    const begun = release;
    await until('the run began', () => release !== begun);
    let stopped = false;
    const stopping = loop.stop().then(() => (stopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect([told, stopped]).toEqual([true, false]);
    release();
    await stopping;
  });
});

describe('work over many items', () => {
  it('is done so many at a time, each once', async () => {
    let active = 0;
    let most = 0;
    const seen: number[] = [];
    await eachOf([1, 2, 3, 4, 5, 6, 7], { width: 3 }, async (item) => {
      most = Math.max(most, (active += 1));
      await new Promise((resolve) => setImmediate(resolve));
      active -= 1;
      seen.push(item);
    });
    expect(most).toBe(3);
    expect(seen.sort()).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('begins nothing more after a failure, and throws it after the others have ended', async () => {
    const ended: number[] = [];
    const work = eachOf([1, 2, 3, 4], { width: 2 }, async (item) => {
      if (item === 1) throw new Error('one');
      await new Promise((resolve) => setImmediate(resolve));
      ended.push(item);
    });
    await expect(work).rejects.toThrow('one');
    expect(ended).toEqual([2]);
  });
});
