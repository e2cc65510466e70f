import { pause } from '../../support/pause.js';
import { until } from '../../support/until.js';
import { closeFromFiles, waitForDelivery } from '../closing.js';
import { startLoad } from '../generator.js';
import type { ListenerName, SendRecord } from '../ledger.js';
import type { Scenario, Stage } from '../scenario.js';
import { addListener, register } from '../setting.js';

/** Every process sees a change of the registry within this time. */
const SEEN_BY_ALL_MS = 1_000;

/**
 * A node with a listener is added, and later another listener deleted, in the middle of load through two api
 * processes and two workers. Who is owed an event is decided by the registry version that the event was stamped with.
 */
async function registryChanged({ setting, report }: Stage): Promise<void> {
  const apis = [await setting.startCentre('api'), await setting.startCentre('api')];
  await setting.startCentre('worker');
  await setting.startCentre('worker');
  const clients = apis.map((api) => setting.client(api));
  const [client] = clients as [(typeof clients)[number]];
  const registered = await register(setting, client, { nodes: 2, listenersPerNode: 1 });
  await pause(SEEN_BY_ALL_MS);
  let turn = 0;
  const load = startLoad({
    ...setting.target(registered),
    connections: 16,
    ratePerSecond: 400,
    client: () => clients[(turn += 1) % clients.length] as (typeof clients)[number],
  });
  await pause(3_000);
  const addStartedAt = Date.now();
  await client.must('POST', '/nodes', { nodeCode: 'N3' });
  const added = await addListener(setting, client, { eventTypeId: registered.eventTypeId, node: 'N3', operIndex: 1 });
  const addedAt = Date.now();
  await pause(3_000);
  const removed = registered.listeners[1] as (typeof registered.listeners)[number];
  await client.must('DELETE', `/listeners/${removed.id}`);
  const removedAt = Date.now();
  await pause(3_000);
  const sends = await load.stop();

  const accepted = sends.filter((send) => send.accepted);
  report.require('every event accepted', accepted.length === sends.length, `${accepted.length} of ${sends.length}`);
  const versions = new Map<string, number>();
  await until(
    'every event is in the journal',
    async () => {
      for (const event of await client.all('/events')) versions.set(event.eventId, event.registryVersion);
      return accepted.every((send) => versions.has(send.eventId ?? ''));
    },
    60_000,
  );
  const addedVersion = firstVersion(sends, versions, addedAt);
  report.say(`registry versions seen: ${[...new Set(versions.values())].sort((a, b) => a - b).join(', ')}`);

  const delivered = (name: ListenerName): Set<number> =>
    new Set(setting.receivers.calls.filter((call) => call.listener === name.listener).map((call) => call.number));
  const versionOf = (send: SendRecord): number => versions.get(send.eventId ?? '') ?? 0;
  const owedAfterAdding = (send: SendRecord): boolean => versionOf(send) >= addedVersion.lowest;
  const owedBy = (send: SendRecord): ListenerName[] => [
    registered.listeners[0] as ListenerName,
    ...(owedAfterAdding(send) ? [added] : []),
    ...(versionOf(send) < addedVersion.removal ? [removed] : []),
  ];
  const certain = (send: SendRecord): ListenerName[] => owedBy(send).filter((name) => name !== removed);
  await waitForDelivery(setting, { owedBy: certain, timeoutMs: 60_000 });
  const ledger = closeFromFiles(setting, { owedBy: certain });
  report.requireNothingLost(ledger);
  report.requireNoRepeats(ledger);

  const toAdded = delivered(added);
  const early = accepted.filter((send) => send.answeredAt < addStartedAt && toAdded.has(send.number));
  const missing = accepted.filter((send) => send.sentAt > addedAt + SEEN_BY_ALL_MS && !toAdded.has(send.number));
  report.require('no event from before the listener was added came to it', early.length === 0, `${early.length} came`);
  report.require(
    'every event sent a second after it was added came to it',
    missing.length === 0,
    `${missing.length} missing`,
  );
  const wrong = accepted.filter((send) => owedAfterAdding(send) !== toAdded.has(send.number));
  report.require(
    'exactly the events of its versions came to the added listener',
    wrong.length === 0,
    `${wrong.length} wrong, ${toAdded.size} came`,
  );
  const late = accepted.filter(
    (send) => send.sentAt > removedAt + SEEN_BY_ALL_MS && delivered(removed).has(send.number),
  );
  report.require(
    'no event sent a second after the deletion came to the deleted listener',
    late.length === 0,
    `${late.length} came`,
  );
  const owedToRemoved = accepted.filter((send) => versionOf(send) < addedVersion.removal);
  const unaccounted = async (): Promise<string[]> => {
    const deliveries = await client.all(`/deliveries?listenerId=${removed.id}`);
    const states = new Map(deliveries.map((one) => [one.eventId, one.state as string]));
    const stateOf = (send: SendRecord): string => states.get(send.eventId ?? '') ?? 'not recorded';
    return owedToRemoved.map(stateOf).filter((state) => !['succeeded', 'cancelled'].includes(state));
  };
  await until(
    'what the deleted listener was owed is accounted for',
    async () => (await unaccounted()).length === 0,
    30_000,
  ).catch(() => undefined);
  const left = await unaccounted();
  report.require(
    'what the deleted listener was owed is delivered or recorded as cancelled',
    left.length === 0,
    `${owedToRemoved.length} owed, ${left.length} unaccounted ${[...new Set(left)].join(', ')}`,
  );
}

/** The version in which the added listener exists, and the one in which the removed one does not, as events saw them. */
function firstVersion(
  sends: SendRecord[],
  versions: Map<string, number>,
  addedAt: number,
): { lowest: number; removal: number } {
  const seen = sends
    .filter((send) => send.sentAt > addedAt + SEEN_BY_ALL_MS)
    .map((send) => versions.get(send.eventId ?? '') ?? 0)
    .sort((a, b) => a - b);
  const lowest = seen[0] ?? 0;
  return { lowest, removal: lowest + 1 };
}

export const scenarios: Scenario[] = [
  {
    name: 'registry-changed',
    group: 'processes',
    promise:
      'A listener that is added under load gets exactly the events of its versions, and what a deleted one was owed is delivered or recorded as cancelled.',
    sharesServices: true,
    run: registryChanged,
  },
];
