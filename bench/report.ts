/** What the bench leaves behind: a table on the terminal, JSON in bench/results, and its part of docs/performance.md. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { drawPlot } from './plot.js';
import type { Scenario, ScenarioResult, Table } from './scenario.js';
import { serverVersions } from './surroundings.js';

const RESULTS = join(import.meta.dirname, 'results');
const DOCS = join(import.meta.dirname, '..', 'docs');
const PAGE = join(DOCS, 'performance.md');
const GB = 1024 ** 3;

/** Reports a scenario that has ended; the page names the `command`, the JSON its `options`. */
export async function report(
  scenario: Scenario,
  result: ScenarioResult,
  told: { command: string; options: object; seconds: number; logLevel: string; writesPage: boolean },
): Promise<void> {
  const machine = await machineText();
  const at = new Date().toISOString();
  for (const { title, columns, rows } of result.tables) {
    console.log(`\n${title}`);
    console.table(rows.map((row) => Object.fromEntries(row.map((value, index) => [columns[index] ?? '', value]))));
  }
  for (const note of result.notes) console.log(note);
  for (const { what, goal, measured, isMet } of result.goals) {
    console.log(`${isMet ? 'met   ' : 'MISSED'} ${what}: ${measured} (goal ${goal})`);
  }
  mkdirSync(RESULTS, { recursive: true });
  const file = `${at.replaceAll(':', '-')}-${scenario.name}.json`;
  const { command, options, seconds } = told;
  const whole = { scenario: scenario.name, at, machine, seconds, options, ...result };
  writeFileSync(join(RESULTS, file), `${JSON.stringify(whole, null, 2)}\n`);
  console.log(`\nwritten as JSON: bench/results/${file}`);
  if (!told.writesPage) return;
  for (const plot of result.plots) await drawPlot(plot, join(DOCS, 'performance', plot.file));
  const measured = `Measured ${at.slice(0, 10)} by \`${command}\` in ${seconds} s on ${machine}, log level ${told.logLevel}.`;
  await writePart(scenario.name, markdownOf(result, measured));
  console.log('written: docs/performance.md');
}

function markdownOf(result: ScenarioResult, measured: string): string {
  const goals: Table = {
    title: '',
    columns: ['goal', 'bound', 'measured', ''],
    rows: result.goals.map(({ what, goal, measured: value, isMet }) => [
      what,
      goal,
      value,
      isMet ? 'met' : '**missed**',
    ]),
  };
  return [
    measured,
    ...(result.goals.length === 0 ? [] : [markdownTable(goals)]),
    ...result.tables.flatMap((table) => [`${table.title}:`, markdownTable(table)]),
    ...result.plots.map(({ title, file }) => `![${title}](performance/${file})`),
    ...result.notes,
  ].join('\n\n');
}

function markdownTable({ columns, rows }: Table): string {
  const line = (cells: (string | number)[]): string =>
    `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(columns), line(columns.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Replaces what stands between the page's markers of this scenario. @throws when the page has none. */
async function writePart(name: string, text: string): Promise<void> {
  const page = readFileSync(PAGE, 'utf8');
  const [begin, end] = [`<!-- bench ${name} -->`, `<!-- end ${name} -->`];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no ${begin} … ${end}`);
  const written = `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`;
  writeFileSync(PAGE, await format(written, { ...(await resolveConfig(PAGE)), filepath: PAGE }));
}

async function machineText(): Promise<string> {
  const { broker, database } = await serverVersions();
  const model = cpus()[0]?.model ?? 'unknown processor';
  return `${cpus().length} cores (${model}), ${Math.round(totalmem() / GB)} GB, Node ${process.version}, ${broker}, ${database}`;
}
