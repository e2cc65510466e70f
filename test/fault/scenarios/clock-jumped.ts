import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileOf } from '../../../scripts/debian-packages.mjs';
import { pause } from '../../support/pause.js';
import { closeAndCompare } from '../closing.js';
import { startLoad } from '../generator.js';
import type { Scenario, Stage } from '../scenario.js';
import { register } from '../setting.js';

const DELAY_MS = 2_000;
const SWEEP = { EVENT_CENTER_JOURNAL_SWEEP_INTERVAL_MS: '1000', EVENT_CENTER_JOURNAL_SWEEP_GRACE_MS: '20000' };

/** The wall clock of the only worker jumps an hour ahead, then an hour behind the true time, and comes back. */
async function clockJumped({ setting, report }: Stage): Promise<void> {
  const library = fileOf('faketime');
  if (library === undefined) throw new Error('expected libfaketime: apt-get install faketime');
  const clock = join(setting.folder, 'clock');
  const jump = (offset: string): void => {
    writeFileSync(clock, `${offset}\n`);
    setting.mark(`the worker's clock: ${offset}`);
  };
  jump('+0');
  const api = await setting.startCentre('api', SWEEP);
  await setting.startCentre('worker', {
    ...SWEEP,
    LD_PRELOAD: library,
    FAKETIME_TIMESTAMP_FILE: clock,
    FAKETIME_CACHE_DURATION: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  });
  const client = setting.client(api);
  const registered = await register(setting, client, {
    nodes: 2,
    listenersPerNode: 2,
    listener: { retry: { strategy: 'loop', delaysMs: [DELAY_MS] } },
  });
  setting.receivers.answering = (call) => call.operIndex === 1 || call.number % 5 > 0 || call.attempt > 1;
  setting.receivers.delayMs = 500;
  const load = startLoad({ ...setting.target(registered), connections: 16, ratePerSecond: 15, client: () => client });
  for (const offset of ['+0', '+3600', '-3600', '+0']) {
    jump(offset);
    await pause(8_000);
  }
  const sends = await load.stop();
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 60_000 });
  report.require('every event accepted', ledger.accepted === sends.length, `${ledger.accepted} of ${sends.length}`);
  report.requireNoRepeats(ledger);
  const early = earlyRetries(setting.calls());
  report.require('no retry came early', early === 0, `${early} of ${sends.length}`);
}

function earlyRetries(calls: { number: number; listener: string; attempt: number; at: number }[]): number {
  const first = new Map(
    calls.filter((call) => call.attempt === 1).map((call) => [`${call.number} ${call.listener}`, call.at]),
  );
  return calls
    .filter((call) => call.attempt === 2)
    .filter((call) => {
      const at = first.get(`${call.number} ${call.listener}`);
      return at !== undefined && call.at - at < DELAY_MS;
    }).length;
}

export const scenarios: Scenario[] = [
  {
    name: 'clock-jumped',
    group: 'processes',
    promise:
      'The wall clock of the only worker jumps an hour ahead and two back under load: nothing is lost, repeated or early.',
    sharesServices: true,
    packages: ['faketime'],
    run: clockJumped,
  },
];
