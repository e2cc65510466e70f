/**
 * `tsx bench/profile.ts FOLDER`: where the processor time of a run with `--profile FOLDER` went, as Markdown: self time
 * by package or folder of src/, and by function. Waiting is left out.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface CallFrame {
  functionName: string;
  url: string;
  lineNumber: number;
}

/** What V8 writes: a sample names the node that ran, and its delta is the time since the sample before. */
interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame }[];
  samples: number[];
  timeDeltas: number[];
}

const MOST_ROWS = 25;
const MICROSECONDS_PER_MS = 1_000;

function moduleOf({ functionName, url }: CallFrame): string {
  const ofPackage = [...url.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)].at(-1)?.[1];
  if (ofPackage !== undefined) return ofPackage;
  const ofSource = /dist\/(src\/[^/]+(?:\/[^/]+)?)\//.exec(url)?.[1];
  if (ofSource !== undefined) return ofSource;
  if (url.startsWith('node:')) return url.split('/')[0] ?? url;
  return url === '' ? functionName : url;
}

function functionOf(frame: CallFrame): string {
  const file = frame.url.split('/').slice(-2).join('/');
  return `${frame.functionName === '' ? '(anonymous)' : frame.functionName} ${file}:${frame.lineNumber + 1}`;
}

/** Self times in milliseconds by what `nameOf` says of a frame, the longest first. */
function selfTimes(profile: CpuProfile, nameOf: (frame: CallFrame) => string): [string, number][] {
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map<string, number>();
  profile.samples.forEach((id, index) => {
    const frame = frames.get(id);
    if (frame === undefined || frame.functionName === '(idle)') return;
    const name = nameOf(frame);
    times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[index] ?? 0) / MICROSECONDS_PER_MS);
  });
  return [...times].sort(([, a], [, b]) => b - a);
}

function print(title: string, times: [string, number][]): void {
  const whole = times.reduce((sum, [, ms]) => sum + ms, 0);
  console.log(`\n| ${title} | self ms | share |\n| --- | --- | --- |`);
  for (const [name, ms] of times.slice(0, MOST_ROWS)) {
    console.log(`| ${name} | ${Math.round(ms)} | ${Math.round((ms / whole) * 1_000) / 10} % |`);
  }
}

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('expected the folder of a run with --profile');
for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
  const profile = JSON.parse(readFileSync(join(folder, file), 'utf8')) as CpuProfile;
  console.log(`\n${file}`);
  print('module', selfTimes(profile, moduleOf));
  print('function', selfTimes(profile, functionOf));
}
