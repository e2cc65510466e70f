import type { ScenarioResult } from './results.js';
import { RunReport } from './run-report.js';
import type { Plant, Scenario } from './scenario.js';
import type { ServiceSource } from './services.js';
import { Setting } from './setting.js';

export interface RunOptions {
  services: ServiceSource;
  short: boolean;
  plant: Plant | null;
  /** Keeps the folder of a scenario that held. */
  keep: boolean;
  /** Ends the scenario early, as one that did not hold. */
  ending: AbortSignal;
}

const TIME_LIMIT_MS = 600_000;

/** Runs a scenario to its end or its time limit, and ends everything that it started. Never rejects; without its services it has not begun. */
export async function runScenario(
  scenario: Scenario,
  options: RunOptions,
): Promise<ScenarioResult & { began: boolean; interrupted: boolean }> {
  const { name, group, promise } = scenario;
  const report = new RunReport(name);
  const startedAt = Date.now();
  let began = false;
  const begin = (): void => {
    began = true;
  };
  await openAndRun(scenario, report, { ...options, begin }).catch((error: unknown) => {
    report.require('the scenario runs to its end', false, described(error));
  });
  return {
    began,
    interrupted: options.ending.aborted,
    name,
    group,
    promise,
    passed: report.passed,
    failures: report.failures,
    figures: report.figures,
    ranAt: new Date(startedAt).toISOString(),
    durationMs: Date.now() - startedAt,
  };
}

async function openAndRun(
  scenario: Scenario,
  report: RunReport,
  options: RunOptions & { begin: () => void },
): Promise<void> {
  const { services, short, plant, keep, ending } = options;
  const opened = await services.open(scenario.services ?? {});
  const setting = await Setting.open(scenario.name, opened);
  options.begin();
  const limit = endedEarly(scenario.timeLimitMs ?? TIME_LIMIT_MS, ending);
  try {
    await Promise.race([scenario.run({ setting, report, short, plant }), limit.promise]);
  } catch (error) {
    report.require('the scenario runs to its end', false, described(error));
  } finally {
    limit.clear();
    await setting.close();
  }
  if (report.passed && !keep) setting.removeFolder();
  else report.say(`the centre's log and the records: ${setting.folder}`);
}

/** Rejects at the time limit or when everything is to end. */
function endedEarly(limitMs: number, ending: AbortSignal): { promise: Promise<never>; clear: () => void } {
  let clear = (): void => {};
  const promise = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(new Error(`it took longer than ${limitMs} ms`)), limitMs);
    const interrupted = (): void => reject(new Error('interrupted'));
    ending.addEventListener('abort', interrupted, { once: true });
    clear = () => {
      clearTimeout(timer);
      ending.removeEventListener('abort', interrupted);
    };
  });
  return { promise, clear };
}

function described(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `\n   because: ${error.cause.message}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
