import { EventCenterError } from '../../src/core/errors.js';
import type { EventMessage, RegistryData } from '../../src/core/model.js';
import type { RegistrySnapshot } from '../../src/core/registry/registry.js';
import { Worker, type WorkerOptions } from '../../src/core/delivering/worker.js';
import { FakeBroker, FakeClaims, FakeParked, Recorder, received, ScriptedCaller } from '../support/delivery-fakes.js';
import { aListener, aNode, anEvent, aRevision, aSnapshot } from '../support/registry-fixtures.js';
import { until } from '../support/until.js';

const workers: Worker[] = [];
afterEach(async () => {
  for (const worker of workers.splice(0)) await worker.stop(0);
});

const A_AND_B: Partial<RegistryData> = {
  nodes: [aNode('A', { concurrency: 2 }), aNode('B', { concurrency: 3 })],
  listeners: [
    aListener('a'),
    aListener('b', { nodeCode: 'B' }),
    aListener('p', { nodeCode: 'P', url: null, implClassName: 'x.Y' }),
  ],
};

function setUp(parts: Partial<RegistryData> = A_AND_B, options: Partial<WorkerOptions> = {}) {
  const recorder = new Recorder();
  const broker = new FakeBroker();
  const parked = new FakeParked();
  const caller = new ScriptedCaller(Date);
  let snapshot = aSnapshot(parts);
  const worker = new Worker({
    broker,
    registry: {
      current: () => snapshot,
      atLeast: () => Promise.reject(new EventCenterError('UNAVAILABLE', 'no')),
      forVersion: () => Promise.reject(new EventCenterError('UNAVAILABLE', 'no')),
      refreshed: () => Promise.resolve(snapshot),
    },
    claims: new FakeClaims(),
    parked,
    caller,
    disableListener: () => Promise.resolve(),
    clock: Date,
    log: recorder,
    metrics: recorder,
    options: {
      retryDelaysMs: [10],
      breakerThreshold: 20,
      breakerProbeMs: 5_000,
      maxBufferedBytes: 1_000,
      maxHoldMs: 600_000,
      patienceMs: 0,
      ...options,
    },
  });
  workers.push(worker);
  const change = (next: Partial<RegistryData>): RegistrySnapshot => {
    snapshot = aSnapshot({ version: snapshot.version + 1, ...next });
    worker.onSnapshot(snapshot);
    return snapshot;
  };
  worker.onSnapshot(snapshot);
  return { worker, broker, parked, caller, recorder, change };
}

function message(eventId: string): EventMessage {
  return { event: anEvent(eventId), chain: null, claimSteps: false };
}

/** Answers that are held back until they are let go. */
function heldAnswers(caller: ScriptedCaller, nodeCode: string) {
  const held: (() => void)[] = [];
  caller.script = ({ node }) =>
    node.nodeCode !== nodeCode ? 'success' : new Promise((resolve) => held.push(() => resolve('success')));
  return held;
}

async function consumers(broker: FakeBroker, ...nodeCodes: string[]) {
  return until(`${nodeCodes.join()} are taken from`, () => {
    const found = nodeCodes.map((nodeCode) => broker.consumer(nodeCode)).filter((consumer) => consumer !== undefined);
    return found.length === nodeCodes.length ? found : null;
  });
}

describe('the worker', () => {
  it('takes from the queue of each node with url listeners, beyond its concurrency', async () => {
    const { worker, broker } = setUp();
    expect(broker.subscriptions).toEqual([]);
    worker.start();
    const [a, b] = await consumers(broker, 'A', 'B');
    expect([a!.options.prefetch, b!.options.prefetch]).toEqual([98, 99]);
    expect(broker.subscriptions).toHaveLength(2);
  });

  it('follows nodes that come, and lets queues of nodes go that nothing remembers', async () => {
    const { worker, broker, change } = setUp();
    worker.start();
    const [a] = await consumers(broker, 'A', 'B');
    change({
      nodes: [aNode('B', { concurrency: 3 }), aNode('C')],
      listeners: [A_AND_B.listeners![1]!, aListener('c', { nodeCode: 'C' })],
    });
    await consumers(broker, 'B', 'C');
    await until('A is left', () => a!.stopped);
    expect(broker.subscriptions).toHaveLength(3);
  });

  it('lets the queue of a disabled node wait and takes from it again', async () => {
    const disabled = { ...A_AND_B, nodes: [aNode('A', { enabled: false, concurrency: 2 }), A_AND_B.nodes![1]!] };
    const { worker, broker, change, caller } = setUp(disabled);
    worker.start();
    await consumers(broker, 'B');
    expect(broker.consumer('A')).toBeUndefined();
    change(A_AND_B);
    const [a] = await consumers(broker, 'A');
    expect(await a!.give(received(message('E')))).toBe('ack');
    change(disabled);
    await until('A is paused', () => a!.paused);
    expect(await a!.give(received(message('F')))).toBe('requeue');
    expect(caller.calls).toHaveLength(1);
    change(A_AND_B);
    await until('A is resumed', () => !a!.paused);
    expect(broker.subscriptions).toHaveLength(2);
  });

  it('takes another concurrency over, for messages in hand too', async () => {
    const { worker, broker, caller, change } = setUp();
    const held = heldAnswers(caller, 'A');
    worker.start();
    const [a] = await consumers(broker, 'A');
    const all = ['1', '2', '3', '4'].map((id) => a!.give(received(message(id))));
    await until('two are called', () => held.length === 2);
    change({ ...A_AND_B, nodes: [aNode('A', { concurrency: 4 }), A_AND_B.nodes![1]!] });
    await until('four are called', () => held.length === 4);
    await until('a consumer with the new prefetch is there', () => broker.consumer('A')?.options.prefetch === 100);
    expect(a!.paused).toBe(true);
    for (const answer of held) answer();
    expect(await Promise.all(all)).toEqual(['ack', 'ack', 'ack', 'ack']);
    await until('the old consumer has ended', () => a!.stopped);
    expect(broker.consumer('A')!.stopped).toBe(false);
  });

  it('calls a node no more than its concurrency at a time, and a node that hangs holds no other', async () => {
    const { worker, broker, caller } = setUp();
    const held = heldAnswers(caller, 'A');
    worker.start();
    const [a, b] = await consumers(broker, 'A', 'B');
    const slow = Array.from({ length: 20 }, (_, index) => a!.give(received(message(`a${index}`))));
    await until('A is full', () => held.length === 2);
    const fast = await Promise.all(
      Array.from({ length: 50 }, (_, index) => b!.give(received({ ...message(`b${index}`) }))),
    );
    expect(fast.every((settlement) => settlement === 'ack')).toBe(true);
    expect(caller.calls.filter(({ nodeCode }) => nodeCode === 'A')).toHaveLength(2);
    for (let answered = 0; answered < 20; answered += 1) {
      await until('one more is called', () => held.length > answered);
      held[answered]!();
    }
    await Promise.all(slow);
    expect(caller.mostRunning).toBeLessThanOrEqual(2 + 3);
    expect(worker.inHand()).toEqual({ messages: 0, bytes: 0 });
  });

  it('keeps to the rate of a node', async () => {
    const { worker, broker } = setUp({
      ...A_AND_B,
      nodes: [aNode('A', { deliverRateLimit: 10, concurrency: 20 }), A_AND_B.nodes![1]!],
    });
    worker.start();
    const [a] = await consumers(broker, 'A');
    expect(a!.options.prefetch).toBe(106);
    const began = Date.now();
    await Promise.all(Array.from({ length: 15 }, (_, index) => a!.give(received(message(`${index}`)))));
    expect(Date.now() - began).toBeGreaterThanOrEqual(490);
  });

  it('pauses who holds too many bytes, not the others, until they are done', async () => {
    const { worker, broker, caller } = setUp();
    const held = heldAnswers(caller, 'A');
    worker.start();
    const [a, b] = await consumers(broker, 'A', 'B');
    const large = [1, 2, 3].map((id) => a!.give(received(message(`${id}`), { bytes: 400 })));
    await until('A is paused', () => a!.paused);
    expect(await b!.give(received(message('small'), { bytes: 10 }))).toBe('ack');
    expect(b!.paused).toBe(false);
    for (let answered = 0; answered < 3; answered += 1) {
      await until('it is called', () => held.length > answered);
      held[answered]!();
    }
    await Promise.all(large);
    await until('A is resumed', () => !a!.paused);
  });

  it('stops consuming while neither broker nor store takes what follows, and goes on after', async () => {
    const { worker, broker, parked } = setUp();
    worker.start();
    const [a, b] = await consumers(broker, 'A', 'B');
    broker.away.add('publishOutcomes');
    parked.away = true;
    const delivered = a!.give(received(message('E')));
    await until('all are paused', () => a!.paused && b!.paused);
    expect(worker.isStuck()).toBe(true);
    parked.away = false;
    expect(await delivered).toBe('ack');
    await until('all are resumed', () => !a!.paused && !b!.paused);
    expect(parked.parked).toHaveLength(1);
  });

  it('empties the queue of a node without listeners as long as it exists, and closes its deliveries', async () => {
    const revision = aRevision(aListener('gone', { nodeCode: 'G' }), { toVersion: 2, closedAt: 1 });
    const forgotten = aRevision(aListener('gone', { nodeCode: 'F' }), { toVersion: 2, closedAt: 1 });
    const { worker, broker } = setUp({ version: 2, nodes: [], listeners: [], revisions: [revision, forgotten] });
    broker.missingQueues.add('F');
    worker.start();
    const [g] = await consumers(broker, 'G');
    expect(await g!.give(received(message('E')))).toBe('ack');
    expect(broker.outcomes).toMatchObject([{ listenerId: 'gone', state: 'cancelled', reason: 'listener-deleted' }]);
    expect(broker.consumer('F')).toBeUndefined();
  });

  it('asks again when the broker refuses a consumer', async () => {
    const { worker, broker, recorder } = setUp();
    broker.away.add('consumeNode');
    worker.start();
    await until('it was refused', () => recorder.named('node-queue.not-taken').length === 2);
    broker.away.clear();
    await consumers(broker, 'A', 'B');
  });
});

describe('stopping the worker', () => {
  it('lets running calls end, gives the rest back, and takes nothing more', async () => {
    const { worker, broker, caller } = setUp();
    const held = heldAnswers(caller, 'A');
    worker.start();
    const [a] = await consumers(broker, 'A');
    const all = ['1', '2', '3'].map((id) => a!.give(received(message(id))));
    await until('two are called', () => held.length === 2);
    const stopped = worker.stop(10_000);
    expect(await all[2]).toBe('requeue');
    expect(a!.paused).toBe(true);
    for (const answer of held) answer();
    await stopped;
    expect(await Promise.all(all)).toEqual(['ack', 'ack', 'requeue']);
    expect(broker.outcomes).toHaveLength(2);
    expect(a!.stopped).toBe(true);
    await worker.stop(10_000);
  });

  it('gives back what does not end in time', async () => {
    const { worker, broker, caller } = setUp();
    heldAnswers(caller, 'A');
    worker.start();
    const [a] = await consumers(broker, 'A');
    const hanging = a!.give(received(message('1')));
    await until('it is called', () => caller.calls.length === 1);
    const began = Date.now();
    await worker.stop(100);
    expect(await hanging).toBe('requeue');
    expect(Date.now() - began).toBeLessThan(2_000);
    expect(worker.inHand()).toEqual({ messages: 0, bytes: 0 });
  });

  it('leaves what was given back to others: only a success is still told', async () => {
    const { worker, broker, caller } = setUp();
    const answers: ((answer: 'success' | 'unreachable') => void)[] = [];
    caller.script = () => new Promise((resolve) => answers.push(resolve));
    worker.start();
    const [a] = await consumers(broker, 'A');
    const hanging = [a!.give(received(message('1'))), a!.give(received(message('2')))];
    await until('both are called', () => answers.length === 2);
    await worker.stop(0);
    expect(await Promise.all(hanging)).toEqual(['requeue', 'requeue']);
    answers[0]!('unreachable');
    answers[1]!('success');
    await until('the success is told', () => broker.outcomes.length === 1);
    expect(broker.outcomes).toMatchObject([{ eventId: '2', state: 'succeeded' }]);
    expect(broker.successors).toEqual([]);
  });

  it('does not follow the registry any more', async () => {
    const { worker, broker, change } = setUp();
    worker.start();
    await consumers(broker, 'A', 'B');
    await worker.stop(0);
    change({ nodes: [aNode('C')], listeners: [aListener('c', { nodeCode: 'C' })] });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(broker.consumer('C')).toBeUndefined();
  });

  it('that never started, or stops twice, does no harm', async () => {
    const { worker } = setUp();
    await Promise.all([worker.stop(10), worker.stop(10)]);
    worker.start();
    expect(worker.inHand().messages).toBe(0);
  });

  it('is quick with a thousand nodes', async () => {
    const nodeCodes = Array.from({ length: 1_000 }, (_, index) => `N${index}`);
    const { worker, broker } = setUp({
      nodes: nodeCodes.map((nodeCode) => aNode(nodeCode)),
      listeners: nodeCodes.map((nodeCode) => aListener(`l${nodeCode}`, { nodeCode })),
    });
    const began = Date.now();
    worker.start();
    await until('all are taken from', () => broker.subscriptions.length === 1_000);
    await worker.stop(10_000);
    expect(broker.subscriptions.every(({ stopped }) => stopped)).toBe(true);
    expect(Date.now() - began).toBeLessThan(3_000);
  });
});
