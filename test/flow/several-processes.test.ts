import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CentreClient } from '../support/centre-client.js';
import { Flow } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

/** The embedded broker lives in one process. */
const SHARED = SURROUNDINGS.filter((kind) => kind === 'RabbitMQ and MariaDB');

/** Every process sees a change within a second. */
const SEEN_WITHIN_MS = 1_000;

(SHARED.length === 0 ? describe.skip : describe)('two api processes and two workers on RabbitMQ and MariaDB', () => {
  let flow: Flow;
  let other: CentreClient;
  const dataDirs: string[] = [];

  beforeAll(async () => {
    flow = await Flow.start('RabbitMQ and MariaDB', { EVENT_CENTER_ROLE: 'api' });
    const [api] = await Promise.all([start('api'), start('worker'), start('worker')]);
    other = new CentreClient(api.url, api.token);
  });

  afterAll(async () => {
    await flow.close();
    for (const dataDir of dataDirs) rmSync(dataDir, { recursive: true, force: true });
  });

  it('lets every process see a change of the registry within a second', async () => {
    const type = await flow.eventType();
    const codes = { sourceID: type.sourceId, eventType: type.eventTypeCode };
    expect(await other.send(flow.sender, codes)).toMatchObject({ code: 'OK' });

    await flow.client.must('PATCH', `/event-types/${type.id}`, { schema: { type: 'object' } });
    await seenInTime(async () => (await other.send(flow.sender, codes)).code === 'SCHEMA_MISMATCH');

    await flow.client.must('PATCH', `/nodes/${flow.sender.appId}`, { enabled: false });
    await seenInTime(async () => (await other.send(flow.sender, codes)).code === 'UNKNOWN_APP');

    await other.must('PATCH', `/nodes/${flow.sender.appId}`, { enabled: true });
    await seenInTime(async () => (await flow.trySend(type, { userObject: '{}' })).code === 'OK');
  });

  it('owes an event sent at the other process to a listener registered just before', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    const codes = { sourceID: type.sourceId, eventType: type.eventTypeCode };
    // Knows the type from here on, so that nothing makes it ask the database.
    await other.send(flow.sender, codes);
    const listener = await flow.listener(node, type);
    const isOwed = async () => {
      const { eventId } = await other.send(flow.sender, codes);
      return (await flow.settled(eventId!)).deliveries.length === 1 ? eventId : null;
    };
    const eventId = await until('an event is owed to it', isOwed, SEEN_WITHIN_MS);
    expect(flow.callsOf(eventId, listener)).toHaveLength(1);
    expect(await flow.deliveryIn(eventId, listener, 'succeeded')).toMatchObject({ attemptCount: 1 });
  });

  it('shares the events of both among the workers, each called once and in order', async () => {
    const EVENTS = 100;
    const type = await flow.eventType();
    const node = await flow.node();
    const listeners = [await flow.listener(node, type), await flow.listener(node, type)];
    await seenInTime(async () => (await other.must('GET', `/listeners/${listeners[1]!.id}`)) !== null);
    const codes = { sourceID: type.sourceId, eventType: type.eventTypeCode };

    const answers = await Promise.all(
      Array.from({ length: EVENTS }, (_, i) => (i % 2 === 0 ? flow.client : other).send(flow.sender, codes)),
    );
    for (const { eventId } of answers) {
      await flow.settled(eventId!);
      expect(flow.callsOf(eventId!).map(({ path }) => path)).toEqual(listeners.map(({ path }) => path));
    }
  });

  it('deduplicates by key over both', async () => {
    const type = await flow.eventType();
    const fields = { sourceID: type.sourceId, eventType: type.eventTypeCode, uuid: 'over-both', userObject: 'x' };
    const first = await flow.client.send(flow.sender, fields);
    expect(await other.send(flow.sender, fields)).toMatchObject({ code: 'DUPLICATE', eventId: first.eventId });
  });

  it('keeps delivering when one worker ends', async () => {
    const type = await flow.eventType();
    const listener = await flow.listener(await flow.node(), type);
    flow.stub.answer(listener.path, { afterMs: 20 });
    const third = await start('worker');
    const eventIds = await Promise.all(Array.from({ length: 60 }, () => flow.send(type)));
    expect(await third.stop()).toBe(0);
    for (const eventId of eventIds) await flow.settled(eventId);
    expect(flow.stub.calls(listener.path)).toHaveLength(60);
  });

  it('answers health and metrics of a worker, and nothing else', async () => {
    const worker = await start('worker');
    const client = new CentreClient(worker.url, worker.token);
    expect(await client.get('/readyz')).toMatchObject({ status: 200 });
    expect((await client.get('/metrics')).text).toContain('event_center_attempts_total');
    expect((await client.call('GET', '/nodes')).status).toBe(404);
    expect(await worker.stop()).toBe(0);
  });

  async function start(role: 'api' | 'worker') {
    const dataDir = mkdtempSync(join(tmpdir(), 'event-center-flow-'));
    dataDirs.push(dataDir);
    return flow.startAnother({ EVENT_CENTER_ROLE: role }, dataDir);
  }

  async function seenInTime(isSeen: () => Promise<boolean>): Promise<void> {
    await until('the change is seen', isSeen, SEEN_WITHIN_MS);
  }
});
