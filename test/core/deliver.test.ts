import { AssuredPublisher } from '../../src/core/delivering/assured-publish.js';
import { CallGate } from '../../src/core/delivering/call-gate.js';
import { firstPosition } from '../../src/core/delivering/chain.js';
import { CircuitBreaker } from '../../src/core/delivering/circuit-breaker.js';
import { Deliverer, type DelivererDeps } from '../../src/core/delivering/deliver.js';
import { EventCenterError } from '../../src/core/errors.js';
import { isUuid } from '../../src/core/ids.js';
import type { ChainPosition, Event, EventMessage, RegistryData } from '../../src/core/model.js';
import { OutcomeBatches } from '../../src/core/delivering/outcome-batches.js';
import type { RegistrySnapshot } from '../../src/core/registry/registry.js';
import {
  FakeBroker,
  FakeClaims,
  FakeParked,
  ManualClock,
  Recorder,
  received,
  ScriptedCaller,
} from '../support/delivery-fakes.js';
import { aListener, aNode, anEvent, anEventType, aSnapshot } from '../support/registry-fixtures.js';
import { until } from '../support/until.js';

const THREE = [1, 2, 3].map((operIndex) => aListener(`L${operIndex}`, { operIndex }));
/** Listens to the announcements of failures. */
const WATCHER = aListener('W', { eventTypeId: 'X', nodeCode: 'W' });
const NEVER = new AbortController().signal;

function setUp(
  parts: Partial<RegistryData> = {},
  over: { patienceMs?: number; concurrency?: number } & Partial<Pick<DelivererDeps, 'kind' | 'compensate'>> = {},
) {
  const clock = new ManualClock();
  const recorder = new Recorder();
  const broker = new FakeBroker();
  const claims = new FakeClaims();
  const parked = new FakeParked();
  const caller = new ScriptedCaller(clock);
  const breaker = new CircuitBreaker({ clock, threshold: 2, probeMs: 5_000 });
  const registry = {
    snapshot: aSnapshot({ listeners: THREE, ...parts }),
    current: (): RegistrySnapshot => registry.snapshot,
    atLeast: async (version: number): Promise<RegistrySnapshot> => {
      if (registry.snapshot.version >= version) return registry.snapshot;
      throw new EventCenterError('UNAVAILABLE', 'not known yet');
    },
    forVersion: (version: number): Promise<RegistrySnapshot> => registry.atLeast(version),
    refreshed: async (): Promise<RegistrySnapshot> => registry.snapshot,
  };
  const stuck: boolean[] = [];
  const publisher = new AssuredPublisher({
    broker,
    parked,
    clock,
    log: recorder,
    metrics: recorder,
    patienceMs: over.patienceMs ?? 0,
    onStuck: (is) => stuck.push(is),
    signal: NEVER,
  });
  const outcomes = new OutcomeBatches({
    publish: (batch, giveUpAt) => publisher.outcomes(batch, giveUpAt),
    lingerMs: 0,
    maxOutcomes: 100,
    maxCharacters: 10_000,
  });
  const disabled: string[] = [];
  const deliverer = new Deliverer({
    kind: over.kind ?? 'url',
    compensate: over.compensate,
    registry,
    claims,
    caller,
    breaker,
    publisher,
    outcomes,
    clock,
    log: recorder,
    metrics: recorder,
    disableListener: async (listenerId) => void disabled.push(listenerId),
    defaultDelaysMs: [10, 20],
    maxHoldMs: 600_000,
    signal: NEVER,
  });
  const gate = new CallGate(clock, { concurrency: over.concurrency ?? 4, ratePerSecond: null });
  const lane = { nodeCode: 'A', gate };
  const deliver = (message: EventMessage, how = {}) => deliverer.deliver(received(message, how), lane);
  return {
    clock,
    recorder,
    broker,
    claims,
    parked,
    caller,
    breaker,
    registry,
    stuck,
    disabled,
    deliverer,
    gate,
    lane,
    deliver,
  };
}

function fresh(event: Partial<Event> = {}): EventMessage {
  return { event: anEvent('E', event), chain: null, claimSteps: false };
}

function at(position: Partial<ChainPosition>): EventMessage {
  return { event: anEvent('E'), chain: { ...firstPosition('A'), ...position }, claimSteps: false };
}

function ends(broker: FakeBroker) {
  return broker.outcomes.map(({ listenerId, state, attempt }) => `${listenerId} ${state} ${attempt}`);
}

describe('a fresh message', () => {
  it('calls the listeners in their order, without asking the store, and is acked when the outcomes are safe', async () => {
    const { deliver, broker, caller, claims } = setUp();
    expect(await deliver(fresh())).toBe('ack');
    expect(caller.calls.map(({ listenerId, attempt }) => [listenerId, attempt])).toEqual([
      ['L1', 1],
      ['L2', 1],
      ['L3', 1],
    ]);
    expect(ends(broker)).toEqual(['L1 succeeded 1', 'L2 succeeded 1', 'L3 succeeded 1']);
    expect(claims.requests).toEqual([]);
    expect(broker.successors).toEqual([]);
  });

  it('with nobody to call is acked without an outcome', async () => {
    const { deliver, broker } = setUp();
    expect(await deliver(fresh({ eventTypeId: 'other' }))).toBe('ack');
    expect(broker.history).toEqual([]);
  });

  it('writes one wide line per attempt, without payload', async () => {
    const { deliver, recorder, caller } = setUp({ listeners: [THREE[0]!] });
    caller.script = () => ({ kind: 'refused', status: 500, response: 'secret answer' });
    await deliver(fresh());
    expect(recorder.named('delivery.attempted')).toEqual([
      expect.objectContaining({
        eventId: 'E',
        listenerId: 'L1',
        attempt: 1,
        state: 'retrying',
        status: 500,
        error: 'it was refused',
        sourceId: 'USER',
      }),
    ]);
    expect(JSON.stringify(recorder.lines)).not.toContain('secret');
  });

  it('is put aside when it came by the queue of another node', async () => {
    const { deliver } = setUp();
    expect(await deliver(at({ nodeCode: 'B' }))).toEqual({ dead: expect.stringContaining('node B') });
  });
});

describe('a failed attempt', () => {
  it('publishes its successor, then its outcome, then is acked, and does not go on to later listeners', async () => {
    const { deliver, broker, caller, clock } = setUp();
    caller.script = ({ listener }) => (listener.id === 'L2' ? 'refused' : 'success');
    expect(await deliver(fresh())).toBe('ack');
    expect(caller.calls.map(({ listenerId }) => listenerId)).toEqual(['L1', 'L2']);
    expect(broker.successors).toEqual([
      {
        queue: { kind: 'url', nodeCode: 'A' },
        delayMs: 10,
        message: {
          event: expect.objectContaining({ eventId: 'E' }),
          claimSteps: false,
          chain: { ...firstPosition('A'), sequence: 1, settled: ['L1'], listenerId: 'L2', attempt: 2 },
        },
      },
    ]);
    expect(broker.outcomes.at(-1)).toMatchObject({
      listenerId: 'L2',
      state: 'retrying',
      sequence: 0,
      nextAttemptAt: clock.time + 10,
      called: true,
    });
    expect(broker.history.indexOf('successor E')).toBeLessThan(broker.history.indexOf('outcome L2 retrying'));
  });

  it('comes back for the failed listener only, and then the rest', async () => {
    const { deliver, broker, caller } = setUp();
    expect(await deliver(at({ sequence: 1, settled: ['L1'], listenerId: 'L2', attempt: 2 }))).toBe('ack');
    expect(caller.calls.map(({ listenerId, attempt }) => [listenerId, attempt])).toEqual([
      ['L2', 2],
      ['L3', 1],
    ]);
    expect(ends(broker)).toEqual(['L2 succeeded 2', 'L3 succeeded 1']);
  });

  it('that was the last announces it, records it, and goes on', async () => {
    const exhausted = anEventType('X', {
      sourceId: 'EVENT_CENTER',
      eventTypeCode: 'DELIVERY_EXHAUSTED',
      owner: 'EVENT_CENTER',
    });
    const { deliver, broker, caller } = setUp({
      eventTypes: [anEventType('T'), exhausted],
      listeners: [...THREE, WATCHER],
    });
    caller.script = ({ listener }) =>
      listener.id === 'L1' ? { kind: 'refused', status: 503, error: 'busy' } : 'success';
    const last = at({ sequence: 2, listenerId: 'L1', attempt: 3 });
    expect(await deliver(last, { messageId: 'last' })).toBe('ack');
    expect(ends(broker)).toEqual(['L1 failed 3', 'L2 succeeded 1', 'L3 succeeded 1']);
    expect(broker.outcomes[0]).toMatchObject({ reason: 'exhausted', nextAttemptAt: null });
    expect(broker.history[0]).toBe('event DELIVERY_EXHAUSTED');
    const [{ event, claimSteps }] = broker.events as [EventMessage];
    expect(event).toMatchObject({
      appId: 'EVENT_CENTER',
      sourceId: 'EVENT_CENTER',
      eventTypeId: 'X',
      registryVersion: 1,
    });
    expect(JSON.parse(event.userObject!.toString())).toEqual({
      eventId: 'E',
      listenerId: 'L1',
      nodeCode: 'A',
      attempts: 3,
      lastStatus: 503,
      lastError: 'busy',
    });
    expect(isUuid(event.eventId) && claimSteps).toBe(true);
    await deliver(last, { messageId: 'last', redelivered: true });
    expect(broker.events[1]!.event.eventId).toBe(event.eventId);
  });

  it('to whose announcement nobody listens is only recorded', async () => {
    const exhausted = anEventType('X', { sourceId: 'EVENT_CENTER', eventTypeCode: 'DELIVERY_EXHAUSTED' });
    const { deliver, broker, caller } = setUp({ eventTypes: [anEventType('T'), exhausted] });
    caller.script = () => ({ status: 410 });
    await deliver(fresh());
    expect(broker.events).toEqual([]);
    expect(ends(broker)).toContain('L1 failed 1');
  });

  it('of a built-in event announces nothing', async () => {
    const exhausted = anEventType('X', { sourceId: 'EVENT_CENTER', eventTypeCode: 'DELIVERY_EXHAUSTED' });
    const { deliver, broker, caller } = setUp({
      eventTypes: [anEventType('T'), exhausted],
      listeners: [...THREE, WATCHER],
    });
    caller.script = () => ({ status: 410 });
    const event = anEvent('E', { sourceId: 'EVENT_CENTER', eventType: 'DELIVERY_EXHAUSTED' });
    expect(await deliver({ event, chain: null, claimSteps: false })).toBe('ack');
    expect(broker.events).toEqual([]);
  });

  it('stops the rest when the node wants it', async () => {
    const { deliver, broker, caller } = setUp({ nodes: [aNode('A', { onExhausted: 'stop' })] });
    caller.script = () => 'refused';
    await deliver(at({ sequence: 2, listenerId: 'L1', attempt: 3 }));
    expect(ends(broker)).toEqual(['L1 failed 3', 'L2 skipped 0', 'L3 skipped 0']);
    expect(broker.outcomes[1]).toMatchObject({ reason: 'chain-stopped', called: false });
    expect(caller.calls).toHaveLength(1);
  });

  it('with 410 disables the listener and goes on, also when that is not to be had', async () => {
    const { deliver, broker, caller, disabled } = setUp({ nodes: [aNode('A', { onExhausted: 'stop' })] });
    caller.script = ({ listener }) => (listener.id === 'L1' ? { status: 410 } : 'success');
    await deliver(fresh());
    expect(disabled).toEqual(['L1']);
    expect(ends(broker)).toEqual(['L1 failed 1', 'L2 succeeded 1', 'L3 succeeded 1']);
    expect(broker.outcomes[0]).toMatchObject({ reason: 'gone' });
  });

  it('waits as long as the listener asks, by a declared step', async () => {
    const { deliver, broker, caller } = setUp();
    caller.script = () => ({ retryAfterMs: 11 });
    await deliver(fresh());
    expect(broker.successors[0]!.delayMs).toBe(20);
  });

  it('is survived even when the caller itself breaks', async () => {
    const { deliver, broker, caller, gate } = setUp();
    caller.script = () => {
      throw new Error('a bug');
    };
    expect(await deliver(fresh())).toBe('ack');
    expect(broker.outcomes[0]).toMatchObject({ state: 'retrying', error: 'the call could not be made' });
    expect(gate.inside).toBe(0);
  });
});

describe('compensation of a plugin that is exhausted', () => {
  const plugin = aListener('P', {
    url: null,
    implClassName: 'x.P',
    retry: { strategy: 'none', maxAttempts: null, delaysMs: null },
  });

  it('comes before the outcome, whose error it may complete, and nothing is announced from here', async () => {
    const told: string[] = [];
    const { broker, caller, deliver } = setUp(
      { listeners: [plugin] },
      {
        kind: 'plugin',
        compensate: async ({ event, listener, outcome }) => {
          told.push(`${event.eventId} ${listener.id} ${outcome.attempt}, ${broker.outcomes.length} recorded`);
          return `${outcome.error ?? ''}; and more`;
        },
      },
    );
    caller.script = () => 'refused';
    expect(await deliver(fresh())).toBe('ack');
    expect(told).toEqual(['E P 1, 0 recorded']);
    expect(broker.outcomes).toMatchObject([{ state: 'failed', error: 'it was refused; and more' }]);
    expect(broker.events).toEqual([]);
  });

  it('that cannot be brought to its end records nothing and gives the message back', async () => {
    const { broker, caller, deliverer, deliver } = setUp(
      { listeners: [plugin] },
      { kind: 'plugin', compensate: () => Promise.reject(new EventCenterError('UNAVAILABLE', 'the process ends')) },
    );
    caller.script = () => 'refused';
    const delivered = deliver(fresh());
    deliverer.beginStop();
    expect(await delivered).toBe('requeue');
    expect(broker.outcomes).toEqual([]);
  });
});

describe('claims', () => {
  it.each([
    ['a redelivered message', fresh(), { redelivered: true }],
    ['a message marked for it', { ...fresh(), claimSteps: true }, {}],
    ['a successor', at({ sequence: 1 }), {}],
  ])('are made by %s before each call', async (_, message, how) => {
    const { deliver, claims, caller } = setUp();
    await deliver(message, { ...how, messageId: 'mine' });
    expect(caller.calls).toHaveLength(3);
    expect(claims.requests).toHaveLength(3);
    expect(claims.requests[0]).toMatchObject({ eventId: 'E', nodeCode: 'A', generation: 1, messageId: 'mine' });
  });

  it('that are lost end the message without a call, a successor or an outcome', async () => {
    const { deliver, claims, caller, broker } = setUp();
    const successor = at({ sequence: 1 });
    await claims.claim({ eventId: 'E', nodeCode: 'A', generation: 1, sequence: 1, messageId: 'other' });
    expect(await deliver(successor)).toBe('ack');
    claims.raiseGeneration('E', 'A', 2);
    expect(await deliver({ ...successor, chain: { ...successor.chain!, sequence: 9 } })).toBe('ack');
    expect(caller.calls).toEqual([]);
    expect(broker.history).toEqual([]);
  });

  it('tell what is settled already, which is walked past', async () => {
    const { deliver, claims, caller } = setUp();
    claims.settled.set(
      'E A 1',
      new Map([
        ['L1', 'succeeded'],
        ['L2', 'cancelled'],
      ]),
    );
    await deliver(fresh(), { redelivered: true });
    expect(caller.calls.map(({ listenerId }) => listenerId)).toEqual(['L3']);
  });

  it('that become lost on the way end the message after the call in hand', async () => {
    const { deliver, claims, caller, broker } = setUp();
    caller.script = () => {
      claims.raiseGeneration('E', 'A', 2);
      return 'success';
    };
    expect(await deliver(fresh(), { redelivered: true })).toBe('ack');
    expect(ends(broker)).toEqual(['L1 succeeded 1']);
  });

  it('that cannot be asked for do not hold back a call', async () => {
    const { deliver, claims, caller } = setUp();
    claims.away = true;
    expect(await deliver(at({ sequence: 1 }))).toBe('ack');
    expect(caller.calls).toHaveLength(3);
  });
});

describe('an open circuit', () => {
  it('costs a delay but no call and no attempt', async () => {
    const { deliver, broker, breaker, caller, clock } = setUp();
    for (let i = 0; i < 2; i += 1) breaker.record('L1', 'unreachable');
    expect(await deliver(at({ sequence: 1, listenerId: 'L1', attempt: 2 }))).toBe('ack');
    expect(caller.calls).toEqual([]);
    expect(broker.successors[0]).toMatchObject({
      delayMs: 20,
      message: { chain: { attempt: 2, sequence: 2, listenerId: 'L1' } },
    });
    expect(broker.outcomes).toEqual([
      expect.objectContaining({
        state: 'retrying',
        reason: 'circuit-open',
        error: 'circuit open',
        called: false,
        attempt: 1,
        nextAttemptAt: clock.time + 20,
      }),
    ]);
  });

  it('is opened by unreachable answers and closed by a probe that is answered', async () => {
    const { deliver, breaker, caller, clock } = setUp();
    caller.script = () => 'unreachable';
    await deliver(fresh());
    await deliver(fresh());
    expect(breaker.isOpen('L1')).toBe(true);
    await deliver(fresh());
    expect(caller.calls).toHaveLength(2);
    clock.time += 5_000;
    caller.script = () => 'refused';
    await deliver(fresh());
    expect(caller.calls).toHaveLength(3);
    expect(breaker.isOpen('L1')).toBe(false);
  });
});

describe('the registry', () => {
  it('is brought up to the version that decides who is owed the event', async () => {
    const { deliver, registry, caller } = setUp();
    registry.atLeast = async () => (registry.snapshot = aSnapshot({ version: 5, listeners: [aListener('new')] }));
    expect(await deliver(fresh({ registryVersion: 5 }))).toBe('ack');
    expect(caller.calls.map(({ listenerId }) => listenerId)).toEqual(['new']);
  });

  it('is taken as the store has it when the store does not know the version of the event', async () => {
    const { deliver, registry, caller } = setUp();
    registry.forVersion = () => Promise.resolve(registry.snapshot);
    expect(await deliver(fresh({ registryVersion: Number.MAX_SAFE_INTEGER }))).toBe('ack');
    expect(caller.calls.map(({ listenerId }) => listenerId)).toEqual(['L1', 'L2', 'L3']);
  });

  it('is taken as it is when each listener’s turn comes', async () => {
    const { deliver, registry, caller, broker } = setUp();
    caller.script = () => {
      const listeners = [THREE[0]!, aListener('L2', { operIndex: 2, enabled: false })];
      registry.snapshot = aSnapshot({ version: 2, listeners, revisions: registry.snapshot.data.revisions });
      return 'success';
    };
    await deliver(fresh());
    expect(ends(broker)).toEqual(['L1 succeeded 1', 'L2 skipped 0', 'L3 cancelled 0']);
    expect(broker.outcomes.map(({ reason }) => reason)).toEqual([null, 'listener-disabled', 'listener-deleted']);
  });

  it('hands a chain on when its node is disabled on the way, and gives an untouched message back', async () => {
    const { deliver, registry, caller, broker } = setUp();
    caller.script = () => {
      registry.snapshot = aSnapshot({ version: 2, nodes: [aNode('A', { enabled: false })], listeners: THREE });
      return 'success';
    };
    expect(await deliver(fresh())).toBe('ack');
    expect(broker.successors).toMatchObject([
      { delayMs: 0, message: { chain: { listenerId: 'L2', attempt: 1, settled: ['L1'], sequence: 1 } } },
    ]);
    expect(ends(broker)).toEqual(['L1 succeeded 1']);
    expect(await deliver(fresh())).toBe('requeue');
    expect(caller.calls).toHaveLength(1);
  });
});

describe('a message that is not due', () => {
  it('goes on through the longest step that is not too long, unchanged', async () => {
    const { deliver, broker, clock, caller } = setUp();
    const message = at({ sequence: 3, dueAt: clock.time + 19 });
    expect(await deliver(message)).toBe('ack');
    expect(broker.successors).toMatchObject([{ delayMs: 10, message }]);
    expect(caller.calls).toEqual([]);
    expect(broker.outcomes).toEqual([]);
  });

  it('waits in hand when every step is too long and the wait is short', async () => {
    const { deliver, caller, clock } = setUp();
    const delivered = deliver(at({ sequence: 1, dueAt: clock.time + 5 }));
    expect(caller.calls).toEqual([]);
    clock.time += 5;
    expect(await delivered).toBe('ack');
    expect(caller.calls).toHaveLength(3);
  });
});

describe('a message that would be held for too long', () => {
  it('is handed on without a delay and without using an attempt', async () => {
    const { deliver, broker, caller, clock } = setUp();
    caller.script = () => {
      clock.time += 596_000;
      return 'success';
    };
    expect(await deliver(fresh())).toBe('ack');
    expect(caller.calls).toHaveLength(1);
    expect(broker.successors).toMatchObject([
      { delayMs: 0, message: { chain: { listenerId: 'L2', attempt: 1, settled: ['L1'] } } },
    ]);
  });

  it('is handed on when it has waited for its turn until then', async () => {
    const { deliver, broker, gate, clock } = setUp({}, { concurrency: 1 });
    expect(gate.enter(Infinity)).toBe(true);
    const waiting = deliver(fresh());
    await until('it waits', () => gate.waiting === 1);
    clock.time += 595_001;
    gate.expire();
    expect(await waiting).toBe('ack');
    expect(broker.successors).toMatchObject([
      { delayMs: 0, message: { chain: { listenerId: 'L1', attempt: 1, sequence: 1 } } },
    ]);
    expect(broker.outcomes).toEqual([]);
  });

  it('gets somewhere even when its listener may take longer than that', async () => {
    const { deliver, caller } = setUp({ listeners: [aListener('L1', { timeoutMs: 900_000 })] });
    expect(await deliver(fresh())).toBe('ack');
    expect(caller.calls).toHaveLength(1);
  });
});

describe('when the broker does not confirm', () => {
  it('keeps successor and outcomes in the store, and acks', async () => {
    const { deliver, broker, parked, caller, clock } = setUp();
    broker.away.add('publishToNode').add('publishOutcomes');
    caller.script = () => 'refused';
    expect(await deliver(fresh())).toBe('ack');
    expect(parked.parked).toMatchObject([
      {
        message: { kind: 'successor', queue: { nodeCode: 'A' }, message: { chain: { attempt: 2 } } },
        dueAt: clock.time + 10,
      },
      { message: { kind: 'outcomes', outcomes: [{ state: 'retrying' }] }, dueAt: clock.time },
    ]);
  });

  it('asks the broker alone for a while', async () => {
    const { deliver, broker, parked, caller } = setUp({}, { patienceMs: 60_000 });
    broker.away.add('publishToNode');
    caller.script = () => 'refused';
    const delivered = deliver(fresh());
    await until('it was refused', () => caller.calls.length === 1);
    broker.away.clear();
    expect(await delivered).toBe('ack');
    expect(parked.parked).toEqual([]);
    expect(broker.successors).toHaveLength(1);
  });

  it('nor the store, holds what it has, says so, and acks once one is back', async () => {
    const { deliver, broker, parked, caller, stuck, clock } = setUp();
    broker.away.add('publishToNode');
    parked.away = true;
    caller.script = () => 'refused';
    let settlement: unknown = null;
    const delivered = deliver(fresh()).then((value) => (settlement = value));
    await until('it is stuck', () => stuck.length === 1);
    expect(settlement).toBeNull();
    clock.time += 60;
    broker.away.clear();
    await delivered;
    expect(settlement).toBe('ack');
    expect(stuck).toEqual([true, false]);
    expect(broker.successors).toMatchObject([{ delayMs: 0 }]);
  });

  it('nor the store for longer than a message may be held, gives it back', async () => {
    const { deliver, broker, parked, clock, stuck } = setUp();
    broker.away.add('publishOutcomes');
    parked.away = true;
    const delivered = deliver(fresh());
    await until('it is stuck', () => stuck.length === 1);
    clock.time += 660_000;
    expect(await delivered).toBe('requeue');
    expect(stuck).toEqual([true, false]);
  });

  it('an announcement, records the delivery all the same', async () => {
    const exhausted = anEventType('X', { sourceId: 'EVENT_CENTER', eventTypeCode: 'DELIVERY_EXHAUSTED' });
    const { deliver, broker, parked, caller } = setUp({ eventTypes: [exhausted], listeners: [THREE[0]!, WATCHER] });
    broker.away.add('publishEvent');
    caller.script = () => ({ status: 410 });
    expect(await deliver(fresh())).toBe('ack');
    parked.away = true;
    expect(await deliver(fresh())).toBe('ack');
    expect(parked.parked.map(({ message }) => message.kind)).toEqual(['event']);
    expect(ends(broker)).toEqual(['L1 failed 1', 'L1 failed 1']);
  });
});

describe('a stop', () => {
  it('ends the chain after the call in hand and hands the rest on; what waits goes back', async () => {
    const { deliver, deliverer, broker, caller, gate } = setUp({}, { concurrency: 1 });
    let answer!: () => void;
    caller.script = () => new Promise((resolve) => (answer = () => resolve('success')));
    const calling = deliver(fresh());
    const waiting = deliver(fresh());
    await until('one is called', () => caller.calls.length === 1);
    deliverer.beginStop();
    gate.close();
    expect(await waiting).toBe('requeue');
    answer();
    expect(await calling).toBe('ack');
    expect(caller.calls).toHaveLength(1);
    expect(broker.successors).toMatchObject([
      { delayMs: 0, message: { chain: { listenerId: 'L2', settled: ['L1'] } } },
    ]);
    expect(ends(broker)).toEqual(['L1 succeeded 1']);
  });
});
