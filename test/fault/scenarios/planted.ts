import { RunReport } from '../run-report.js';
import type { Plant, Scenario, Stage } from '../scenario.js';
import { workerLate } from './worker-late.js';

/** A run that is spoilt on purpose must fail, and for the right reason only. */
async function mustFail(stage: Stage, plant: Plant, reason: string): Promise<void> {
  const spoilt = new RunReport(`${stage.report.name}: the spoilt run`);
  await workerLate({ ...stage, report: spoilt, plant });
  Object.assign(stage.report.figures, spoilt.figures);
  stage.report.require(`the spoilt run fails at "${reason}"`, spoilt.failures.includes(reason), spoilt.failures);
}

export const scenarios: Scenario[] = [
  {
    name: 'planted-loss',
    group: 'suite',
    promise: 'A message that is taken away behind the centre’s back makes the run fail with the lost deliveries.',
    short: true,
    sharesServices: true,
    run: (stage) => mustFail(stage, 'loss', 'lost = 0'),
  },
  {
    name: 'planted-repeat',
    group: 'suite',
    promise: 'A message that is made twice behind the centre’s back makes the run fail with the repeated calls.',
    short: true,
    sharesServices: true,
    run: (stage) => mustFail(stage, 'repeat', 'repeats = 0'),
  },
];
