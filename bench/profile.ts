/**
 * `tsx bench/profile.ts FOLDER [FILE.svg TITLE]`: where the processor time of a run with `--profile FOLDER` went, as Markdown:
 * self time by package or folder of src/, and by function; and as a flame graph in FILE.svg. Waiting is left out.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { callTreeOf, moduleOf, type Call, type CallFrame, type CpuProfile } from './cpu-profile.js';
import { drawFlameGraph } from './flame.js';

const MOST_ROWS = 25;
const MICROSECONDS_PER_MS = 1_000;

function functionOf(frame: CallFrame): string {
  const file = frame.url.split('/').slice(-2).join('/');
  return `${frame.functionName === '' ? '(anonymous)' : frame.functionName} ${file}:${frame.lineNumber + 1}`;
}

/** Self times in milliseconds by what `nameOf` says of a frame, the longest first. */
function selfTimes(tree: Call, nameOf: (frame: CallFrame) => string): [string, number][] {
  const times = new Map<string, number>();
  const add = ({ frame, self, callees }: Call): void => {
    times.set(nameOf(frame), (times.get(nameOf(frame)) ?? 0) + self / MICROSECONDS_PER_MS);
    callees.forEach(add);
  };
  add(tree);
  return [...times].sort(([, a], [, b]) => b - a);
}

function print(title: string, times: [string, number][]): void {
  const whole = times.reduce((sum, [, ms]) => sum + ms, 0);
  console.log(`\n| ${title} | self ms | share |\n| --- | --- | --- |`);
  for (const [name, ms] of times.slice(0, MOST_ROWS)) {
    console.log(`| ${name} | ${Math.round(ms)} | ${Math.round((ms / whole) * 1_000) / 10} % |`);
  }
}

const [folder, drawing, title = ''] = process.argv.slice(2);
if (folder === undefined) throw new Error('expected the folder of a run with --profile');
const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
if (drawing !== undefined && files.length !== 1)
  throw new Error(
    `expected one profile to draw, found ${files.length} in ${folder}; run with --rounds 1 --kinds centre`,
  );
for (const file of files) {
  const tree = callTreeOf(JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile);
  console.log(`\n${file}`);
  print('module', selfTimes(tree, moduleOf));
  print('function', selfTimes(tree, functionOf));
  if (drawing !== undefined) await drawFlameGraph(tree, title, drawing);
}
