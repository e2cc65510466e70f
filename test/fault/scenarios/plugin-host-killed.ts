import { until } from '../../support/until.js';
import { closeAndCompare } from '../closing.js';
import { sendLoad } from '../generator.js';
import { startPluginHost, type PluginHostProcess } from '../plugin-host-process.js';
import { recoveryAfter } from '../recovery.js';
import type { RunReport } from '../run-report.js';
import type { Scenario, Stage } from '../scenario.js';
import { EVENT_TYPE, SOURCE_ID, type Registered, type Setting } from '../setting.js';

const EVENTS = 2_000;
const NODE = 'N1';
const CONCURRENCY = 8;
/** What a host holds over AMQP: events that it runs, that wait, and whose outcomes are on their way. */
const PREFETCH = 2 * CONCURRENCY;
const TIMEOUT_MS = 2_000;
/** An event of the killed host comes again after it. */
const LEASE_MS = 8_000;

/**
 * kill -9 of one of two processes that host the plugins of a node, in the middle of 2,000 events.
 * @param transport how the hosts take events.
 */
async function pluginHostKilled({ setting, report }: Stage, transport: 'http' | 'amqp'): Promise<void> {
  const centre = await setting.startCentre('all');
  const client = setting.client(centre);
  const registered = await registerPlugins(setting, client);
  const hostEnvironment = {
    EVENT_CENTER_URL: centre.url,
    EVENT_CENTER_APP_ID: NODE,
    EVENT_CENTER_APP_KEY: registered.nodeKey,
    PLUGIN_URLS: JSON.stringify(registered.urls),
    PLUGIN_CONCURRENCY: String(CONCURRENCY),
    PLUGIN_LEASE_MS: String(LEASE_MS),
    PLUGIN_PREFETCH: String(PREFETCH),
    ...(transport === 'amqp' ? { PLUGIN_BROKER_URL: await userOfNode(setting) } : {}),
  };
  setting.receivers.delayMs = 20;
  const hosts = await Promise.all([startPluginHost(hostEnvironment), startPluginHost(hostEnvironment)]);
  try {
    const inHand = transport === 'http' ? CONCURRENCY : PREFETCH;
    await run(setting, report, { client, registered, hosts, inHand });
  } finally {
    await Promise.all(hosts.map((host) => host.kill()));
  }
}

interface Scene {
  client: ReturnType<Setting['client']>;
  registered: RegisteredPlugins;
  hosts: [PluginHostProcess, PluginHostProcess];
  /** Most events that a host holds without their outcomes being safe. */
  inHand: number;
}

async function run(setting: Setting, report: RunReport, scene: Scene): Promise<void> {
  const { client, registered } = scene;
  const [victim, survivor] = scene.hosts;
  const sending = sendLoad({
    ...setting.target(registered),
    events: EVENTS,
    connections: 8,
    client: () => client,
  });
  const { calls } = setting.receivers;
  await until('half of the calls were made', () => calls.length >= EVENTS, 180_000);
  await victim.kill();
  const callsAtKill = calls.length;
  const killedAt = Date.now();
  report.say(`killed one of two hosts after ${callsAtKill} of ${EVENTS * 2} calls; it had begun ${victim.begun.size} events, the other one ${survivor.begun.size}`); // prettier-ignore
  const sends = await sending;
  const owedBy = () => registered.listeners;
  const ledger = await closeAndCompare(report, { setting, client, owedBy, timeoutMs: 240_000 });
  const { recoveryMs } = recoveryAfter(killedAt, { sends, calls: setting.calls(), owedBy });
  report.figure('inFlight', scene.inHand);
  report.figure('recoveryMs', recoveryMs);
  report.require('every event accepted', ledger.accepted === EVENTS, ledger.accepted);
  report.require('both hosts had a share', Math.min(victim.begun.size, survivor.begun.size) > EVENTS / 10, `${victim.begun.size} and ${survivor.begun.size}`); // prettier-ignore
  const idByNumber = new Map(sends.map(({ number, eventId }) => [number, eventId ?? '']));
  const repeated = [...new Set(ledger.repeats.map(({ number }) => idByNumber.get(number) ?? ''))];
  const unexplained = repeated.filter((eventId) => !victim.begun.has(eventId));
  report.require(
    'events repeated are no more than the killed host could hold',
    repeated.length <= scene.inHand,
    `${repeated.length} events (${ledger.repeats.length} calls) repeated, ${scene.inHand} in hand at most`,
  );
  report.require('each repeated event was begun by the killed host', unexplained.length === 0, `${unexplained.length} were not`); // prettier-ignore
  const status = await survivor.stop();
  report.require('the other host stops with nothing in hand', status?.state === 'stopped' && status.inHand === 0, status); // prettier-ignore
}

/** A user of the broker with what the operations page gives to a node's. Returns the url with it. */
async function userOfNode(setting: Setting): Promise<string> {
  const password = 'only-of-this-run';
  await setting.broker.control('add_user', NODE, password);
  const write = '^ec\\.(redeliver|outcomes|dead|delay\\.[0-9]+)$';
  await setting.broker.control('set_permissions', NODE, '^$', write, `^ec\\.app\\.${NODE}$`);
  const url = new URL(setting.broker.url);
  url.username = NODE;
  url.password = password;
  return url.href;
}

interface RegisteredPlugins extends Registered {
  nodeKey: string;
  /** Where the calls of a plugin are counted, by class name. */
  urls: Record<string, string>;
}

async function registerPlugins(setting: Setting, client: Scene['client']): Promise<RegisteredPlugins> {
  const sender = await client.must('POST', '/nodes', { nodeCode: 'SENDER' });
  const node = await client.must('POST', '/nodes', { nodeCode: NODE });
  const type = await client.must('POST', '/event-types', { sourceId: SOURCE_ID, eventTypeCode: EVENT_TYPE });
  const registered: RegisteredPlugins = {
    app: { appId: 'SENDER', appKey: sender.appKey },
    eventTypeId: type.id,
    listeners: [],
    nodeKey: node.appKey,
    urls: {},
  };
  for (const operIndex of [1, 2]) {
    const listener = `${NODE}-P${operIndex}`;
    const implClassName = `com.example.Plugin${operIndex}`;
    const fields = { name: listener, nodeCode: NODE, eventTypeId: type.id, operIndex, timeoutMs: TIMEOUT_MS };
    const { id } = await client.must('POST', '/listeners', { ...fields, implClassName });
    registered.urls[implClassName] = setting.receivers.urlOf({ node: NODE, listener, operIndex });
    registered.listeners.push({ id, node: NODE, listener, operIndex });
  }
  return registered;
}

export const scenarios: Scenario[] = [
  {
    name: 'plugin-host-killed-http',
    group: 'processes',
    promise:
      'After kill -9 of one of two plugin hosts that lease over HTTP (embedded broker, SQLite) the other one does what it had in hand, and nothing else again.',
    transport: 'http',
    services: { broker: 'embedded', database: 'sqlite' },
    run: (stage) => pluginHostKilled(stage, 'http'),
  },
  {
    name: 'plugin-host-killed-amqp',
    group: 'processes',
    promise:
      'After kill -9 of one of two plugin hosts that consume over AMQP the other one does what it had in hand, and nothing else again.',
    transport: 'amqp',
    run: (stage) => pluginHostKilled(stage, 'amqp'),
  },
];
