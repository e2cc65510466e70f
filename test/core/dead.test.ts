import { DeadQueue } from '../../src/core/recording/dead.js';
import { EventCenterError } from '../../src/core/errors.js';
import type { Event, EventMessage, Outcome } from '../../src/core/model.js';
import type { DeadMessage } from '../../src/core/ports.js';
import { UNSTORABLE } from '../../src/core/recording/refused-entries.js';
import { silentLog } from '../support/databases.js';
import { FakeJournalStore, JournalQueues } from '../support/journal-queues.js';
import { aListener, anEvent, anOutcome, countingIncidents, EditableRegistry } from '../support/redelivering.js';
import { until } from '../support/until.js';

const TYPE = '018f0000-0000-7000-8000-0000000000aa';

function chained(nodeCode: string): EventMessage {
  const chain = {
    nodeCode,
    generation: 2,
    sequence: 1,
    targets: null,
    settled: [],
    listenerId: null,
    attempt: 2,
    attemptsBefore: {},
    dueAt: null,
  };
  return { event: anEvent({ eventTypeId: TYPE }), chain, claimSteps: false };
}

function dead(more: Partial<DeadMessage>): DeadMessage {
  return { reason: 'there is no queue', queue: null, message: null, raw: Buffer.from('{'), rawHeaders: '{}', ...more };
}

describe('the dead queue', () => {
  let queues: JournalQueues;
  let store: FakeJournalStore;
  let registry: EditableRegistry;
  let taking: DeadQueue;
  let announced: [Event, Outcome[]][];
  /** What announcing answers first. */
  let refusals: Promise<void>[];

  beforeEach(async () => {
    queues = new JournalQueues();
    store = new FakeJournalStore();
    registry = new EditableRegistry();
    announced = [];
    refusals = [];
    registry.add(aListener('A', TYPE));
    registry.add(aListener('x.node.P', TYPE, { url: null, implClassName: 'p.P' }));
    taking = new DeadQueue({
      broker: queues,
      journal: store,
      registry,
      announcer: {
        failed: (...failed) => {
          announced.push(failed);
          return refusals.shift() ?? Promise.resolve();
        },
      },
      clock: { now: () => Date.now() },
      log: silentLog,
      metrics: countingIncidents(),
      sleep: () => new Promise((resolve) => setImmediate(resolve)),
    });
    await taking.start();
  });

  afterEach(() => taking.stop());

  const settled = (count = 1) => until('all are acked', () => queues.deadOnes.acked.length === count);

  it('sends a message again to a node whose queue exists, with claimed steps', async () => {
    queues.nodeQueues.add('A');
    const message = chained('A');
    queues.deadOnes.put(dead({ message, queue: 'ec.node.A' }));
    await settled();
    expect(queues.sent).toEqual([{ queue: { kind: 'url', nodeCode: 'A' }, message: { ...message, claimSteps: true } }]);
    expect(store.failedDead).toEqual([]);
  });

  it('finds the node of a fresh message by the name of its queue', async () => {
    queues.nodeQueues.add('x.node.P');
    const message = { ...chained('A'), chain: null };
    queues.deadOnes.put(dead({ message, queue: 'ec.app.x.node.P' }));
    await settled();
    expect(queues.sent.map(({ queue }) => queue)).toEqual([{ kind: 'plugin', nodeCode: 'x.node.P' }]);
  });

  it.each([
    ['that is not registered any more', 'GONE', 'there is no queue', true],
    ['whose queue does not come back', 'A', 'there is no queue', false],
    ['where it was tried too often', 'A', 'the broker took it out of the queue ec.node.A: delivery_limit', true],
    ['whose handler failed over it', 'A', 'given up: its handler failed 5 times, at last: a bug', true],
  ])('fails the deliveries of a node %s', async (_name, nodeCode, reason, exists) => {
    if (exists) queues.nodeQueues.add(nodeCode);
    const message = chained(nodeCode);
    queues.deadOnes.put(dead({ message, reason, queue: `ec.node.${nodeCode}` }));
    await settled();
    expect(queues.sent).toEqual([]);
    expect(store.failedDead).toEqual([{ eventId: message.event.eventId, nodeCode, reason }]);
  });

  it('lets the failed deliveries be announced, again when that did not succeed', async () => {
    const message = chained('GONE');
    const listener = aListener('GONE', TYPE);
    store.deadLettered = [anOutcome(message.event, listener, { state: 'failed', reason: 'dead-lettered', attempt: 2 })];
    refusals = [Promise.reject(new EventCenterError('UNAVAILABLE', 'nobody takes it'))];
    queues.deadOnes.put(dead({ message, queue: 'ec.node.GONE' }));
    await settled();
    expect(announced).toEqual([1, 2].map(() => [message.event, store.deadLettered]));
    expect(store.failedDead).toHaveLength(2);
  });

  it('gives a message back that the broker does not confirm', async () => {
    queues.nodeQueues.add('A');
    queues.publisherAway = true;
    queues.deadOnes.put(dead({ message: chained('A') }));
    await new Promise((resolve) => setImmediate(resolve));
    expect(queues.deadOnes.acked).toEqual([]);
    queues.publisherAway = false;
    await settled();
    expect(queues.sent).toHaveLength(1);
  });

  it('lists under failures what nobody can read, and what belongs to no node', async () => {
    queues.deadOnes.put(dead({ reason: 'not JSON' }));
    queues.deadOnes.put(dead({ reason: 'odd', queue: 'ec.journal', message: { ...chained('A'), chain: null } }));
    await settled(2);
    expect([...store.unreadable.values()].sort()).toEqual(['not JSON', 'odd']);
  });

  it('acks what the recorder has listed already', async () => {
    queues.deadOnes.put(dead({ reason: `${UNSTORABLE}too long`, queue: 'ec.outcomes' }));
    await settled();
    expect(store.unreadable.size).toBe(0);
  });

  it('keeps everything while the database is away', async () => {
    store.away = true;
    queues.deadOnes.put(dead({ message: chained('GONE') }));
    queues.deadOnes.put(dead({}));
    await until('it pauses', () => queues.deadOnes.paused && queues.deadOnes.depth === 2);
    store.away = false;
    await settled(2);
    expect(store.failedDead).toHaveLength(1);
    expect(store.unreadable.size).toBe(1);
  });
});
