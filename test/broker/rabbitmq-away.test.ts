import { connect } from 'amqplib';
import type { EventMessage } from '../../src/core/model.js';
import type { Broker, NodeQueue } from '../../src/core/ports.js';
import { brokerFixture, type BrokerFixture } from '../support/brokers.js';
import { aMessage, anOutcome } from '../support/messages.js';
import { pause } from '../support/pause.js';
import { TEST_BROKER_URL } from '../support/raw-broker.js';
import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { until } from '../support/until.js';

const TYPE = '44444444-4444-4444-8444-444444444444';
const A: NodeQueue = { kind: 'url', nodeCode: 'A' };

/** `connection.blocked` and `connection.unblocked` as the broker sends them (RabbitMQ, "Blocked connections"). */
const BLOCKED = methodFrame(Buffer.concat([Buffer.from([0, 10, 0, 60]), Buffer.from([9]), Buffer.from('low on di')]));
const UNBLOCKED = methodFrame(Buffer.from([0, 10, 0, 61]));

function methodFrame(payload: Buffer): Buffer {
  const header = Buffer.alloc(7);
  header.writeUInt8(1, 0);
  header.writeUInt32BE(payload.length, 3);
  return Buffer.concat([header, payload, Buffer.from([0xce])]);
}

describe('the RabbitMQ broker while RabbitMQ is away', () => {
  let fixture: BrokerFixture;
  let proxy: TcpProxy;
  let url: string;

  beforeEach(async () => {
    fixture = brokerFixture('rabbitmq');
    const target = new URL(TEST_BROKER_URL);
    proxy = await tcpProxy({ host: target.hostname, port: Number(target.port || 5672) });
    target.hostname = '127.0.0.1';
    target.port = String(proxy.port);
    url = target.href;
  });

  afterEach(async () => {
    await fixture.cleanup();
    await proxy.close();
  });

  async function bind(broker: Broker): Promise<void> {
    await broker.ensureTopology({ nodeQueues: [{ ...A, eventTypeIds: [TYPE] }], delaysMs: [] });
  }

  const code = (error: unknown): unknown => (error as { code?: unknown }).code;

  /** Publishes until told to stop; says which events were confirmed and how the others failed. */
  function publishing(broker: Broker) {
    const confirmed: string[] = [];
    const refused: unknown[] = [];
    let on = true;
    const one = async (): Promise<void> => {
      while (on) {
        const message = aMessage({ eventTypeId: TYPE });
        try {
          await broker.publishEvent(message);
          confirmed.push(message.event.eventId);
        } catch (error) {
          refused.push(code(error));
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      }
    };
    const running = Promise.all(Array.from({ length: 20 }, one));
    return {
      confirmed,
      refused,
      stop: async () => {
        on = false;
        await running;
      },
    };
  }

  it('refuses with UNAVAILABLE and says why, and gets ready when RabbitMQ comes', async () => {
    proxy.cut();
    const broker = fixture.make({ url });
    await broker.start();
    await expect(broker.waitUntilReady(200)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(broker.publishEvent(aMessage())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(bind(broker)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(broker.depth({ kind: 'journal' })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(broker.status()).toMatchObject({ ready: false, problem: expect.stringContaining(String(proxy.port)) });
    proxy.restore();
    await broker.waitUntilReady(20_000);
    await until('what was asked for meanwhile is declared', async () => (await broker.depth(A)) === 0);
  });

  it('keeps its connection and what is unconfirmed when the wall clock jumps an hour ahead', async () => {
    const broker = await fixture.start({ url });
    await bind(broker);
    const connections = proxy.connections();
    proxy.freeze();
    const publishing = broker.publishEvent(aMessage({ eventTypeId: TYPE }));
    const trueNow = Date.now;
    const jumped = jest.spyOn(Date, 'now').mockImplementation(() => trueNow() + 3_600_000);
    try {
      // Longer than it takes to look for what is overdue.
      await new Promise((resolve) => setTimeout(resolve, 500));
      proxy.thaw();
      await publishing;
    } finally {
      jumped.mockRestore();
    }
    expect(proxy.connections()).toBe(connections);
  });

  it('has every confirmed event, however often the connections are cut while publishing', async () => {
    const broker = await fixture.start({ url });
    await bind(broker);
    const publisher = publishing(broker);
    for (let round = 1; round <= 4; round += 1) {
      await until('some are confirmed', () => publisher.confirmed.length >= round * 300);
      proxy.cutOnce();
    }
    await until('publishing works again', () => publisher.confirmed.length >= 1800);
    await publisher.stop();
    expect(new Set(publisher.refused)).toEqual(new Set(['UNAVAILABLE']));
    const [journal, node] = [new Set<string>(), new Set<string>()];
    const into =
      (seen: Set<string>) =>
      async ({ message }: { message: EventMessage }) => {
        seen.add(message.event.eventId);
        return 'ack' as const;
      };
    await broker.consumeNode(A, { prefetch: 100 }, into(node));
    await broker.consumeJournal({ prefetch: 100 }, into(journal));
    await until(
      'all came',
      async () => (await broker.depth(A)) === 0 && (await broker.depth({ kind: 'journal' })) === 0,
    );
    await until('no confirmed one is missing', () =>
      publisher.confirmed.every((id) => node.has(id) && journal.has(id)),
    );
  });

  it('goes on consuming after a cut, and gets again what was in hand', async () => {
    const broker = await fixture.start({ url });
    await bind(broker);
    const seen: { id: string; redelivered: boolean }[] = [];
    let finish = (): void => {};
    const first = new Promise<void>((resolve) => (finish = resolve));
    await broker.consumeNode(A, { prefetch: 1 }, async ({ message, redelivered }) => {
      seen.push({ id: message.event.eventId, redelivered });
      if (seen.length === 1) await first;
      return 'ack';
    });
    const [one, two] = [aMessage({ eventTypeId: TYPE }), aMessage({ eventTypeId: TYPE })];
    await broker.publishEvent(one);
    await broker.publishEvent(two);
    await until('the first is in hand', () => seen.length === 1);
    proxy.cutOnce();
    await until('the loss is noticed', () => !broker.status().ready);
    await broker.waitUntilReady(20_000);
    // Its acknowledgement belongs to a channel that is gone.
    finish();
    await until('both came', () => seen.length >= 3);
    expect(seen).toEqual([
      { id: one.event.eventId, redelivered: false },
      { id: one.event.eventId, redelivered: true },
      { id: two.event.eventId, redelivered: false },
    ]);
    await until('the queue is empty', async () => (await broker.depth(A)) === 0);
  });

  it('gives up a publish after the confirm time-out, and a connection that fell silent after the heartbeats', async () => {
    const broker = await fixture.start({ url, confirmTimeoutMs: 300, heartbeatSeconds: 1 });
    await bind(broker);
    proxy.freeze();
    const before = Date.now();
    await expect(broker.publishEvent(aMessage({ eventTypeId: TYPE }))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(Date.now() - before).toBeLessThan(2000);
    await until('the silence is noticed', () => !broker.status().ready);
    proxy.thaw();
    await broker.waitUntilReady(20_000);
    await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
  });

  it('bounds what waits while nothing is confirmed', async () => {
    const broker = await fixture.start({ url, confirmTimeoutMs: 2000 });
    proxy.freeze();
    const all = Array.from({ length: 15_000 }, () => broker.publishEvent(aMessage({ eventTypeId: TYPE })));
    const results = await Promise.allSettled(all);
    expect(results.every((result) => result.status === 'rejected' && code(result.reason) === 'UNAVAILABLE')).toBe(true);
    expect(results.some((result) => result.status === 'rejected' && /already wait/.test(String(result.reason)))).toBe(
      true,
    );
    proxy.thaw();
  });

  it('tries the next address when one does not answer', async () => {
    const broker = await fixture.start({ url: `amqp://127.0.0.1:1,${url}` });
    expect(broker.status().ready).toBe(true);
    expect(proxy.connections()).toBe(2);
  });

  it('publishes nothing while RabbitMQ blocks publishers, and goes on consuming', async () => {
    const broker = await fixture.start({ url });
    await bind(broker);
    await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
    proxy.say(BLOCKED);
    await until('it is blocked', () => broker.status().blocked);
    expect(broker.status()).toMatchObject({ ready: false, problem: expect.stringContaining('low on di') });
    await expect(broker.publishEvent(aMessage())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const seen: EventMessage[] = [];
    await broker.consumeNode(A, { prefetch: 1 }, ({ message }) => {
      seen.push(message);
      return Promise.resolve('ack');
    });
    await until('it is consumed', () => seen.length === 1);
    proxy.say(UNBLOCKED);
    await until('it is unblocked', () => !broker.status().blocked);
    await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
    await until('it is consumed', () => seen.length === 2);
  });

  it('lets newly declared queues rest before it is ready, and old ones not', async () => {
    const before = Date.now();
    const first = await fixture.start({ url, settleMs: 1500 });
    expect(Date.now() - before).toBeGreaterThanOrEqual(1500);
    await first.stop();
    const again = Date.now();
    await fixture.start({ url, settleMs: 1500 });
    expect(Date.now() - again).toBeLessThan(1500);
  });

  describe('when queues are deleted by others', () => {
    async function deleteQueue(name: string): Promise<void> {
      const connection = await connect(TEST_BROKER_URL);
      const channel = await connection.createChannel();
      await channel.deleteQueue(name);
      await connection.close();
    }

    it('declares a consumed queue again and goes on consuming', async () => {
      const broker = await fixture.start({ url });
      await bind(broker);
      const seen: EventMessage[] = [];
      await broker.consumeNode(A, { prefetch: 1 }, ({ message }) => {
        seen.push(message);
        return Promise.resolve('ack');
      });
      await deleteQueue(fixture.names.node(A));
      await until('an event comes again', async () => {
        await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
        return seen.length > 0;
      });
    });

    it('declares again what others have removed, when asked to', async () => {
      const broker = await fixture.start({ url });
      await bind(broker);
      await deleteQueue(fixture.names.node(A));
      await bind(broker);
      expect(await broker.depth(A)).toBeNull();
      await broker.ensureTopology({ nodeQueues: [{ ...A, eventTypeIds: [TYPE] }], delaysMs: [] }, { again: true });
      await broker.publishEvent(aMessage({ eventTypeId: TYPE }));
      await until('its node has it', async () => (await broker.depth(A)) === 1);
    });

    it('refuses an event that no queue takes, and repairs', async () => {
      const broker = await fixture.start({ url });
      await deleteQueue(fixture.names.journal);
      await expect(broker.publishEvent(aMessage())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await until('it is repaired', () => broker.publishEvent(aMessage()).then(() => true));
      expect(await broker.depth({ kind: 'journal' })).toBeGreaterThan(0);
    });

    it('hands on what comes to an own queue that is deleted in the middle of a stream', async () => {
      const broker = await fixture.start({ url });
      let seen = 0;
      await broker.consumeOutcomes({ prefetch: 1_000 }, () => {
        seen += 1;
        return Promise.resolve('ack');
      });
      let isOver = false;
      const publish = async (): Promise<void> => {
        while (!isOver) {
          await broker.publishOutcomes([anOutcome()]).catch(() => pause(20));
          await pause(5);
        }
      };
      const streams = [publish(), publish(), publish(), publish()];
      await until('they come', () => seen > 50);
      await deleteQueue(fixture.names.outcomes);
      const before = seen;
      await until('they come again', () => seen > before + 500).finally(() => (isOver = true));
      await Promise.all(streams);
    });

    it('refuses what its exchange does not take, and repairs', async () => {
      const broker = await fixture.start({ url });
      await bind(broker);
      const connection = await connect(TEST_BROKER_URL);
      const channel = await connection.createChannel();
      await channel.deleteExchange(fixture.names.events);
      await connection.close();
      await expect(broker.publishEvent(aMessage({ eventTypeId: TYPE }))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await until('it is repaired', () => broker.publishEvent(aMessage({ eventTypeId: TYPE })).then(() => true));
      await until('its node has it', async () => (await broker.depth(A)) === 1);
    });
  });
});
