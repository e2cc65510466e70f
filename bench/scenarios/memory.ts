/** Minutes of load: whether the memory stays where it is. */
import { atPlace, withCentre } from '../centres.js';
import { residentMbOf } from '../children.js';
import { nowMs } from '../clock.js';
import { burst, median, withChildren } from '../measure.js';
import type { BenchOptions } from '../options.js';
import { registerBench } from '../registration.js';
import { atMost, tenths, type Scenario, type ScenarioResult } from '../scenario.js';
import type { CentreProcess } from '../../test/support/centre-process.js';

const SAMPLE_MS = 2_000;
/** The last third may stand this much above the first. */
const GROWTH_PERCENT = 5;
/** Before that, code is compiled and buffers find their size. */
const WARM_UP_SECONDS = 30;

interface Sample {
  seconds: number;
  mb: number;
}

export const memory: Scenario = {
  name: 'memory',
  title: 'memory over ten minutes of load',
  minutes: 11,
  run: (options) =>
    withChildren((children) =>
      atPlace(['BENCH-0'], (place) =>
        withCentre(place, { settings: options.settings, nodeArguments: ['--trace-gc'] }, async (centre) => {
          const sender = await registerBench(centre, [[`${children.receiverUrl}/n0/l0`]]);
          const target = { urls: [centre.url], ...sender, callbacksPerEvent: 1 };
          await burst(children, target, { events: options.rate * WARM_UP_SECONDS, rate: options.rate });
          const watched = watchMemory(centre);
          const events = options.rate * 60;
          for (let minute = 1; minute <= options.minutes; minute += 1) {
            await burst(children, target, { events, rate: options.rate });
            console.log(`minute ${minute}: ${JSON.stringify(watched.samples.at(-1))}`);
          }
          return resultOf({ resident: watched.stop(), heap: heapAfterCollections(centre.output()) }, options);
        }),
      ),
    ),
};

function watchMemory(centre: CentreProcess): { samples: Sample[]; stop(): Sample[] } {
  const startedAt = nowMs();
  const samples: Sample[] = [];
  const timer = setInterval(() => {
    const mb = residentMbOf(centre.pid);
    if (mb !== null) samples.push({ seconds: Math.round((nowMs() - startedAt) / 1000), mb: tenths(mb) });
  }, SAMPLE_MS);
  return {
    samples,
    stop: () => {
      clearInterval(timer);
      return samples;
    },
  };
}

/** What was alive after each full collection, by what V8 tells with --trace-gc. */
function heapAfterCollections(output: string): Sample[] {
  const told = output.matchAll(/ (\d+) ms: Mark-Compact.*? -> ([\d.]+) /g);
  return [...told].map(([, ms, mb]) => ({ seconds: Math.round(Number(ms) / 1000), mb: Number(mb) }));
}

function resultOf({ resident, heap }: { resident: Sample[]; heap: Sample[] }, options: BenchOptions): ScenarioResult {
  const steadyHeap = heap.filter(({ seconds }) => seconds > 2 * WARM_UP_SECONDS);
  const lines = [
    { name: 'resident memory', samples: resident },
    { name: 'heap after a full collection', samples: steadyHeap },
  ].filter(({ samples }) => samples.length >= 3);
  const bound = { most: GROWTH_PERCENT, unit: '%' };
  return {
    goals: lines.map(({ name, samples }) =>
      atMost(`${name}, median of the last third above the first`, growthOf(samples), bound),
    ),
    tables: [
      {
        title: `${options.minutes} minutes at ${options.rate} events/s, one listener, one process`,
        columns: ['', 'samples', 'first third MB', 'last third MB', 'most MB', 'slope MB/min'],
        rows: lines.map(({ name, samples }) => [
          name,
          samples.length,
          thirdOf(samples, 0),
          thirdOf(samples, 2),
          Math.max(...samples.map(({ mb }) => mb)),
          slopeOf(samples),
        ]),
      },
    ],
    notes: [],
    plots: [
      {
        file: 'memory.svg',
        title: `Memory at ${options.rate} events/s`,
        x: { title: 'seconds', isLogarithmic: false },
        y: { title: 'MB' },
        lines: lines.map(({ name, samples }) => ({
          name,
          points: samples.map(({ seconds, mb }) => ({ x: seconds, y: mb })),
        })),
      },
    ],
    raw: { resident, heap },
  };
}

function thirdOf(samples: Sample[], third: 0 | 2): number {
  const length = Math.ceil(samples.length / 3);
  const part = third === 0 ? samples.slice(0, length) : samples.slice(-length);
  return median(part.map(({ mb }) => mb));
}

function growthOf(samples: Sample[]): number {
  const [first, last] = [thirdOf(samples, 0), thirdOf(samples, 2)];
  return tenths(((last - first) / first) * 100);
}

/** Of the straight line that fits best, by least squares. */
function slopeOf(samples: Sample[]): number {
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(samples.map(({ seconds }) => seconds)), mean(samples.map(({ mb }) => mb))];
  const above = samples.reduce((sum, { seconds, mb }) => sum + (seconds - x) * (mb - y), 0);
  const below = samples.reduce((sum, { seconds }) => sum + (seconds - x) ** 2, 0);
  return Math.round((above / below) * 60 * 100) / 100;
}
