import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import type { Scenario, Stage } from '../scenario.js';
import { answersOf, faultUnderLoad, longestAnswerMs, sendsWithin, type Scene } from '../under-load.js';

const ALARM_MS = 25_000;
const NOTICED_MS = 15_000;
/**
 * A worker that has its hands full of records that it cannot publish keeps them in the database after 10 s, and takes the
 * rest of what was accepted just before the alarm; and what the machine is slow by.
 */
const DRAINED_MS = 18_000;
const LONGEST_ANSWER_MS = 10_000;

/** An alarm of RabbitMQ, raised and cleared as rabbitmqctl does it. */
interface Alarm {
  raise: string;
  clear: string;
}

const MEMORY: Alarm = {
  raise: 'vm_memory_monitor:set_vm_memory_high_watermark(0.00001).',
  clear: 'vm_memory_monitor:set_vm_memory_high_watermark(0.4).',
};
const DISK: Alarm = {
  raise: 'rabbit_disk_monitor:set_disk_free_limit(1000000000000000).',
  clear: 'rabbit_disk_monitor:set_disk_free_limit(50000000).',
};

/** RabbitMQ takes nothing from publishers; everything else goes on. */
async function alarmed(stage: Stage, alarm: Alarm): Promise<void> {
  const { setting, report } = stage;
  let blockedFrom = 0;
  const run = await faultUnderLoad(stage, {
    losses: 0,
    fault: async (scene) => {
      const readyBefore = await readyOf(scene);
      await setting.broker.evaluate(alarm.raise);
      blockedFrom = await untilBlocked(stage, scene);
      await pause(DRAINED_MS);
      await requireDrained(stage);
      await pause(ALARM_MS - DRAINED_MS);
      await setting.broker.evaluate(alarm.clear);
      await until('the alarm is over', async () => (await readyOf(scene)).text === readyBefore.text, NOTICED_MS);
    },
  });
  const during = sendsWithin({ ...run, from: blockedFrom }, 3_000).filter(
    (send) => send.sentAt < blockedFrom + ALARM_MS,
  );
  report.require(
    'senders saw 503 while publishers were blocked',
    during.length > 0 && during.every((send) => send.httpStatus === 503),
    answersOf(during),
  );
  report.figure('longestAnswerMs', longestAnswerMs(run.sends));
  report.require('each send is answered in time', longestAnswerMs(run.sends) < LONGEST_ANSWER_MS, answersOf(run.sends));
}

/** Waits until /readyz and the metrics tell of the alarm; returns when. */
async function untilBlocked({ report }: Stage, scene: Scene): Promise<number> {
  const raisedAt = Date.now();
  const ready = await until(
    '/readyz tells of the alarm',
    async () => {
      const answer = await readyOf(scene);
      return answer.text.includes('broker-blocked') ? answer : null;
    },
    NOTICED_MS,
  );
  const at = Date.now();
  report.figure('noticedMs', at - raisedAt);
  report.require('/readyz answers 503 and names the alarm', ready.status === 503, `${ready.status} ${ready.text}`);
  const metrics = await (await fetch(`${scene.centre.url}/metrics`)).text();
  const gauge = /^event_center_broker_blocked\S* (\d)/m.exec(metrics)?.[1];
  report.require('the metrics say that the broker is blocked', gauge === '1', `broker_blocked ${String(gauge)}`);
  return at;
}

/** What was accepted is called and acknowledged during the alarm. */
async function requireDrained({ setting, report }: Stage): Promise<void> {
  const called = new Set(setting.receivers.calls.filter((call) => call.success).map((call) => call.number));
  const accepted = setting.sends().filter((send) => send.accepted);
  const waiting = accepted.filter((send) => !called.has(send.number)).length;
  report.require(
    'what was accepted is delivered during the alarm',
    waiting === 0,
    `${waiting} of ${accepted.length} wait`,
  );
}

async function readyOf({ centre }: Scene): Promise<{ status: number; text: string }> {
  const answer = await fetch(`${centre.url}/readyz`);
  return { status: answer.status, text: await answer.text() };
}

const PROMISE =
  'publishers are blocked, senders are answered 503, /readyz and metrics say why, what was accepted is delivered, and all goes on by itself after it.';

export const scenarios: Scenario[] = [
  {
    name: 'broker-memory-alarm',
    group: 'broker',
    promise: `Memory alarm: ${PROMISE}`,
    run: (stage) => alarmed(stage, MEMORY),
  },
  {
    name: 'broker-disk-alarm',
    group: 'broker',
    promise: `Disk alarm: ${PROMISE}`,
    run: (stage) => alarmed(stage, DISK),
  },
];
