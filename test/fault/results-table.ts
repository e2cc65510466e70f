import type { ScenarioResult } from './results.js';
import type { ScenarioGroup } from './scenario.js';

const GROUPS: Record<ScenarioGroup, string> = {
  processes: 'Processes of the centre',
  broker: 'RabbitMQ',
  database: 'MariaDB',
  listeners: 'Listeners',
  suite: 'The suite itself',
};

/** Figures with a column of their own; the others share the last one, by name. */
const COLUMNS: [figure: string, title: string][] = [
  ['accepted', 'accepted'],
  ['owed', 'owed'],
  ['delivered', 'delivered'],
  ['pending', 'pending'],
  ['failed', 'failed'],
  ['lost', 'lost'],
  ['repeats', 'repeats'],
  ['inFlight', 'in flight'],
  ['outOfOrder', 'out of order'],
  ['recoveryMs', 'recovery ms'],
];

/** The results as Markdown: per group what is promised, and a table with a row per scenario. */
export function renderResults(results: ScenarioResult[]): string {
  return (Object.keys(GROUPS) as ScenarioGroup[])
    .map((group) => ({ group, rows: results.filter((result) => result.group === group) }))
    .filter(({ rows }) => rows.length > 0)
    .map(({ group, rows }) => `### ${GROUPS[group]}\n\n${promises(rows)}\n\n${table(rows)}\n`)
    .join('\n');
}

function promises(rows: ScenarioResult[]): string {
  return rows.map(({ name, promise }) => `- **${name}**: ${promise}`).join('\n');
}

function table(rows: ScenarioResult[]): string {
  const titles = ['scenario', 'held', ...COLUMNS.map(([, title]) => title), 'further figures', 'ran'];
  const lines = [titles, titles.map(() => '---'), ...rows.map(cells)];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function cells(result: ScenarioResult): string[] {
  const named = new Set(COLUMNS.map(([figure]) => figure));
  const further = Object.entries(result.figures).filter(([figure]) => !named.has(figure));
  return [
    result.name,
    result.passed ? 'yes' : `**no**: ${result.failures.join('; ').replaceAll('|', '/').replaceAll('\n', ' ')}`,
    ...COLUMNS.map(([figure]) => String(result.figures[figure] ?? '')),
    further.map(([figure, value]) => `${figure} ${value}`).join(', '),
    `${result.ranAt.slice(0, 10)}, ${Math.round(result.durationMs / 1000)} s`,
  ];
}
