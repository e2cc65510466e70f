import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { renderResults } from './results-table.js';
import type { Figures } from './run-report.js';
import type { ScenarioGroup } from './scenario.js';

const DOCS = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'docs');
/** One file per scenario, so that a run of some keeps the results of the others. */
const RESULTS = join(DOCS, 'reliability');
const PAGE = join(DOCS, 'reliability.md');
const BEGIN = '<!-- results: written by npm run test:faults -->';
const END = '<!-- end of results -->';

/** What came of a scenario when it last ran in full. */
export interface ScenarioResult {
  name: string;
  group: ScenarioGroup;
  promise: string;
  passed: boolean;
  /** What did not hold. */
  failures: string[];
  figures: Figures;
  /** ISO 8601. */
  ranAt: string;
  durationMs: number;
}

/** Keeps a result and writes the tables of `docs/reliability.md` anew, rows of other scenarios as they were. */
export function keepResult({
  name,
  group,
  promise,
  passed,
  failures,
  figures,
  ranAt,
  durationMs,
}: ScenarioResult): void {
  const result = { name, group, promise, passed, failures, figures, ranAt, durationMs };
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, `${result.name}.json`), `${JSON.stringify(result, null, 2)}\n`);
  writeTables();
}

/** Writes the tables from the results that are kept. */
export function writeTables(): void {
  const files = existsSync(RESULTS) ? readdirSync(RESULTS).filter((file) => file.endsWith('.json')) : [];
  const results = files.sort().map((file) => JSON.parse(readFileSync(join(RESULTS, file), 'utf8')) as ScenarioResult);
  writeFileSync(PAGE, betweenMarkers(readFileSync(PAGE, 'utf8'), renderResults(results)));
}

function betweenMarkers(page: string, text: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`${PAGE}: expected the lines ${BEGIN} and ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${text}\n${page.slice(end)}`;
}
