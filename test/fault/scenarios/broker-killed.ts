import { pause } from '../../support/pause.js';
import type { Scenario, Stage } from '../scenario.js';
import { answersOf, faultUnderLoad, longestAnswerMs, sendsWithin } from '../under-load.js';

const AWAY_MS = 5_000;
const CLOSINGS = 4;
/** What `rabbitmqctl close_all_connections` does. */
const CLOSE_ALL = 'rabbit_networking:close_connections(rabbit_networking:connections(), "maintenance").';
const BETWEEN_CLOSINGS_MS = 3_000;
/** The confirm time-out, and what the machine is slow by. */
const LONGEST_ANSWER_MS = 10_000;

/** kill -9 of RabbitMQ under load, and a new start on its data. */
async function brokerKilled(stage: Stage): Promise<void> {
  const { setting, report } = stage;
  const run = await faultUnderLoad(stage, {
    fault: async () => {
      await setting.broker.kill();
      await pause(AWAY_MS);
      await setting.broker.start();
    },
  });
  const during = sendsWithin(run, 1_000);
  report.require(
    'senders saw 503 while the broker was away',
    during.length > 0 && during.every((send) => send.httpStatus === 503),
    answersOf(during),
  );
}

/** Every connection closed by RabbitMQ, several times. */
async function connectionsClosed(stage: Stage): Promise<void> {
  const { setting, report } = stage;
  const run = await faultUnderLoad(stage, {
    losses: CLOSINGS,
    fault: async () => {
      for (let round = 0; round < CLOSINGS; round += 1) {
        await setting.broker.evaluate(CLOSE_ALL);
        await pause(BETWEEN_CLOSINGS_MS);
      }
    },
  });
  report.figure('closings', CLOSINGS);
  report.figure('longestAnswerMs', longestAnswerMs(run.sends));
  report.require('each send is answered in time', longestAnswerMs(run.sends) < LONGEST_ANSWER_MS, answersOf(run.sends));
  const accepted = sendsWithin(run, 0).filter((send) => send.accepted).length;
  report.require('events are accepted between the closings', accepted > 0, accepted);
}

export const scenarios: Scenario[] = [
  {
    name: 'broker-killed',
    group: 'broker',
    promise:
      'After kill -9 of RabbitMQ under load what was accepted is delivered once it runs again; senders are answered 503 meanwhile.',
    run: brokerKilled,
  },
  {
    name: 'broker-connections-closed',
    group: 'broker',
    promise: 'RabbitMQ closes every connection, four times under load: nothing is lost, and each send is answered.',
    run: connectionsClosed,
  },
];
