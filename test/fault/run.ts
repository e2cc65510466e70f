/**
 * `npm run test:faults -- [scenario …] [--plant-loss] [--transport http|amqp]`: each scenario on RabbitMQ and MariaDB of
 * its own, closed from the sender's and the receivers' records, then compared with the API. Exit code 0 when all held.
 */
import { parseArgs } from 'node:util';
import { RunReport } from './run-report.js';
import { brokerStopped } from './scenarios/broker-stopped.js';
import { databaseStopped } from './scenarios/database-stopped.js';
import { ordered } from './scenarios/ordered.js';
import { pluginHostKilled } from './scenarios/plugin-host-killed.js';
import { registryChanged } from './scenarios/registry-changed.js';
import { relayKilled } from './scenarios/relay-killed.js';
import { workerKilled } from './scenarios/worker-killed.js';
import { Setting } from './setting.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { 'plant-loss': { type: 'boolean', default: false }, transport: { type: 'string', default: 'http' } },
});

const SCENARIOS: Record<string, (setting: Setting, report: RunReport) => Promise<void>> = {
  ordered,
  'worker-killed': (setting, report) => workerKilled(setting, report, values['plant-loss'] ? 'loss' : null),
  'broker-stopped': brokerStopped,
  'database-stopped': databaseStopped,
  'registry-changed': registryChanged,
  'relay-killed': relayKilled,
  'plugin-host-killed': (setting, report) => pluginHostKilled(setting, report, { transport: transportNamed() }),
};

function transportNamed(): 'http' | 'amqp' {
  const { transport } = values;
  if (transport !== 'http' && transport !== 'amqp') throw new Error('--transport: expected http or amqp');
  return transport;
}

async function runScenario(name: string): Promise<boolean> {
  const scenario = SCENARIOS[name];
  if (scenario === undefined) throw new Error(`no scenario ${name}; there are ${Object.keys(SCENARIOS).join(', ')}`);
  const report = new RunReport(name);
  const setting = await Setting.open();
  try {
    await scenario(setting, report);
  } catch (error) {
    report.require(
      'the scenario runs to its end',
      false,
      error instanceof Error ? (error.stack ?? error.message) : error,
    );
  } finally {
    await setting.close();
  }
  if (!report.passed) report.say(`the centre's log: ${setting.logFile}`);
  return report.passed;
}

let passed = 0;
const names = positionals.length > 0 ? positionals : Object.keys(SCENARIOS);
for (const name of names) passed += (await runScenario(name)) ? 1 : 0;
console.log(`\n${passed} passed, ${names.length - passed} failed`);
process.exitCode = passed === names.length ? 0 : 1;
