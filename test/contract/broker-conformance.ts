import { uuidV7 } from '../../src/core/ids.js';
import type { EventMessage, Outcome } from '../../src/core/model.js';
import type {
  Broker,
  DeadMessage,
  Handler,
  NodeQueue,
  Received,
  Settlement,
  Subscription,
} from '../../src/core/ports.js';
import { brokerFixture, type BrokerFixture, type BrokerKind } from '../support/brokers.js';
import { aChain, aMessage, anEvent, anOutcome } from '../support/messages.js';
import { until } from '../support/until.js';

const TYPE = '22222222-2222-4222-8222-222222222222';
const OTHER_TYPE = '33333333-3333-4333-8333-333333333333';

function node(nodeCode: string, kind: NodeQueue['kind'] = 'url'): NodeQueue {
  return { kind, nodeCode };
}

/** A handler that keeps what it gets; `settle` decides, `ack` by default. */
function collector<T>(settle: (received: Received<T>) => Settlement | Promise<Settlement> = (): Settlement => 'ack') {
  const received: Received<T>[] = [];
  const handler: Handler<T> = async (message) => {
    received.push(message);
    return settle(message);
  };
  return { received, handler, count: (n: number) => until(`${n} messages came`, () => received.length >= n) };
}

const ids = (received: Received<EventMessage>[]): string[] => received.map(({ message }) => message.event.eventId);

/** What every broker must do, whoever it is. */
export function brokerConformance(kind: BrokerKind): void {
  let fixture: BrokerFixture;
  let broker: Broker;

  beforeEach(async () => {
    fixture = brokerFixture(kind);
    broker = await fixture.start();
  });

  afterEach(async () => {
    await fixture.cleanup();
  });

  /** Stops the broker and starts another on what it left. */
  async function restart(): Promise<void> {
    await broker.stop();
    broker = await fixture.start();
  }

  async function bound(queue: NodeQueue, ...eventTypeIds: string[]): Promise<NodeQueue> {
    await broker.ensureTopology({ nodeQueues: [{ ...queue, eventTypeIds }], delaysMs: [] });
    return queue;
  }

  /** Takes the next message and acks it, and nothing more. */
  async function takeOne(queue: NodeQueue): Promise<Received<EventMessage>> {
    let known = (_: Subscription): void => {};
    const subscribed = new Promise<Subscription>((resolve) => (known = resolve));
    const taken = collector<EventMessage>(async (): Promise<Settlement> => {
      await (await subscribed).pause();
      return 'ack';
    });
    const subscription = await broker.consumeNode(queue, { prefetch: 1 }, taken.handler);
    known(subscription);
    await taken.count(1);
    await subscription.stop();
    expect(taken.received).toHaveLength(1);
    return taken.received[0] as Received<EventMessage>;
  }

  async function takeDead(): Promise<DeadMessage> {
    const dead = collector<DeadMessage>();
    const subscription = await broker.consumeDead({ prefetch: 10 }, dead.handler);
    await dead.count(1);
    await subscription.stop();
    return (dead.received[0] as Received<DeadMessage>).message;
  }

  const depthIs = (queue: Parameters<Broker['depth']>[0], depth: number | null): Promise<boolean> =>
    until(`the depth of ${JSON.stringify(queue)} is ${depth}`, async () => (await broker.depth(queue)) === depth);

  describe('publishing', () => {
    it('brings an event once to the journal and to every node queue that is bound for its type', async () => {
      const a = await bound(node('A'), TYPE);
      const b = await bound(node('B'), TYPE, OTHER_TYPE);
      const plugin = await bound(node('B', 'plugin'), TYPE);
      const other = await bound(node('C'), OTHER_TYPE);
      const message = aMessage({ eventTypeId: TYPE });
      await broker.publishEvent(message);
      for (const queue of [{ kind: 'journal' } as const, a, b, plugin]) await depthIs(queue, 1);
      expect(await broker.depth(other)).toBe(0);
      const taken = await takeOne(a);
      expect(taken.message).toEqual(message);
      expect(taken.redelivered).toBe(false);
      expect(taken.bytes).toBe(message.event.userObject?.length);
    });

    it('gives all queues the same message id and each publish its own', async () => {
      const a = await bound(node('A'), TYPE);
      const b = await bound(node('B'), TYPE);
      const message = aMessage({ eventTypeId: TYPE });
      await broker.publishEvent(message);
      const [fromA, fromB] = [await takeOne(a), await takeOne(b)];
      expect(fromA.messageId).toBe(fromB.messageId);
      await broker.publishEvent(message);
      expect((await takeOne(a)).messageId).not.toBe(fromA.messageId);
    });

    it.each([
      ['absent', null],
      ['empty', Buffer.alloc(0)],
      ['not text', Buffer.from([0xff, 0x00, 0xfe])],
      ['1 MiB', Buffer.alloc(1024 * 1024, 'x')],
    ])('carries a payload that is %s byte for byte', async (_name, userObject) => {
      const a = await bound(node('A'), TYPE);
      await broker.publishEvent(aMessage({ eventTypeId: TYPE, userObject }));
      const { message } = await takeOne(a);
      if (userObject === null) expect(message.event.userObject).toBeNull();
      else expect(Buffer.compare(message.event.userObject as Buffer, userObject)).toBe(0);
    });

    it('carries where a chain stands, however long', async () => {
      const a = await bound(node('A'), TYPE);
      const chain = aChain({
        targets: Array.from({ length: 1500 }, () => uuidV7()),
        settled: Array.from({ length: 1500 }, () => uuidV7()),
        listenerId: uuidV7(),
        attemptsBefore: { [uuidV7()]: 3 },
        dueAt: 12345,
      });
      const message = aMessage({ eventTypeId: TYPE, userObject: Buffer.from('körper') }, { chain, claimSteps: true });
      await broker.publishToNode(a, message, 0);
      expect((await takeOne(a)).message).toEqual(message);
    });

    it('brings a scheduled event to the journal only', async () => {
      const a = await bound(node('A'), TYPE);
      const event = anEvent({ eventTypeId: TYPE, deliverAt: Date.now() + 60_000 });
      await broker.publishToJournal(event);
      const journal = collector<EventMessage>();
      await broker.consumeJournal({ prefetch: 10 }, journal.handler);
      await journal.count(1);
      expect(journal.received[0]?.message.event).toEqual(event);
      expect(await broker.depth(a)).toBe(0);
    });

    it('brings a message for one node to that node only, past the journal', async () => {
      const a = await bound(node('A'), TYPE);
      const b = await bound(node('B'), TYPE);
      const message = aMessage({ eventTypeId: TYPE }, { chain: aChain({ nodeCode: 'A' }) });
      await broker.publishToNode(a, message, 0);
      expect((await takeOne(a)).message).toEqual(message);
      expect(await broker.depth(b)).toBe(0);
      expect(await broker.depth({ kind: 'journal' })).toBe(0);
    });

    it('keeps a message for a node without a queue in the dead queue', async () => {
      const message = aMessage({}, { chain: aChain({ nodeCode: 'NOBODY' }) });
      await broker.publishToNode(node('NOBODY'), message, 0);
      const dead = await takeDead();
      expect(dead.message).toEqual(message);
      expect(dead.queue).toBe(fixture.names.node(node('NOBODY')));
      expect(dead.reason).toMatch(/there is no queue .*NOBODY/);
    });

    it('carries batches of outcomes', async () => {
      const outcomes = [
        anOutcome(),
        anOutcome({ state: 'retrying', status: null, error: 'no answer', nextAttemptAt: 99 }),
      ];
      await broker.publishOutcomes(outcomes);
      const taken = collector<Outcome[]>();
      await broker.consumeOutcomes({ prefetch: 10 }, taken.handler);
      await taken.count(1);
      expect(taken.received[0]?.message).toEqual(outcomes);
    });

    it('confirms 500 publishes at a time, and has each of them', async () => {
      const a = await bound(node('A'), TYPE);
      const messages = Array.from({ length: 500 }, () => aMessage({ eventTypeId: TYPE }));
      await Promise.all(messages.map((message) => broker.publishEvent(message)));
      const taken = collector<EventMessage>();
      await broker.consumeNode(a, { prefetch: 100 }, taken.handler);
      await taken.count(500);
      expect(ids(taken.received).sort()).toEqual(messages.map(({ event }) => event.eventId).sort());
    });

    it('refuses with UNAVAILABLE after it was stopped', async () => {
      await broker.stop();
      await expect(broker.publishEvent(aMessage())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(broker.status()).toMatchObject({ ready: false, problem: expect.any(String) });
    });
  });

  describe('taking', () => {
    it('hands out what is one after another in the order of publishing', async () => {
      const a = await bound(node('A'), TYPE);
      const messages = Array.from({ length: 20 }, () => aMessage({ eventTypeId: TYPE }));
      for (const message of messages) await broker.publishEvent(message);
      const taken = collector<EventMessage>();
      await broker.consumeNode(a, { prefetch: 5 }, taken.handler);
      await taken.count(20);
      expect(ids(taken.received)).toEqual(messages.map(({ event }) => event.eventId));
    });

    it('removes what is acked, and only that, over a restart', async () => {
      const a = await bound(node('A'), TYPE);
      const [first, second] = [aMessage({ eventTypeId: TYPE }), aMessage({ eventTypeId: TYPE })];
      await broker.publishEvent(first);
      await broker.publishEvent(second);
      expect((await takeOne(a)).message).toEqual(first);
      await restart();
      await depthIs(a, 1);
      expect((await takeOne(a)).message).toEqual(second);
      await depthIs(a, 0);
    });

    it('hands out again, as redelivered and under the same id, what was in hand at a restart', async () => {
      const a = await bound(node('A'), TYPE);
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      const before = collector<EventMessage>(async (): Promise<Settlement> => {
        // The last moment at which a settlement can still reach the broker.
        await stopping;
        return 'requeue';
      });
      let stop = (): void => {};
      const stopping = new Promise<void>((resolve) => (stop = resolve));
      const subscription = await broker.consumeNode(a, { prefetch: 1 }, before.handler);
      await before.count(1);
      await subscription.pause();
      stop();
      await restart();
      const again = await takeOne(a);
      expect(again.messageId).toBe(before.received[0]?.messageId);
      expect(again.redelivered).toBe(true);
    });

    it('hands out again what a handler requeues, before what came later', async () => {
      const a = await bound(node('A'), TYPE);
      const [first, second] = [aMessage({ eventTypeId: TYPE }), aMessage({ eventTypeId: TYPE })];
      await broker.publishEvent(first);
      await broker.publishEvent(second);
      const taken = collector<EventMessage>(({ redelivered }) => (redelivered ? 'ack' : 'requeue'));
      await broker.consumeNode(a, { prefetch: 1 }, taken.handler);
      await taken.count(4);
      const [one, two] = [first.event.eventId, second.event.eventId];
      expect(ids(taken.received)).toEqual([one, one, two, two]);
      expect(taken.received.map(({ redelivered }) => redelivered)).toEqual([false, true, false, true]);
    });

    it('takes a handler that rejects for one that requeues', async () => {
      const a = await bound(node('A'), TYPE);
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      const taken = collector<EventMessage>(({ redelivered }) => {
        if (!redelivered) throw new Error('a bug');
        return 'ack';
      });
      await broker.consumeNode(a, { prefetch: 1 }, taken.handler);
      await taken.count(2);
      await depthIs(a, 0);
      expect(await broker.depth({ kind: 'dead' })).toBe(0);
    });

    it('moves a message over which its handler rejects again and again to the dead queue, and goes on', async () => {
      const a = await bound(node('A'), TYPE);
      const [bad, good] = [aMessage({ eventTypeId: TYPE }), aMessage({ eventTypeId: TYPE })];
      await broker.publishEvent(bad);
      await broker.publishEvent(good);
      const taken = collector<EventMessage>(({ message }) => {
        if (message.event.eventId === bad.event.eventId) throw new Error('a bug');
        return 'ack';
      });
      await broker.consumeNode(a, { prefetch: 1 }, taken.handler);
      const dead = await takeDead();
      expect(dead.message).toEqual(bad);
      expect(dead.reason).toBe('given up: its handler failed 5 times, at last: a bug');
      await taken.count(6);
      await depthIs(a, 0);
    });

    it('moves what a handler calls dead to the dead queue, with the reason, and takes it back from there', async () => {
      const a = await bound(node('A'), TYPE);
      const message = aMessage({ eventTypeId: TYPE }, { chain: aChain() });
      await broker.publishToNode(a, message, 0);
      await broker.consumeNode(a, { prefetch: 1 }, () => Promise.resolve({ dead: 'the node is gone' }));
      const dead = await takeDead();
      expect(dead).toMatchObject({ reason: 'the node is gone', queue: fixture.names.node(a) });
      expect(dead.message).toEqual(message);
      await depthIs(a, 0);
      await depthIs({ kind: 'dead' }, 0);
    });

    it('gives up on a message that comes back a thousand times', async () => {
      const a = await bound(node('A'), TYPE);
      const message = aMessage({ eventTypeId: TYPE });
      await broker.publishEvent(message);
      await broker.consumeNode(a, { prefetch: 1 }, () => Promise.resolve('requeue'));
      const dead = await takeDead();
      expect(dead.message).toEqual(message);
      expect(dead.queue).toBe(fixture.names.node(a));
      expect(dead.reason).toMatch(/delivery_limit/);
      await depthIs(a, 0);
    });

    it.each<[string, NodeQueue | { kind: 'journal' | 'outcomes' }, Record<string, unknown>, RegExp]>([
      ['a node queue', node('A'), { ec: 'no json' }, /ec/],
      ['a node queue, without any header', node('A'), {}, /ec/],
      ['a node queue, of an unknown layout', node('A'), { ec: '{"v":99}' }, /ec\.v/],
      ['the journal', { kind: 'journal' }, { ec: '{"v":1}' }, /ec\.id/],
      ['the outcomes', { kind: 'outcomes' }, { ec: '{"v":1}' }, /JSON/],
    ])(
      'moves an unreadable message of %s to the dead queue, with its bytes, and goes on',
      async (_name, ref, headers, reason) => {
        const body = Buffer.from([0x66, 0xff, 0x00]);
        const a = await bound(node('A'), TYPE);
        await broker.stop();
        await fixture.inject(ref, { body, headers: { ...headers, who: 'somebody' }, messageId: 'm-1' });
        broker = await fixture.start();
        const good = aMessage({ eventTypeId: TYPE });
        await broker.publishEvent(good);
        await broker.publishOutcomes([anOutcome()]);
        const taken = collector<unknown>();
        if (ref.kind === 'journal') await broker.consumeJournal({ prefetch: 1 }, taken.handler);
        else if (ref.kind === 'outcomes') await broker.consumeOutcomes({ prefetch: 1 }, taken.handler);
        else await broker.consumeNode(a, { prefetch: 1 }, taken.handler);
        const dead = await takeDead();
        expect(dead.message).toBeNull();
        expect(dead.reason).toMatch(reason);
        expect(dead.queue).toBe(fixture.names.queue(ref));
        expect(dead.raw).toEqual(body);
        expect(JSON.parse(dead.rawHeaders)).toMatchObject({ who: 'somebody' });
        await taken.count(1);
        await depthIs(ref, 0);
      },
    );

    it('hands out no more than the prefetch before something is settled', async () => {
      const a = await bound(node('A'), TYPE);
      for (let n = 0; n < 10; n += 1) await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      const waiting: (() => void)[] = [];
      const taken = collector<EventMessage>(async (): Promise<Settlement> => {
        await new Promise<void>((resolve) => waiting.push(resolve));
        return 'ack';
      });
      await broker.consumeNode(a, { prefetch: 3 }, taken.handler);
      await taken.count(3);
      await depthIs(a, 7);
      expect(taken.received).toHaveLength(3);
      waiting.shift()?.();
      await taken.count(4);
      await depthIs(a, 6);
      expect(taken.received).toHaveLength(4);
      while (taken.received.length < 10 || waiting.length > 0) {
        waiting.shift()?.();
        await new Promise((resolve) => setImmediate(resolve));
      }
    });

    it('takes nothing while paused, settles what is in hand, and goes on when resumed', async () => {
      const a = await bound(node('A'), TYPE);
      let finish = (): void => {};
      const taken = collector<EventMessage>(async (): Promise<Settlement> => {
        if (taken.received.length === 1) await new Promise<void>((resolve) => (finish = resolve));
        return 'ack';
      });
      const subscription = await broker.consumeNode(a, { prefetch: 2 }, taken.handler);
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      await taken.count(1);
      await subscription.pause();
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      await depthIs(a, 1);
      finish();
      await depthIs(a, 1);
      expect(taken.received).toHaveLength(1);
      await subscription.resume();
      await taken.count(2);
      await depthIs(a, 0);
      expect(taken.received.map(({ redelivered }) => redelivered)).toEqual([false, false]);
    });

    it('never has more than the prefetch in hand over pauses', async () => {
      const a = await bound(node('A'), TYPE);
      for (let n = 0; n < 30; n += 1) await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      let inHand = 0;
      let most = 0;
      const taken = collector<EventMessage>(async (): Promise<Settlement> => {
        inHand += 1;
        most = Math.max(most, inHand);
        await new Promise((resolve) => setTimeout(resolve, 5));
        inHand -= 1;
        return 'ack';
      });
      const subscription = await broker.consumeNode(a, { prefetch: 2 }, taken.handler);
      for (let n = 0; n < 5; n += 1) {
        await subscription.pause();
        await subscription.resume();
      }
      await until('all came', () => new Set(ids(taken.received)).size === 30);
      expect(most).toBe(2);
    });

    it('resolves a stop when no handler is running any more', async () => {
      const a = await bound(node('A'), TYPE);
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      let finish = (): void => {};
      const taken = collector<EventMessage>(async (): Promise<Settlement> => {
        await new Promise<void>((resolve) => (finish = resolve));
        return 'ack';
      });
      const subscription: Subscription = await broker.consumeNode(a, { prefetch: 1 }, taken.handler);
      await taken.count(1);
      let stopped = false;
      const stopping = subscription.stop().then(() => (stopped = true));
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      await depthIs(a, 1);
      expect(stopped).toBe(false);
      finish();
      await stopping;
      await depthIs(a, 1);
      expect(taken.received).toHaveLength(1);
    });
  });

  describe('delaying', () => {
    it('never hands out early, and shorter delays before longer ones', async () => {
      const a = await bound(node('A'), TYPE);
      const due = new Map<string, number>();
      for (const delayMs of [400, 100, 250, 100]) {
        const message = aMessage({}, { chain: aChain() });
        due.set(message.event.eventId, Date.now() + delayMs);
        await broker.publishToNode(a, message, delayMs);
      }
      const early: string[] = [];
      const taken = collector<EventMessage>(({ message }) => {
        if (Date.now() < (due.get(message.event.eventId) as number)) early.push(message.event.eventId);
        return 'ack';
      });
      await broker.consumeNode(a, { prefetch: 10 }, taken.handler);
      await taken.count(4);
      const [slow, quick, middle, quickToo] = [...due.keys()];
      expect(ids(taken.received)).toEqual([quick, quickToo, middle, slow]);
      expect(early).toEqual([]);
      expect(taken.received.every(({ redelivered }) => !redelivered)).toBe(true);
    });

    it('keeps delayed messages over a restart', async () => {
      const a = await bound(node('A'), TYPE);
      const message = aMessage({}, { chain: aChain() });
      const dueAt = Date.now() + 300;
      await broker.publishToNode(a, message, 300);
      await restart();
      const taken = await takeOne(a);
      expect(Date.now()).toBeGreaterThanOrEqual(dueAt);
      expect(taken.message).toEqual(message);
    });

    it('keeps a delayed message whose queue is gone by then in the dead queue', async () => {
      const a = await bound(node('A'), TYPE);
      const message = aMessage({}, { chain: aChain() });
      await broker.publishToNode(a, message, 200);
      expect(await broker.deleteNodeQueue(a)).toBe(true);
      const dead = await takeDead();
      expect(dead.message).toEqual(message);
      expect(dead.queue).toBe(fixture.names.node(a));
      expect(dead.reason).toMatch(/there is no queue/);
    });
  });

  describe('the topology', () => {
    it('keeps bindings over a restart, until they are removed', async () => {
      const a = await bound(node('A'), TYPE, OTHER_TYPE);
      await broker.unbind(a, OTHER_TYPE);
      await broker.unbind(a, OTHER_TYPE);
      await restart();
      await broker.publishEvent(aMessage({ eventTypeId: OTHER_TYPE }));
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      await depthIs({ kind: 'journal' }, 2);
      await depthIs(a, 1);
      expect((await takeOne(a)).message.event.eventTypeId).toBe(TYPE);
    });

    it('adds bindings to what is there already', async () => {
      const a = await bound(node('A'), TYPE);
      await bound(a, OTHER_TYPE);
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      await broker.publishEvent(aMessage({ eventTypeId: OTHER_TYPE }));
      await depthIs(a, 2);
    });

    it('deletes a node queue only when it is empty', async () => {
      const a = await bound(node('A'), TYPE);
      await broker.publishToNode(a, aMessage(), 0);
      await depthIs(a, 1);
      expect(await broker.deleteNodeQueue(a)).toBe(false);
      await broker.publishToNode(a, aMessage(), 0);
      await depthIs(a, 2);
      const taken = collector<EventMessage>();
      const subscription = await broker.consumeNode(a, { prefetch: 1 }, taken.handler);
      await taken.count(2);
      expect(await broker.deleteNodeQueue(a)).toBe(false);
      await subscription.stop();
      await until('it is deleted', () => broker.deleteNodeQueue(a));
      expect(await broker.depth(a)).toBeNull();
      expect(await broker.deleteNodeQueue(a)).toBe(true);
      expect(await broker.depth({ kind: 'dead' })).toBe(0);
    });

    it('makes a deleted node queue again when it is needed again', async () => {
      const a = await bound(node('A'), TYPE);
      expect(await broker.deleteNodeQueue(a)).toBe(true);
      await bound(a, TYPE);
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      expect((await takeOne(a)).message.event.eventTypeId).toBe(TYPE);
    });

    it('knows no depth of a queue that is not there', async () => {
      expect(await broker.depth(node('NOBODY'))).toBeNull();
      expect(await broker.depth({ kind: 'dead' })).toBe(0);
    });

    it('declares many node queues at once', async () => {
      const nodeQueues = Array.from({ length: 20 }, (_, n) => ({ ...node(`N${n}`), eventTypeIds: [TYPE, OTHER_TYPE] }));
      await broker.ensureTopology({ nodeQueues, delaysMs: [] });
      await broker.ensureTopology({ nodeQueues, delaysMs: [] });
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      for (const queue of nodeQueues) await depthIs(queue, 1);
    });
  });

  it('tells every listener the announced version', async () => {
    const heard: number[] = [];
    broker.onVersionAnnounced(() => {
      throw new Error('a bug');
    });
    broker.onVersionAnnounced((version) => heard.push(version));
    await broker.announceVersion(7);
    await until('it is heard', () => heard.length === 1);
    await broker.announceVersion(8);
    await until('it is heard', () => heard.length === 2);
    expect(heard).toEqual([7, 8]);
  });

  it('is ready, not blocked and without a problem', () => {
    expect(broker.status()).toEqual({ ready: true, blocked: false, problem: null, unconfirmedQueues: [] });
  });
}
