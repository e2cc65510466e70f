/** `npm run bench -- NAME…`: runs scenarios, one after another; without a name it says which there are. See bench/README.md. */
import { DEFAULT_LOG_LEVEL } from './centres.js';
import { GIVEN, NAMES, OPTIONS } from './options.js';
import { report } from './report.js';
import { backlog } from './scenarios/backlog.js';
import { growth } from './scenarios/growth.js';
import { lists } from './scenarios/lists.js';
import { memory } from './scenarios/memory.js';
import { nodes } from './scenarios/nodes.js';
import { pipeline } from './scenarios/pipeline.js';
import { processes } from './scenarios/processes.js';

const SCENARIOS = [pipeline, backlog, nodes, lists, memory, growth, processes];

const unknown = NAMES.filter((name) => name !== 'all' && !SCENARIOS.some((scenario) => scenario.name === name));
if (NAMES.length === 0 || unknown.length > 0) {
  for (const name of unknown) console.error(`there is no scenario ${name}`);
  console.log('npm run bench -- NAME… [options], see bench/README.md; `all` runs them all. Scenarios:');
  for (const { name, title, minutes } of SCENARIOS) console.log(`  ${name.padEnd(10)} about ${minutes} min  ${title}`);
  process.exit(unknown.length > 0 ? 2 : 0);
}

for (const scenario of SCENARIOS.filter(({ name }) => NAMES.includes('all') || NAMES.includes(name))) {
  console.log(`\n== ${scenario.name}: ${scenario.title}`);
  const begunAt = performance.now();
  const result = await scenario.run(OPTIONS);
  const seconds = Math.round((performance.now() - begunAt) / 1000);
  const command = ['npm run bench --', scenario.name, ...GIVEN].join(' ');
  const logLevel = OPTIONS.settings['EVENT_CENTER_LOG_LEVEL'] ?? DEFAULT_LOG_LEVEL;
  await report(scenario, result, { command, options: OPTIONS, seconds, logLevel, writesPage: OPTIONS.writesPage });
}
