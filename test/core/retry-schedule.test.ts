import fc from 'fast-check';
import type { RetryPolicy } from '../../src/core/model.js';
import { longestStepWithin, nextDelayMs, scheduledDelayMs } from '../../src/core/delivering/retry-schedule.js';

const DEFAULTS = [5_000, 30_000, 120_000, 600_000, 1_800_000];

function policy(over: Partial<RetryPolicy> = {}): RetryPolicy {
  return { strategy: 'default', maxAttempts: null, delaysMs: null, ...over };
}

/** Delays after each failed attempt, until exhausted or `atMost`. */
function schedule(of: RetryPolicy, atMost = 20, retryAfterMs: number | null = null): number[] {
  const delays: number[] = [];
  for (let attemptsMade = 1; attemptsMade <= atMost; attemptsMade += 1) {
    const delay = nextDelayMs({ policy: of, defaultDelaysMs: DEFAULTS, attemptsMade, retryAfterMs, stepsMs: DEFAULTS });
    if (delay === null) return delays;
    delays.push(delay);
  }
  return delays;
}

describe('the retry schedule', () => {
  it('makes six attempts by default', () => {
    expect(schedule(policy())).toEqual(DEFAULTS);
  });

  it('takes the listener’s own delays, and one attempt more than delays', () => {
    expect(schedule(policy({ delaysMs: [10, 20] }))).toEqual([10, 20]);
  });

  it('repeats the last delay when more attempts are asked for, and leaves delays out when fewer', () => {
    expect(schedule(policy({ delaysMs: [10, 20], maxAttempts: 5 }))).toEqual([10, 20, 20, 20]);
    expect(schedule(policy({ maxAttempts: 3 }))).toEqual([5_000, 30_000]);
    expect(schedule(policy({ maxAttempts: 1 }))).toEqual([]);
  });

  it('never ends for loop', () => {
    expect(schedule(policy({ strategy: 'loop', delaysMs: [10, 20], maxAttempts: 2 }), 50)).toEqual([
      10,
      ...Array(49).fill(20),
    ]);
  });

  it('tries once for none', () => {
    expect(schedule(policy({ strategy: 'none', delaysMs: [10], maxAttempts: 9 }))).toEqual([]);
  });

  it.each([
    [1_000, 5_000],
    [5_000, 5_000],
    [5_001, 30_000],
    [119_000, 120_000],
    [999_999_999, 1_800_000],
  ])('makes a delay of Retry-After %i after the first attempt %i', (retryAfterMs, expected) => {
    expect(schedule(policy(), 1, retryAfterMs)).toEqual([expected]);
  });

  it('is lengthened to declared steps only, never shortened, never beyond the longest step', () => {
    const delay = fc.integer({ min: 1, max: 1_000_000 });
    fc.assert(
      fc.property(
        fc.array(delay, { minLength: 1, maxLength: 8 }),
        fc.nat({ max: 2_000_000 }),
        fc.nat({ max: 10 }),
        (delays, retryAfterMs, made) => {
          const stepsMs = [...new Set(delays)].sort((a, b) => a - b);
          const question = {
            policy: policy({ strategy: 'loop', delaysMs: delays }),
            defaultDelaysMs: DEFAULTS,
            attemptsMade: made + 1,
            stepsMs,
          };
          const scheduled = nextDelayMs({ ...question, retryAfterMs: null })!;
          const lengthened = nextDelayMs({ ...question, retryAfterMs })!;
          expect(stepsMs).toContain(lengthened);
          expect(lengthened).toBeGreaterThanOrEqual(scheduled);
          expect(lengthened >= retryAfterMs || lengthened === stepsMs.at(-1)).toBe(true);
          if (retryAfterMs <= scheduled) expect(lengthened).toBe(scheduled);
        },
      ),
    );
  });

  it('has a delay for every attempt, also the last', () => {
    expect(scheduledDelayMs(policy({ strategy: 'none', delaysMs: [7] }), DEFAULTS, 1)).toBe(7);
    expect(scheduledDelayMs(policy({ delaysMs: [7, 8] }), DEFAULTS, 3)).toBe(8);
  });

  it('hops by the longest step that is not too long', () => {
    expect(longestStepWithin([10, 20, 30], 25)).toBe(20);
    expect(longestStepWithin([10, 20, 30], 9)).toBeNull();
  });
});
