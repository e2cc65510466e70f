import { EventCenterError } from '../../src/core/errors.js';
import type { Delivery } from '../../src/core/model.js';
import type { EventDetail } from '../../src/core/ports.js';
import { aManagementApp, type ManagementKit } from '../support/management.js';

let kit: ManagementKit;

beforeEach(async () => {
  kit = await aManagementApp();
});

const EVENT_ID = '0190aaaa-0000-7000-8000-00000000000e';
const TYPE_ID = '0190aaaa-0000-7000-8000-00000000000f';
const AT = Date.parse('2029-12-31T23:00:00.250Z');
const ISO = '2029-12-31T23:00:00.250Z';

function aDelivery(listenerId: string, over: Partial<Delivery> = {}): Delivery {
  return {
    eventId: EVENT_ID,
    listenerId,
    nodeCode: 'A',
    operIndex: 1,
    state: 'retrying',
    reason: null,
    generation: 2,
    attempts: 3,
    lastStatus: 500,
    lastError: 'status 500',
    lastResponse: 'oops',
    lastOutcomeId: TYPE_ID,
    lastStartedAt: AT,
    lastDurationMs: 7,
    nextAttemptAt: AT,
    createdAt: AT,
    updatedAt: AT,
    ...over,
  };
}

function anEvent(deliveries: Delivery[]): EventDetail {
  return {
    eventId: EVENT_ID,
    appId: 'S',
    eventTypeId: TYPE_ID,
    sourceId: 'USER',
    eventType: 'ADD',
    tenantCode: null,
    senderUuid: 'k',
    state: 'retrying',
    acceptedAt: AT,
    deliverAt: null,
    registryVersion: 4,
    userObject: '{"a": 1.0}',
    traceparent: null,
    deliveries,
  };
}

/** A listener that lives and one that was deleted; their ids. */
async function twoListeners(): Promise<[string, string]> {
  await kit.api('post', '/nodes', { body: { nodeCode: 'A' } });
  const type = (await kit.api('post', '/event-types', { body: { sourceId: 'USER', eventTypeCode: 'ADD' } })).body;
  const make = async (name: string) =>
    (
      await kit.api('post', '/listeners', {
        body: { name, nodeCode: 'A', eventTypeId: type.id, url: 'http://a.invalid' },
      })
    ).body.id;
  const [living, deleted] = [await make('living'), await make('deleted')];
  await kit.api('delete', `/listeners/${deleted}`);
  await kit.registry.refreshed();
  return [living, deleted];
}

describe('/events', () => {
  it('hands filters and page to the journal, times as ms', async () => {
    kit.journal.events = [anEvent([])];
    kit.journal.nextCursor = 'next';
    const query = `state=failed&sourceId=USER&eventType=ADD&tenantCode=T&appId=S&from=${ISO}&to=1900000000000&limit=7&cursor=c`;
    const res = await kit.api('get', `/events?${query}`);
    expect(kit.journal.asked).toEqual([
      [
        'listEvents',
        {
          state: 'failed',
          sourceId: 'USER',
          eventType: 'ADD',
          tenantCode: 'T',
          appId: 'S',
          from: AT,
          to: 1_900_000_000_000,
        },
        { limit: 7, cursor: 'c' },
      ],
    ]);
    expect(res.body).toEqual({
      items: [expect.objectContaining({ eventId: EVENT_ID, acceptedAt: ISO, deliverAt: null })],
      nextCursor: 'next',
    });
    expect(res.body.items[0]).not.toHaveProperty('userObject');
    await kit.api('get', '/events');
    expect(kit.journal.asked[1]).toEqual(['listEvents', {}, { limit: 50, cursor: null }]);
  });

  it('shows rows with times that are no dates, by the nearest date', async () => {
    kit.journal.events = [2 ** 53 - 1, 1 - 2 ** 53].map((acceptedAt) => ({ ...anEvent([]), acceptedAt }));
    const res = await kit.api('get', '/events');
    const shown = (res.body.items as { acceptedAt: string }[]).map(({ acceptedAt }) => acceptedAt);
    expect(shown).toEqual(['9999-12-31T23:59:59.999Z', '0000-01-01T00:00:00.000Z']);
  });

  it.each([
    ['state=dead', 'state'],
    ['from=yesterday', 'from'],
    ['to=2030-13-01T00:00:00Z', 'to'],
    ['type=ADD', 'type'],
  ])('refuses ?%s', async (query, path) => {
    const res = await kit.api('get', `/events?${query}`);
    expect([res.status, res.body.errors[0].path]).toEqual([422, path]);
    expect(kit.journal.asked).toEqual([]);
  });

  it('shows one event with its text and its deliveries, named also when their listener was deleted', async () => {
    const [living, deleted] = await twoListeners();
    kit.journal.events = [
      anEvent([aDelivery(living), aDelivery(deleted, { state: 'cancelled', nextAttemptAt: null }), aDelivery(TYPE_ID)]),
    ];
    const { body } = await kit.api('get', `/events/${EVENT_ID}`);
    expect(body).toMatchObject({ userObject: '{"a": 1.0}', acceptedAt: ISO, senderUuid: 'k' });
    expect(body.deliveries.map((one: any) => [one.listenerName, one.state])).toEqual([
      ['living', 'retrying'],
      ['deleted', 'cancelled'],
      [null, 'retrying'],
    ]);
    expect(body.deliveries[0]).toMatchObject({
      listenerId: living,
      nodeCode: 'A',
      operIndex: 1,
      attempts: 3,
      lastStatus: 500,
      lastError: 'status 500',
      nextAttemptAt: ISO,
    });
    expect((await kit.api('get', `/events/${TYPE_ID}`)).body.code).toBe('NOT_FOUND');
    expect((await kit.api('get', '/events/x')).body.errors[0].path).toBe('id');
  });

  it('answers 503 while the database is away', async () => {
    kit.journal.problem = new EventCenterError('UNAVAILABLE', 'the database does not answer', { retryAfterSeconds: 9 });
    const res = await kit.api('get', '/events');
    expect([res.status, res.headers['retry-after']]).toEqual([503, '9']);
  });
});

describe('/deliveries', () => {
  it('hands filters to the journal and shows what it finds', async () => {
    const [living] = await twoListeners();
    kit.journal.deliveries = [{ ...aDelivery(living), attemptRecords: [] }];
    const res = await kit.api(
      'get',
      `/deliveries?state=retrying&nodeCode=A&listenerId=${living}&eventId=${EVENT_ID}&from=5&to=6`,
    );
    expect(kit.journal.asked).toEqual([
      [
        'listDeliveries',
        { state: 'retrying', nodeCode: 'A', listenerId: living, eventId: EVENT_ID, from: 5, to: 6 },
        { limit: 50, cursor: null },
      ],
    ]);
    expect(res.body.items).toEqual([
      {
        eventId: EVENT_ID,
        listenerId: living,
        listenerName: 'living',
        nodeCode: 'A',
        operIndex: 1,
        state: 'retrying',
        reason: null,
        generation: 2,
        attempts: 3,
        lastStatus: 500,
        lastError: 'status 500',
        lastResponse: 'oops',
        lastStartedAt: ISO,
        lastDurationMs: 7,
        nextAttemptAt: ISO,
        createdAt: ISO,
        updatedAt: ISO,
      },
    ]);
    expect((await kit.api('get', '/deliveries?listenerId=x')).body.errors[0].path).toBe('listenerId');
  });

  it('shows one delivery with its attempts', async () => {
    const attempt = {
      outcomeId: TYPE_ID,
      attempt: 1,
      generation: 1,
      state: 'retrying' as const,
      startedAt: AT,
      durationMs: 3,
      status: 500,
      error: 'e',
      response: 'r',
    };
    kit.journal.deliveries = [{ ...aDelivery(TYPE_ID), attemptRecords: [attempt] }];
    const { body } = await kit.api('get', `/deliveries/${EVENT_ID}/${TYPE_ID}`);
    expect(body.attemptCount).toBe(3);
    expect(body.attempts).toEqual([
      {
        attempt: 1,
        generation: 1,
        state: 'retrying',
        startedAt: ISO,
        durationMs: 3,
        status: 500,
        error: 'e',
        response: 'r',
      },
    ]);
    expect((await kit.api('get', `/deliveries/${EVENT_ID}/${EVENT_ID}`)).body.code).toBe('NOT_FOUND');
  });

  it.each(['retry', 'cancel'] as const)('%s acts in the name of the token', async (action) => {
    const res = await kit.api('post', `/deliveries/${EVENT_ID}/${TYPE_ID}/${action}`, {
      role: 'operator',
      headers: { 'X-Request-Id': 'r' },
    });
    expect([res.status, res.body]).toEqual([202, { eventId: EVENT_ID, listenerId: TYPE_ID }]);
    expect(kit.deliveries.asked).toEqual([[action, { name: 'token:operator', requestId: 'r' }, EVENT_ID, TYPE_ID]]);
    for (const code of ['NOT_FOUND', action === 'retry' ? 'NOT_RETRYABLE' : 'CONFLICT'] as const) {
      kit.deliveries.problem = new EventCenterError(code, 'no');
      expect((await kit.api('post', `/deliveries/${EVENT_ID}/${TYPE_ID}/${action}`)).body.code).toBe(code);
    }
  });
});

describe('/failures', () => {
  it('hands filters to the journal and shows what it finds', async () => {
    kit.journal.failures = [
      {
        id: TYPE_ID,
        kind: 'unreadable',
        eventId: null,
        listenerId: null,
        nodeCode: null,
        generation: null,
        attempts: null,
        reason: 'no JSON',
        lastStatus: null,
        lastError: null,
        lastResponse: null,
        raw: 'AAA=',
        rawHeaders: '{}',
        failedAt: AT,
      },
    ];
    const res = await kit.api('get', `/failures?kind=unreadable&nodeCode=A&from=${ISO}`);
    expect(kit.journal.asked).toEqual([
      ['listFailures', { kind: 'unreadable', nodeCode: 'A', from: AT }, { limit: 50, cursor: null }],
    ]);
    expect(res.body.items).toEqual([
      expect.objectContaining({ reason: 'no JSON', raw: 'AAA=', listenerName: null, failedAt: ISO }),
    ]);
    expect((await kit.api('get', '/failures?kind=x')).body.errors[0].path).toBe('kind');
  });
});

describe('/replays', () => {
  it('are started, read and cancelled', async () => {
    const filter = {
      eventType: 'ADD',
      states: ['failed', 'no-listener'],
      from: ISO,
      eventIds: [EVENT_ID.toUpperCase()],
    };
    const res = await kit.api('post', '/replays', { role: 'operator', body: { filter, ratePerSecond: 10 } });
    expect(res.status).toBe(202);
    expect(kit.deliveries.asked).toEqual([
      [
        'startReplay',
        expect.objectContaining({ name: 'token:operator' }),
        {
          filter: { eventType: 'ADD', states: ['failed', 'no-listener'], from: AT, eventIds: [EVENT_ID] },
          dryRun: false,
          ratePerSecond: 10,
        },
      ],
    ]);
    expect(res.body).toMatchObject({
      state: 'pending',
      matched: 0,
      done: 0,
      failed: 0,
      createdBy: 'token:operator',
      filter: { from: ISO },
    });
    expect((await kit.api('get', `/replays/${res.body.id}`, { role: 'viewer' })).body).toEqual(res.body);
    const cancelled = await kit.api('delete', `/replays/${res.body.id}`);
    expect([cancelled.status, cancelled.body.state]).toEqual([200, 'cancelled']);
    expect((await kit.api('get', `/replays/${EVENT_ID}`)).body.code).toBe('NOT_FOUND');
    expect((await kit.api('delete', `/replays/${EVENT_ID}`)).body.code).toBe('NOT_FOUND');
  });

  it.each([
    [{}, 'filter'],
    [{ filter: {} }, 'filter'],
    [{ filter: { states: [] } }, 'filter.states'],
    [{ filter: { states: ['dead'] } }, 'filter.states.0'],
    [{ filter: { eventIds: ['x'] } }, 'filter.eventIds.0'],
    [{ filter: { nodeCode: 'A', node: 'A' } }, 'filter.node'],
    [{ filter: { from: 'x' } }, 'filter.from'],
    [{ filter: { nodeCode: 'A' }, ratePerSecond: 0 }, 'ratePerSecond'],
    [{ filter: { nodeCode: 'A' }, dryRun: 'yes' }, 'dryRun'],
  ])('refuses %j', async (body, path) => {
    const res = await kit.api('post', '/replays', { body });
    expect([res.status, res.body.errors[0].path]).toEqual([422, path]);
    expect(kit.deliveries.asked).toEqual([]);
  });
});

describe('/stats', () => {
  it('counts the last hour, and tells what waits per node', async () => {
    await twoListeners();
    await kit.api('post', '/nodes', { body: { nodeCode: 'B' } });
    await kit.registry.refreshed();
    kit.depths.set('url A', 5);
    kit.journal.unsettled = [{ nodeCode: 'A', acceptedAt: kit.clock.now() - 90_000, count: 8 }];
    const { body } = await kit.api('get', '/stats');
    expect(kit.journal.asked[0]).toEqual([
      'stats',
      { from: kit.clock.now() - 3_600_000, to: kit.clock.now(), intervalMs: 300_000, nodeCode: null },
    ]);
    expect(body).toMatchObject({
      from: '2029-12-31T23:00:00.000Z',
      to: '2030-01-01T00:00:00.000Z',
      intervalMs: 300_000,
    });
    expect(body.intervals).toEqual([
      { from: body.from, to: body.to, accepted: 3, delivered: 2, retrying: 1, failed: 0 },
    ]);
    expect(body.nodes).toEqual([
      {
        nodeCode: 'A',
        queues: [{ kind: 'url', depth: 5 }],
        unsettled: 8,
        oldestAcceptedAt: '2029-12-31T23:58:30.000Z',
        oldestAgeMs: 90_000,
      },
      { nodeCode: 'B', queues: [], unsettled: 0, oldestAcceptedAt: null, oldestAgeMs: null },
    ]);
    kit.brokerAway.value = true;
    expect((await kit.api('get', '/stats')).body.nodes[0].queues).toEqual([{ kind: 'url', depth: null }]);
  });

  it.each([
    ['from=2000&to=1000', 'from'],
    ['from=0&to=100000000&intervalMs=1000', 'intervalMs'],
    ['intervalMs=5', 'intervalMs'],
  ])('refuses ?%s', async (query, path) => {
    const res = await kit.api('get', `/stats?${query}`);
    expect([res.status, res.body.errors[0].path]).toEqual([422, path]);
  });
});
