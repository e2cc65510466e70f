import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import type { OwnCluster, OwnNode } from '../own-services.js';
import type { Scenario, Stage } from '../scenario.js';
import { answersOf, faultUnderLoad, longestAnswerMs, type FaultRun } from '../under-load.js';

const AWAY_MS = 8_000;
const PARTITION_MS = 20_000;
const BETWEEN_RESTARTS_MS = 4_000;
const JOINED_MS = 90_000;
const LONGEST_ANSWER_MS = 15_000;
/** The centre connects to the first node, which declares its queues and so leads them. */
const CONNECTED = 0;
/** Each connection may move on several times before a node serves it, the worker may lose what it has each time. */
const MOVES = 3;

/** kill -9 of the node that leads the centre's queues and to which the centre is connected. */
async function leaderKilled(stage: Stage): Promise<void> {
  const { cluster } = stage.setting;
  const run = await faultUnderLoad(stage, {
    losses: MOVES,
    fault: async () => {
      const leader = await leaderOf(cluster, 'ec.journal');
      stage.report.require('the killed node leads the queues', leader === node(cluster, CONNECTED).name, leader);
      await node(cluster, CONNECTED).kill();
      await pause(AWAY_MS);
      await node(cluster, CONNECTED).start();
    },
    timeoutMs: 240_000,
  });
  requireServed(stage, run);
}

/** One node is cut off from the two others for 20 s. */
async function partitioned(stage: Stage, isolated: number): Promise<void> {
  const { cluster } = stage.setting;
  const run = await faultUnderLoad(stage, {
    losses: MOVES,
    fault: async () => {
      cluster.isolate(isolated, 'cut');
      await pause(PARTITION_MS);
      cluster.rejoin(isolated);
      await untilJoined(cluster);
    },
    timeoutMs: 240_000,
  });
  requireServed(stage, run);
}

/** The three nodes stopped and started again, one after another. */
async function rollingRestart(stage: Stage): Promise<void> {
  const { cluster } = stage.setting;
  const run = await faultUnderLoad(stage, {
    losses: MOVES * cluster.nodes.length,
    fault: async () => {
      for (const each of cluster.nodes) {
        await each.stop();
        await each.start();
        await untilJoined(cluster);
        await pause(BETWEEN_RESTARTS_MS);
      }
    },
    timeoutMs: 240_000,
  });
  requireServed(stage, run);
}

/** A cluster that has its majority is to take events again before the fault is over, and every send is answered. */
function requireServed({ report }: Stage, { sends, from, to }: FaultRun): void {
  const accepted = sends.filter((send) => send.accepted && send.sentAt > from).map((send) => send.answeredAt);
  const refused = sends.filter((send) => !send.accepted && send.sentAt > from);
  const lastRefusedAt = refused.reduce((latest, send) => Math.max(latest, send.answeredAt), from);
  const during = accepted.filter((at) => at < to).length;
  report.figure('acceptedDuringFault', during);
  report.figure('lastRefusedMs', lastRefusedAt - from);
  report.require('the two other nodes serve during the fault', during > 0, `${during} accepted of ${answersOf(sends)}`);
  report.figure('longestAnswerMs', longestAnswerMs(sends));
  report.require('each send is answered in time', longestAnswerMs(sends) < LONGEST_ANSWER_MS, longestAnswerMs(sends));
}

function node(cluster: OwnCluster, index: number): OwnNode {
  return cluster.nodes[index] as OwnNode;
}

async function leaderOf(cluster: OwnCluster, queue: string): Promise<string> {
  const lookup = `{ok, Q} = rabbit_amqqueue:lookup({resource, <<"/">>, queue, <<"${queue}">>}), amqqueue:get_pid(Q).`;
  const found = await node(cluster, CONNECTED).evaluate(lookup);
  // The process of the queue, by its name and its node.
  return /'([^']+@[^']+)'/.exec(found)?.[1] ?? found;
}

async function untilJoined(cluster: OwnCluster): Promise<void> {
  await until(
    'every node sees every other one',
    async () => {
      for (const each of cluster.nodes) {
        const running = await each.evaluate('length(rabbit_nodes:all_running()).');
        if (Number(running) !== cluster.nodes.length) return false;
      }
      return true;
    },
    JOINED_MS,
    1_000,
  );
}

const TIME_LIMIT_MS = 900_000;
const services = { broker: 'cluster' } as const;

export const scenarios: Scenario[] = [
  {
    name: 'cluster-leader-killed',
    group: 'broker',
    promise:
      'Cluster of three: after kill -9 of the node that leads the queues and serves the centre, the others take over by themselves.',
    services,
    timeLimitMs: TIME_LIMIT_MS,
    run: leaderKilled,
  },
  {
    name: 'cluster-minority-with-centre',
    group: 'broker',
    promise:
      'Cluster of three: the node that the centre is connected to is cut off from the others; the centre moves to the majority by itself.',
    services,
    timeLimitMs: TIME_LIMIT_MS,
    run: (stage) => partitioned(stage, CONNECTED),
  },
  {
    name: 'cluster-minority-without-centre',
    group: 'broker',
    promise:
      'Cluster of three: a node that the centre is not connected to is cut off and comes back; the centre goes on.',
    services,
    timeLimitMs: TIME_LIMIT_MS,
    run: (stage) => partitioned(stage, 2),
  },
  {
    name: 'cluster-rolling-restart',
    group: 'broker',
    promise:
      'Cluster of three: its nodes are restarted one after another under load; the centre goes on with those that run.',
    services,
    timeLimitMs: TIME_LIMIT_MS,
    run: rollingRestart,
  },
];
