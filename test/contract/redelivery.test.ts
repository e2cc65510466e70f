import { uuidV7 } from '../../src/core/ids.js';
import type { ChainPosition, Event, Listener } from '../../src/core/model.js';
import { Redelivery } from '../../src/core/redelivering/redelivery.js';
import { Sweeper } from '../../src/core/redelivering/sweep.js';
import { SqlClaimStore } from '../../src/store/claim-store.js';
import { uuidToBytes } from '../../src/store/columns.js';
import type { Database } from '../../src/store/database.js';
import { SqlRedeliveryStore } from '../../src/store/redelivery-store.js';
import { rowsOf } from '../../src/store/sql.js';
import { recordingLog } from '../support/accepting.js';
import { describeEachDatabase, type TestDatabase } from '../support/databases.js';
import { countRows, deliveriesOf, eventStateIn, seedEvent } from '../support/journal-seed.js';
import {
  aListener,
  anEvent,
  anOutcome,
  countingIncidents,
  EditableRegistry,
  ManualClock,
  NodeQueues,
} from '../support/redelivering.js';

const GRACE_MS = 900_000;

describeEachDatabase('acting on recorded deliveries', (create) => {
  const typeId = uuidV7();
  let test: TestDatabase;
  let database: Database;
  let registry: EditableRegistry;
  let queues: NodeQueues;
  let clock: ManualClock;
  let store: SqlRedeliveryStore;
  let redelivery: Redelivery;
  let first: Listener;
  let second: Listener;
  let third: Listener;
  let event: Event;

  beforeAll(async () => {
    test = await create();
    database = await test.openMigrated();
  });
  afterAll(() => test.remove());

  beforeEach(() => {
    registry = new EditableRegistry();
    const nodeCode = uuidV7();
    first = registry.add(aListener(nodeCode, typeId, { operIndex: 1 }));
    second = registry.add(aListener(nodeCode, typeId, { operIndex: 2 }));
    third = registry.add(aListener(nodeCode, typeId, { operIndex: 3 }));
    event = anEvent({ eventTypeId: typeId });
    queues = new NodeQueues();
    clock = new ManualClock();
    store = new SqlRedeliveryStore({ database });
    redelivery = new Redelivery({ store, broker: queues, registry, metrics: countingIncidents(), clock });
  });

  const seed = (outcomes: Parameters<typeof anOutcome>[2][], listeners = [first, second, third]) =>
    seedEvent(database, event, {
      listeners,
      outcomes: outcomes.map((outcome, index) => anOutcome(event, listeners[index] as Listener, outcome)),
    });

  const statesNow = async () => {
    const deliveries = await deliveriesOf(database, event.eventId);
    return [first, second, third].map(({ id }) => {
      const delivery = deliveries.get(id);
      return delivery === undefined ? null : `${delivery.state} ${delivery.generation}`;
    });
  };

  const chainNow = async () => {
    const sql = 'SELECT generation, sequence, message_id FROM pub_event_chain WHERE event_id = ?';
    return database.run((manager) => rowsOf(manager, sql, [uuidToBytes(event.eventId)]));
  };

  describe('a retry', () => {
    it('publishes an exhausted delivery under a new generation, counting attempts on', async () => {
      await seed([{ state: 'succeeded' }, { state: 'failed', attempt: 6 }, { state: 'succeeded' }]);
      await redelivery.retry(event.eventId, second.id);
      expect(queues.sent).toHaveLength(1);
      const { queue, message } = queues.sent[0] as (typeof queues.sent)[0];
      expect(queue).toEqual({ kind: 'url', nodeCode: first.nodeCode });
      expect(message.event).toEqual({ ...event, registryVersion: registry.version });
      expect(message.chain).toEqual({
        nodeCode: first.nodeCode,
        generation: 2,
        sequence: 0,
        targets: [second.id],
        settled: [],
        listenerId: null,
        attempt: 1,
        attemptsBefore: { [second.id]: 6 },
        dueAt: null,
      });
      expect(await statesNow()).toEqual(['succeeded 1', 'pending 2', 'succeeded 1']);
      const delivery = (await deliveriesOf(database, event.eventId)).get(second.id);
      expect(delivery).toMatchObject({ attempts: 6, reason: null, nextAttemptAt: null, updatedAt: clock.time });
      expect(await eventStateIn(database, event.eventId)).toBe('pending');
      expect(await chainNow()).toEqual([{ generation: 2, sequence: 0, message_id: null }]);
    });

    it('runs a plugin through the queue of plugins', async () => {
      registry.edit(first.id, { url: null, implClassName: 'Plugin' });
      await seed([{ state: 'failed' }], [first]);
      await redelivery.retry(event.eventId, first.id);
      expect(queues.sent[0]?.queue).toEqual({ kind: 'plugin', nodeCode: first.nodeCode });
    });

    it('does not wait for the time of a retrying delivery, and takes the ones behind it along', async () => {
      await seed([{ state: 'retrying', nextAttemptAt: clock.time + 60_000 }]);
      await redelivery.retry(event.eventId, first.id);
      expect(queues.chains).toEqual([
        { nodeCode: first.nodeCode, generation: 2, targets: [first.id, second.id, third.id] },
      ]);
      expect(await statesNow()).toEqual(['pending 2', 'pending 2', 'pending 2']);
    });

    it('takes along what the chain skipped when it stopped', async () => {
      await seed([
        { state: 'failed', attempt: 6 },
        { state: 'skipped', reason: 'chain-stopped', called: false, attempt: 0 },
        { state: 'skipped', reason: 'listener-disabled', called: false, attempt: 0 },
      ]);
      await redelivery.retry(event.eventId, first.id);
      expect(queues.chains[0]?.targets).toEqual([first.id, second.id]);
      expect(await statesNow()).toEqual(['pending 2', 'pending 2', 'skipped 1']);
    });

    it('is refused while the delivery is pending or an earlier one is unsettled', async () => {
      await seed([{ state: 'retrying', nextAttemptAt: clock.time + 60_000 }, { state: 'failed' }]);
      await expect(redelivery.retry(event.eventId, third.id)).rejects.toMatchObject({ code: 'NOT_RETRYABLE' });
      await expect(redelivery.retry(event.eventId, second.id)).rejects.toMatchObject({
        code: 'NOT_RETRYABLE',
        message: expect.stringContaining(first.id),
      });
      expect(queues.sent).toEqual([]);
      expect(await statesNow()).toEqual(['retrying 1', 'failed 1', 'pending 1']);
    });

    it('is refused for a listener that was deleted or is disabled', async () => {
      await seed([{ state: 'failed' }, { state: 'failed' }]);
      registry.remove(first.id);
      registry.edit(second.id, { enabled: false });
      for (const { id } of [first, second]) {
        await expect(redelivery.retry(event.eventId, id)).rejects.toMatchObject({ code: 'NOT_RETRYABLE' });
      }
      expect(queues.sent).toEqual([]);
    });

    it('does not know a delivery that nobody recorded', async () => {
      await seed([{ state: 'failed' }], [first]);
      await expect(redelivery.retry(event.eventId, second.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
      await expect(redelivery.retry(uuidV7(), first.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });

    it('changes nothing when the broker does not confirm', async () => {
      await seed([{ state: 'failed', attempt: 6 }], [first]);
      queues.away = true;
      await expect(redelivery.retry(event.eventId, first.id)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect((await statesNow())[0]).toBe('failed 1');
      expect(await eventStateIn(database, event.eventId)).toBe('failed');
      expect(await chainNow()).toEqual([]);
      queues.away = false;
      await redelivery.retry(event.eventId, first.id);
      expect(queues.chains[0]?.generation).toBe(2);
    });

    it('happens once when several ask at the same time', async () => {
      await seed([{ state: 'failed', attempt: 6 }], [first]);
      const asked = await Promise.allSettled(
        Array.from({ length: 4 }, () => redelivery.retry(event.eventId, first.id)),
      );
      expect(asked.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
      expect(queues.chains.map((chain) => chain.generation)).toEqual([2]);
    });
  });

  it('gives each of many simultaneous actions on a chain a generation of its own', async () => {
    await seed([{ state: 'failed', attempt: 2 }, { state: 'failed', attempt: 2 }, { state: 'succeeded' }]);
    const key = { eventId: event.eventId, nodeCode: first.nodeCode };
    const snapshot = registry.current();
    await Promise.all([
      redelivery.retry(event.eventId, first.id),
      ...Array.from({ length: 5 }, () =>
        redelivery.raise(key, snapshot, ({ deliveries }) =>
          deliveries.filter((delivery) => delivery.listenerId === second.id),
        ),
      ),
    ]);
    const generations = queues.chains.map((chain) => chain.generation);
    expect(generations).toEqual([2, 3, 4, 5, 6, 7]);
    // Whoever came last runs all that is unsettled, so that every older message can be dropped.
    expect(queues.chains.at(-1)?.targets).toEqual([first.id, second.id]);
    expect(await statesNow()).toEqual(['pending 7', 'pending 7', 'succeeded 1']);
    expect(await chainNow()).toEqual([{ generation: 7, sequence: 0, message_id: null }]);

    const claims = new SqlClaimStore({ database });
    const results = [];
    for (const { message } of queues.sent) {
      const { generation, sequence } = message.chain as ChainPosition;
      results.push((await claims.claim({ ...key, generation, sequence, messageId: `m${generation}` })).result);
    }
    expect(results).toEqual(['stale', 'stale', 'stale', 'stale', 'stale', 'granted']);
    const twin = await claims.claim({ ...key, generation: 7, sequence: 0, messageId: 'twin' });
    expect(twin.result).toBe('lost');
  });

  describe('a cancel', () => {
    it('stops a retrying delivery and lets the rest of the chain go on at once', async () => {
      await seed([{ state: 'retrying', attempt: 3, nextAttemptAt: clock.time + 60_000 }]);
      await redelivery.cancel(event.eventId, first.id);
      expect(queues.chains).toEqual([{ nodeCode: first.nodeCode, generation: 2, targets: [second.id, third.id] }]);
      expect(await statesNow()).toEqual(['cancelled 2', 'pending 2', 'pending 2']);
      const delivery = (await deliveriesOf(database, event.eventId)).get(first.id);
      expect(delivery).toMatchObject({ reason: 'cancelled', attempts: 3, nextAttemptAt: null });
    });

    it('makes the waiting message stale when nothing is left to run', async () => {
      await seed([{ state: 'retrying', nextAttemptAt: clock.time + 60_000 }], [first]);
      await redelivery.cancel(event.eventId, first.id);
      expect(queues.sent).toEqual([]);
      expect(await chainNow()).toEqual([{ generation: 2, sequence: 0, message_id: null }]);
      expect(await eventStateIn(database, event.eventId)).toBe('skipped');
    });

    it('closes a pending delivery without a second message: the one under way finds it settled', async () => {
      await seed([{ state: 'retrying', nextAttemptAt: clock.time + 60_000 }]);
      await redelivery.cancel(event.eventId, second.id);
      expect(queues.sent).toEqual([]);
      expect(await statesNow()).toEqual(['retrying 1', 'cancelled 1', 'pending 1']);
      const successor = {
        eventId: event.eventId,
        nodeCode: first.nodeCode,
        generation: 1,
        sequence: 1,
        messageId: 'm',
      };
      const claim = await new SqlClaimStore({ database }).claim(successor);
      expect(claim).toEqual({ result: 'granted', settled: new Map([[second.id, 'cancelled']]) });
    });

    it('is refused for a settled delivery and an unknown one', async () => {
      await seed([{ state: 'succeeded' }], [first]);
      await expect(redelivery.cancel(event.eventId, first.id)).rejects.toMatchObject({ code: 'CONFLICT' });
      await expect(redelivery.cancel(event.eventId, second.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    });
  });

  describe('the sweeper', () => {
    const signal = new AbortController().signal;
    let depth: number | null;
    let sweeper: Sweeper;
    let metrics: ReturnType<typeof countingIncidents>;

    beforeEach(async () => {
      await database.run((manager) => manager.query('DELETE FROM pub_event_delivery'));
      depth = 0;
      metrics = countingIncidents();
      sweeper = new Sweeper({
        store,
        redelivery,
        broker: { depth: () => Promise.resolve(depth) },
        registry,
        isBehind: () => false,
        log: recordingLog(),
        metrics,
        clock,
        intervalMs: 60_000,
        graceMs: GRACE_MS,
      });
    });

    /** Two runs, a grace apart. */
    const sweepTwice = async () => {
      await sweeper.sweep(signal);
      clock.time += GRACE_MS;
      await sweeper.sweep(signal);
    };

    it('publishes lost chains again, once, whoever else sweeps', async () => {
      await seed([{ state: 'succeeded' }]);
      const other = new Sweeper({
        store,
        redelivery,
        broker: { depth: () => Promise.resolve(null) },
        registry,
        isBehind: () => false,
        log: recordingLog(),
        metrics,
        clock,
        intervalMs: 60_000,
        graceMs: GRACE_MS,
      });
      await Promise.all([sweeper.sweep(signal), other.sweep(signal)]);
      expect(queues.sent).toEqual([]);
      clock.time += GRACE_MS;
      await Promise.all([sweeper.sweep(signal), other.sweep(signal)]);
      expect(queues.chains).toEqual([{ nodeCode: first.nodeCode, generation: 2, targets: [second.id, third.id] }]);
      expect(metrics.incidents.get('delivery.swept')).toBe(1);
    });

    it('leaves a chain alone that waits for its next attempt, however long the ones behind it are pending', async () => {
      await seed([{ state: 'retrying', nextAttemptAt: clock.time + 2 * GRACE_MS }]);
      await sweepTwice();
      expect(queues.sent).toEqual([]);
      clock.time += GRACE_MS + 1;
      await sweepTwice();
      expect(queues.chains[0]?.targets).toEqual([first.id, second.id, third.id]);
    });

    it('leaves a chain alone of which something was recorded within the grace', async () => {
      await seed([{ state: 'succeeded', startedAt: clock.time + 10 }]);
      await sweepTwice();
      expect(queues.sent).toEqual([]);
    });

    it('closes what belongs to a deleted listener or node', async () => {
      await seed([{ state: 'succeeded' }]);
      registry.remove(second.id);
      await sweepTwice();
      expect(queues.chains).toEqual([{ nodeCode: first.nodeCode, generation: 2, targets: [third.id] }]);
      const closed = (await deliveriesOf(database, event.eventId)).get(second.id);
      expect(closed).toMatchObject({ state: 'cancelled', reason: 'listener-deleted' });

      registry.remove(first.id);
      registry.remove(third.id);
      registry.nodes = [];
      clock.time += GRACE_MS + 1;
      await sweeper.sweep(signal);
      expect(queues.sent).toHaveLength(1);
      expect(await statesNow()).toEqual(['succeeded 1', 'cancelled 2', 'cancelled 3']);
      expect(await eventStateIn(database, event.eventId)).toBe('succeeded');
    });

    it('does not look at deliveries without a recorded event', async () => {
      await seed([]);
      await database.run((manager) => manager.query('DELETE FROM pub_event'));
      await sweepTwice();
      expect(await countRows(database, 'pub_event_delivery')).toBe(3);
      expect(queues.sent).toEqual([]);
    });
  });
});
