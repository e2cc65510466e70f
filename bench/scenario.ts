/** What a scenario of the bench is, and what it hands to the report. */
import type { BenchOptions } from './options.js';
import type { Plot } from './plot.js';

export interface Scenario {
  name: string;
  title: string;
  /** About how long it takes with the defaults, on two cores. */
  minutes: number;
  run(options: BenchOptions): Promise<ScenarioResult>;
}

export interface Goal {
  what: string;
  goal: string;
  measured: string;
  isMet: boolean;
}

export interface Table {
  title: string;
  columns: string[];
  rows: (string | number)[][];
}

export interface ScenarioResult {
  goals: Goal[];
  tables: Table[];
  /** Sentences under the tables. */
  notes: string[];
  plots: Plot[];
  /** All that was measured, for the JSON. */
  raw: unknown;
}

/** `value` against a bound that it must not fall below. */
export function atLeast(what: string, value: number, bound: number): Goal {
  return { what, goal: `≥ ${bound}`, measured: String(value), isMet: value >= bound };
}

/** `value` against a bound that it must not pass; `unit` stands behind both. */
export function atMost(what: string, value: number, bound: { most: number; unit: string }): Goal {
  const { most, unit } = bound;
  return { what, goal: `≤ ${most} ${unit}`, measured: `${value} ${unit}`, isMet: value <= most };
}

/** `part / whole`, with two digits. */
export function ratio(part: number | null, whole: number | null): number {
  return part === null || whole === null ? Number.NaN : Math.round((part / whole) * 100) / 100;
}

/** With one digit. */
export function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
