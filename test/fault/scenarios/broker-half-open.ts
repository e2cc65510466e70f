import { until } from '../../support/until.js';
import type { Scenario, Stage } from '../scenario.js';
import { answersOf, faultUnderLoad, longestAnswerMs } from '../under-load.js';

/** Heartbeats of 5 s: two that are missed are noticed at the third; and what the machine is slow by. */
const NOTICED_MS = 20_000;
const LONGEST_ANSWER_MS = 10_000;

/** Every connection to RabbitMQ swallows what is sent over it, in both directions, and never ends. */
async function halfOpen(stage: Stage): Promise<void> {
  const { setting, report } = stage;
  let noticedMs = -1;
  const run = await faultUnderLoad(stage, {
    fault: async () => {
      const since = Date.now();
      const before = setting.brokerProxy.connections();
      setting.brokerProxy.halfOpen();
      // One connection publishes and one consumes; each has to notice by itself.
      await until('both connections are made anew', () => setting.brokerProxy.connections() >= before + 2, 60_000);
      noticedMs = Date.now() - since;
    },
    timeoutMs: 180_000,
  });
  report.figure('noticedMs', noticedMs);
  report.require('publisher and consumer notice by the heartbeats', noticedMs < NOTICED_MS, `${noticedMs} ms`);
  report.figure('longestAnswerMs', longestAnswerMs(run.sends));
  report.require('each send is answered in time', longestAnswerMs(run.sends) < LONGEST_ANSWER_MS, answersOf(run.sends));
}

export const scenarios: Scenario[] = [
  {
    name: 'broker-half-open',
    group: 'broker',
    promise:
      'Connections to RabbitMQ that swallow everything without a FIN are noticed within 20 s (heartbeat 5 s) and made anew; nothing is lost.',
    services: { proxies: ['broker'] },
    run: halfOpen,
  },
];
