import fc from 'fast-check';
import { TokenBucket } from '../../src/core/accepting/token-bucket.js';

describe('the token bucket', () => {
  it('lets a burst of one second through, then says how long to wait', () => {
    const clock = { time: 0, now: () => clock.time };
    const bucket = new TokenBucket(4, clock);
    expect([bucket.take(), bucket.take(), bucket.take(), bucket.take()]).toEqual([0, 0, 0, 0]);
    expect(bucket.take()).toBe(250);
    clock.time = 249;
    expect(bucket.take()).toBe(1);
    clock.time = 250;
    expect(bucket.take()).toBe(0);
    expect(bucket.take()).toBe(250);
  });

  it('lets one through at a rate below one per second', () => {
    const clock = { time: 0, now: () => clock.time };
    const bucket = new TokenBucket(0.1, clock);
    expect(bucket.take()).toBe(0);
    expect(bucket.take()).toBe(10_000);
    clock.time = 10_000;
    expect(bucket.take()).toBe(0);
  });

  it('never lets more through than the rate and one burst, also when the clock goes back', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: -200, max: 400 }), { maxLength: 200 }),
        (rate, steps) => {
          const clock = { time: 100_000, now: () => clock.time };
          const bucket = new TokenBucket(rate, clock);
          let taken = 0;
          let forwardMs = 0;
          for (const step of steps) {
            clock.time += step;
            forwardMs += Math.max(0, step);
            if (bucket.take() === 0) taken += 1;
          }
          expect(taken).toBeLessThanOrEqual(rate + (forwardMs * rate) / 1000 + 1e-6);
        },
      ),
    );
  });
});
