/** Writes what a long run found into docs/security.md, between two markers: a table for each group of promises. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/prepare.mjs';

const PAGE = join(ROOT, 'docs', 'security.md');
const BEGIN = '<!-- results: written by npm run test:security -->';
const END = '<!-- end of results -->';

const RESULTS = { passed: 'holds', failed: '**broken**', pending: 'not run', skipped: 'not run', todo: 'not run' };

/**
 * Replaces what stands between the markers of the page by the results of a run.
 * @param result what jest's `--json` says. @param fuzzed what each fuzz test ran. @param services a line for each.
 */
export function writeResults({ result, fuzzed, services }) {
  const page = readFileSync(PAGE, 'utf8');
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from === -1 || to < from) throw new Error(`docs/security.md: expected ${BEGIN} and ${END}`);
  const part = resultsPart({ result, fuzzed, services });
  writeFileSync(PAGE, `${page.slice(0, from + BEGIN.length)}\n\n${part}\n${page.slice(to)}`);
}

/** The part as Markdown. */
export function resultsPart({ result, fuzzed, services }) {
  const cases = new Map(fuzzed.map((one) => [one.test, one.cases]));
  const tests = result.testResults.flatMap((file) => file.assertionResults);
  const groups = groupsOf(tests);
  const broken = result.testResults.filter((file) => file.assertionResults.length === 0);
  const head = [
    `${result.numPassedTests} passed, ${result.numFailedTests + result.numRuntimeErrorTestSuites} failed,`,
    `on Node.js ${process.versions.node}, ${services.map((line) => line.replace(/ at .*/, '')).join(' and ')}.`,
  ];
  const names = [...groups.keys()].sort();
  const tables = names.map((name) => table(name, groups.get(name), cases));
  const failures = broken.map((file) => `**${file.name.slice(ROOT.length + 1)} could not be run.**\n`);
  return [`${head.join(' ')}\n`, ...failures, ...tables].join('\n');
}

function table(name, tests, cases) {
  const rows = tests.map((test) => {
    const count = cases.get(test.fullName);
    return `| ${cell(test.title)} | ${RESULTS[test.status] ?? test.status} | ${count === undefined ? '' : count.toLocaleString('en')} |`;
  });
  return [`### ${capitalized(name)}`, '', '| promise | result | cases |', '| --- | --- | --- |', ...rows, ''].join(
    '\n',
  );
}

function groupOf(test) {
  return test.ancestorTitles.join(': ');
}

function groupsOf(tests) {
  const groups = new Map();
  for (const test of tests) groups.set(groupOf(test), [...(groups.get(groupOf(test)) ?? []), test]);
  return groups;
}

function cell(text) {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');
}

function capitalized(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
