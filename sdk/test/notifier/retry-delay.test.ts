import fc from 'fast-check';
import { retryDelayMs } from '../../src/notifier/retry-delay.js';
import { RecentIds } from '../../src/notifier/recent-ids.js';

describe('the delay before a retry', () => {
  it('doubles up to the longest, and takes up to half away by chance', () => {
    const delays = { firstDelayMs: 100, maxDelayMs: 1000 };
    expect([1, 2, 3, 4, 5, 60].map((failures) => retryDelayMs(failures, delays, 1))).toEqual([
      100, 200, 400, 800, 1000, 1000,
    ]);
    expect(retryDelayMs(3, delays, 0)).toBe(200);
  });

  it('is never longer than the longest, however often it failed', () => {
    const natural = fc.integer({ min: 0, max: 2_147_483_647 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), natural, natural, (failures, firstDelayMs, maxDelayMs) => {
        const delayMs = retryDelayMs(failures, { firstDelayMs, maxDelayMs });
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(maxDelayMs);
      }),
    );
  });
});

describe('ids of a while ago', () => {
  it('are forgotten after their time', () => {
    const ids = new RecentIds({ ttlMs: 100, maxIds: 10 });
    ids.add('a', 0);
    expect([ids.has('a', 99), ids.has('a', 100)]).toEqual([true, false]);
    ids.add('b', 100);
    expect(ids.size).toBe(1);
  });

  it('take bounded memory: the oldest goes first', () => {
    const ids = new RecentIds({ ttlMs: 1e9, maxIds: 3 });
    for (let n = 0; n < 1000; n += 1) ids.add(String(n), n);
    expect(ids.size).toBe(3);
    expect(['996', '997', '998', '999'].map((id) => ids.has(id, 1000))).toEqual([false, true, true, true]);
  });

  it('begin their time anew when they come again', () => {
    const ids = new RecentIds({ ttlMs: 100, maxIds: 10 });
    ids.add('a', 0);
    ids.add('b', 10);
    ids.add('a', 50);
    expect([ids.has('a', 140), ids.has('b', 140)]).toEqual([true, false]);
  });
});
