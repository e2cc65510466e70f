import { appendFileSync } from 'node:fs';
import fc from 'fast-check';

/** Whether this is the long run of `npm run test:security`. */
const isLongRun = process.env['EVENT_CENTER_TEST_LONG'] === '1';

/** A test of the security suite that takes longer than a few seconds: run in the long run only. */
export const slowIt = isLongRun ? it : it.skip;

/** What one input may take. Slower ones are tried again, because the machine may have been busy with something else. */
const SLOWEST_MS = 1_000;
const TIMES_TRIED = 3;
/** Long enough for the 100,000 cases of a slow property on a small machine. */
const LONGEST_TEST_MS = 30 * 60_000;

export interface FuzzCases {
  /** In the long run. Default 100,000. */
  long?: number;
  /** Otherwise. Default 1,000. */
  short?: number;
  /** Inputs that are tried first. */
  examples?: [unknown][];
}

/**
 * A test that tries a property on many inputs: it holds for each of them, each takes less than a second, and no promise is
 * rejected unseen meanwhile. What ran is written for the report of the suite, with the seed that repeats it
 * (`EVENT_CENTER_TEST_SEED`).
 */
export function fuzzIt<T>(
  name: string,
  input: fc.Arbitrary<T>,
  property: (input: T) => Promise<void> | void,
  { long = 100_000, short = 1_000, examples = [] }: FuzzCases = {},
): void {
  it(
    name,
    async () => {
      const unseen: unknown[] = [];
      const onUnhandled = (reason: unknown): void => void unseen.push(reason);
      process.on('unhandledRejection', onUnhandled);
      const seed = seedOf();
      const watch = new Watch();
      try {
        await fc.assert(
          fc.asyncProperty(input, (value) => watch.time(() => property(value))),
          { seed, numRuns: isLongRun ? long : short, examples: examples as [T][] },
        );
        await new Promise(setImmediate);
      } finally {
        process.off('unhandledRejection', onUnhandled);
      }
      expect(unseen).toEqual([]);
      report({ cases: watch.cases, seed, slowestMs: Math.ceil(watch.slowestMs) });
    },
    LONGEST_TEST_MS,
  );
}

/** Counts cases and keeps what the slowest took. */
class Watch {
  cases = 0;
  slowestMs = 0;

  async time(run: () => Promise<void> | void): Promise<void> {
    let tookMs = Number.POSITIVE_INFINITY;
    for (let tried = 0; tried < TIMES_TRIED && tookMs > SLOWEST_MS; tried += 1) {
      const began = performance.now();
      await run();
      tookMs = performance.now() - began;
    }
    this.cases += 1;
    this.slowestMs = Math.max(this.slowestMs, tookMs);
    if (tookMs > SLOWEST_MS) throw new Error(`expected an input to take at most ${SLOWEST_MS} ms, it took ${tookMs}`);
  }
}

function seedOf(): number {
  const given = process.env['EVENT_CENTER_TEST_SEED'];
  return given === undefined || given === '' ? Math.floor(Math.random() * 0x7fffffff) : Number(given);
}

function report(ran: { cases: number; seed: number; slowestMs: number }): void {
  const file = process.env['EVENT_CENTER_TEST_FUZZ_FILE'];
  if (file === undefined) return;
  appendFileSync(file, `${JSON.stringify({ test: expect.getState().currentTestName, ...ran })}\n`);
}
