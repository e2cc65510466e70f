/** What `npm run bench` takes; see bench/README.md. */
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    events: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    profile: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    kinds: { type: 'string', default: 'bare,floor,centre,quiet,embedded' },
    nodes: { type: 'string', default: '1000' },
    backlog: { type: 'string', default: '100000' },
    rows: { type: 'string', default: '5000000' },
    repeats: { type: 'string', default: '20' },
    minutes: { type: 'string', default: '10' },
    rate: { type: 'string', default: '500' },
    'no-page': { type: 'boolean', default: false },
  },
});

export interface BenchOptions {
  /** Events per measurement. */
  events: number;
  /** Measurements of each kind, in turn; medians count. */
  rounds: number;
  /** Of `pipeline` and `growth`: only parts whose name contains it. */
  only: string;
  /** A folder in which the centre leaves a CPU profile. */
  profile: string | undefined;
  /** Environment variables for the centre. */
  settings: Record<string, string>;
  kinds: string[];
  nodes: number;
  backlog: number;
  /** Stored events. */
  rows: number;
  /** Calls of each list. */
  repeats: number;
  minutes: number;
  /** Events per second of `memory`. */
  rate: number;
  /** Whether docs/performance.md is written. */
  writesPage: boolean;
}

/** The scenarios that were asked for. */
export const NAMES = positionals;

/** What was given beside the names, as it was typed. */
export const GIVEN = process.argv.slice(2).filter((argument) => !positionals.includes(argument));

export const OPTIONS: BenchOptions = {
  events: Number(values.events),
  rounds: Number(values.rounds),
  only: values.only,
  profile: values.profile,
  settings: Object.fromEntries(values.set.map((setting) => setting.split(/=(.*)/s, 2) as [string, string])),
  kinds: values.kinds.split(','),
  nodes: Number(values.nodes),
  backlog: Number(values.backlog),
  rows: Number(values.rows),
  repeats: Number(values.repeats),
  minutes: Number(values.minutes),
  rate: Number(values.rate),
  writesPage: !values['no-page'],
};
