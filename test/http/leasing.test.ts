import { signCall } from '@event-center/sdk';
import { Authenticator } from '../../src/core/accepting/authenticate.js';
import { uuidV7 } from '../../src/core/ids.js';
import { claim } from '../../src/http/sending/claim.js';
import { createEventManager } from '../../src/http/sending/event-manager.js';
import { eventInfo } from '../../src/http/sending/event-info.js';
import { lease } from '../../src/http/sending/lease.js';
import { BodyReader } from '../../src/http/sending/read-body.js';
import { release } from '../../src/http/sending/release.js';
import { settle } from '../../src/http/sending/settle.js';
import { HttpServer } from '../../src/http/server.js';
import { received } from '../support/delivery-fakes.js';
import { aPlugin, LeaseSetting } from '../support/leasing.js';
import { aListener, aNode, anEvent } from '../support/registry-fixtures.js';
import { toAnswer, type Answer } from '../support/sending.js';
import { until } from '../support/until.js';

const KEY = 'b5eb2d';
const MAX_BODY_BYTES = 20_000;
const IDS = [1, 2, 3].map(() => uuidV7()) as [string, string, string];

let setting: LeaseSetting;
let server: HttpServer;
let url: string;

beforeEach(async () => {
  setting = new LeaseSetting({
    listeners: [
      ...IDS.map((id, index) => aPlugin(id, { name: `Plugin ${index + 1}`, operIndex: index + 1 })),
      aListener('of another', { nodeCode: 'B' }),
    ],
    nodes: [aNode('A'), aNode('B'), aNode('OFF', { enabled: false })],
  });
  const registry = {
    current: () => setting.snapshot,
    atLeast: () => Promise.resolve(setting.snapshot),
    forVersion: () => Promise.resolve(setting.snapshot),
    refreshed: () => Promise.resolve(setting.snapshot),
  };
  const { clock, desk, recorder: log } = setting;
  const authenticator = new Authenticator({
    registry,
    clock,
    options: { clockSkewMs: 300_000, revealUnknownApp: true },
  });
  const incident = (): void => undefined;
  const bodies = new BodyReader({ maxBytes: MAX_BODY_BYTES, maxUnfinishedBytes: MAX_BODY_BYTES, incident });
  const call = { authenticator, bodies };
  const options = { defaultDelaysMs: [1_000, 2_000], brokerPrefix: 'ec.' };
  server = new HttpServer({
    host: '127.0.0.1',
    port: 0,
    maxConnections: 100,
    incident,
    app: (_req, res) => res.end(),
    eventManager: createEventManager({
      contextPath: '/event',
      log,
      routes: {
        'lease.do': lease({ ...call, desk, log }),
        'settle.do': settle({ ...call, desk }),
        'release.do': release({ ...call, desk }),
        'claim.do': claim({ ...call, claims: setting.claims }),
        'eventinfo/index.do': eventInfo({ authenticator, registry, options }),
      },
    }),
  });
  url = await server.start();
});

afterEach(async () => {
  await setting.desk.stop();
  await server.stop(0);
});

interface Change {
  appId?: string;
  ts?: number;
  key?: string;
  query?: string;
  json?: boolean;
  signal?: AbortSignal;
}

function post(name: string, fields: Record<string, string>, change: Change = {}): Promise<Response> {
  const { appId = 'A', ts = setting.clock.time, key = KEY, query = '', json = false, signal } = change;
  const path = `/event/eventmanager/${name}?appId=${appId}&ts=${String(ts)}${query}`;
  const body = json ? JSON.stringify(fields) : new URLSearchParams(fields).toString();
  const contentLength = Buffer.byteLength(body);
  // Of a name that stands in the query too, only that is signed.
  const signed = Object.entries(fields).filter(([field]) => !query.includes(`&${field}=`));
  const sign = signCall({ url: path, fields: signed, contentLength, key, algorithm: 'HmacSHA1' });
  const type = json ? 'application/json' : 'application/x-www-form-urlencoded';
  const init = { method: 'POST', body, headers: { 'Content-Type': type, sign } };
  return fetch(url + path, signal === undefined ? init : { ...init, signal });
}

const call = async (name: string, fields: Record<string, string>, change?: Change): Promise<Answer> =>
  toAnswer(await post(name, fields, change));
const message = () => ({
  event: anEvent(uuidV7(), { userObject: Buffer.from('{"名":1}') }),
  chain: null,
  claimSteps: false,
});

async function leaseOne(fields: Record<string, string> = {}, change?: Change): Promise<Record<string, any>> {
  const asked = call('lease.do', { max: '1', ...fields }, change);
  await (await setting.consumer()).give(received(message()));
  const { data } = await asked;
  return (data['deliveries'] as Record<string, any>[])[0]!;
}

const settleText = (leases: unknown): Record<string, string> => ({ leases: JSON.stringify(leases) });

describe('lease.do', () => {
  it.each([false, true])('answers what is to be run, asked by a form or as JSON: %s', async (json) => {
    const leased = await leaseOne({ leaseMs: '60000' }, { json });
    const { userObject, eventId } = leased['event'] as Record<string, unknown>;
    expect(leased).toEqual({
      leaseId: expect.any(String),
      leasedUntil: setting.clock.time + 60_000,
      event: {
        eventId,
        sourceId: expect.any(String),
        eventType: expect.any(String),
        tenantCode: null,
        userObject,
        senderUuid: null,
        traceparent: null,
        acceptedAt: expect.any(Number),
      },
      onExhausted: 'continue',
      listeners: IDS.map((listenerId, index) => ({
        listenerId,
        name: `Plugin ${index + 1}`,
        implClassName: `com.example.${listenerId}`,
        operIndex: index + 1,
        attempt: 1,
        timeoutMs: 5_000,
        lastAttempt: false,
      })),
    });
    expect(userObject).toBe('{"名":1}');
  });

  it('answers an empty list when nothing comes', async () => {
    expect(await call('lease.do', { waitMs: '0' })).toMatchObject({ status: 200, data: { status: 1, deliveries: [] } });
  });

  it.each([
    ['max', '0', 'from 1 to 100'],
    ['max', '101', 'from 1 to 100'],
    ['max', '1.5', 'from 1 to 100'],
    ['waitMs', '30001', 'from 0 to 30000'],
    ['waitMs', '-1', 'from 0 to 30000'],
    ['leaseMs', '999', 'from 1000 to 3600000'],
    ['leaseMs', 'long', 'from 1000 to 3600000'],
  ])('refuses %s of %s', async (name, value, rule) => {
    const { status, data } = await call('lease.do', { [name]: value });
    expect([status, data['status'], data['code']]).toEqual([200, 0, 'INVALID_PARAM']);
    expect(data['message']).toBe(`${name}: expected a whole number ${rule}`);
    expect(setting.broker.subscriptions).toEqual([]);
  });

  it('takes its fields from the body only, each once', async () => {
    const query = await call('lease.do', { max: '1' }, { query: '&max=100' });
    expect(query.data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringContaining('max: ') });
  });

  it('releases what its caller did not wait for', async () => {
    const gone = new AbortController();
    const asked = post('lease.do', { max: '2' }, { signal: gone.signal });
    asked.catch(() => undefined);
    const consumer = await setting.consumer();
    // Leased while the caller hangs up: keeping it takes a moment.
    const keep = setting.leases.keep.bind(setting.leases);
    setting.leases.keep = async (leases) => {
      gone.abort();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return keep(leases);
    };
    await consumer.give(received(message()));
    await until('the lease is released', () => setting.leases.states().join() === 'released');
  });

  it('answers 503 while the database is away', async () => {
    setting.storeProblem = 'the database is away';
    const { status, headers, data } = await call('lease.do', {});
    expect([status, headers.get('retry-after'), data['code']]).toEqual([503, '1', 'UNAVAILABLE']);
  });
});

describe('settle.do', () => {
  it('says of each lease what became of it', async () => {
    const { leaseId } = await leaseOne();
    const other = uuidV7();
    const results = [
      { listenerId: IDS[0], success: true, startedAt: setting.clock.time, durationMs: 0 },
      { listenerId: IDS[1], success: false, error: 'the ledger is closed' },
    ];
    const { data } = await call(
      'settle.do',
      settleText([
        { leaseId: other, results: [] },
        { leaseId, results },
      ]),
    );
    expect(data).toEqual({
      status: 1,
      leases: [
        { leaseId: other, code: 'UNKNOWN' },
        { leaseId, code: 'OK' },
      ],
    });
    const states = setting.broker.outcomes.map(({ state, error }) => [state, error]);
    expect(states).toEqual([
      ['succeeded', null],
      ['retrying', 'the ledger is closed'],
    ]);
  });

  const good = { leaseId: uuidV7(), results: [{ listenerId: uuidV7(), success: true }] };
  it.each<[string, unknown, string]>([
    ['no list', {}, 'leases: '],
    ['an empty list', [], 'leases: '],
    ['too many', Array.from({ length: 101 }, () => ({ ...good, leaseId: uuidV7() })), 'leases: '],
    ['no id', [good, { results: [] }], 'leases[1].leaseId: expected a UUID'],
    ['a lease twice', [good, good], 'leases[1].leaseId: expected each lease once'],
    ['no results', [{ leaseId: good.leaseId }], 'leases[0].results: '],
    [
      'no listener',
      [good, { leaseId: uuidV7(), results: [{ listenerId: 'x', success: true }] }],
      'leases[1].results[0].listenerId: expected a UUID',
    ],
    [
      'a listener twice',
      [{ leaseId: good.leaseId, results: [good.results[0], good.results[0]] }],
      'leases[0].results[1].listenerId: expected each listener once',
    ],
    [
      'no outcome',
      [{ leaseId: good.leaseId, results: [{ listenerId: uuidV7(), success: 'true' }] }],
      'leases[0].results[0].success: expected true or false',
    ],
    [
      'no time',
      [{ leaseId: good.leaseId, results: [{ ...good.results[0], durationMs: -1 }] }],
      'leases[0].results[0].durationMs: expected a whole number of ms',
    ],
  ])('refuses %s', async (_what, leases, problem) => {
    const { status, data } = await call('settle.do', settleText(leases));
    expect([status, data['code']]).toEqual([200, 'INVALID_PARAM']);
    expect(data['message']).toContain(problem);
  });

  it('refuses what is no JSON, nothing at all, and a body that is too long', async () => {
    expect((await call('settle.do', { leases: '[' })).data['message']).toBe('leases: expected JSON text');
    expect((await call('settle.do', {})).data['message']).toBe('leases: is required');
    const long = await post('settle.do', { leases: ' '.repeat(MAX_BODY_BYTES) });
    expect(long.status).toBe(413);
  });

  it('refuses a listener that the lease did not name, by its place', async () => {
    const { leaseId } = await leaseOne();
    const results = [{ listenerId: uuidV7(), success: true }];
    const { data } = await call('settle.do', settleText([{ leaseId, results }]));
    expect(data['message']).toBe('leases[0].results[0].listenerId: expected a listener of this lease');
    expect(setting.leases.states()).toEqual(['leased']);
  });
});

describe('release.do', () => {
  it('gives leases back', async () => {
    const { leaseId } = await leaseOne();
    const { data } = await call('release.do', { leaseIds: JSON.stringify([leaseId]) });
    expect(data).toEqual({ status: 1, leases: [{ leaseId, code: 'OK' }] });
    expect(setting.leases.states()).toEqual(['released']);
  });

  it.each([
    ['["x"]', 'leaseIds[0]: expected a UUID'],
    [JSON.stringify([IDS[0], IDS[0]]), 'leaseIds[1]: expected each lease once'],
    ['{}', 'leaseIds: '],
  ])('refuses %s', async (leaseIds, problem) => {
    const { data } = await call('release.do', { leaseIds });
    expect(data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringContaining(problem) });
  });
});

describe('claim.do', () => {
  const fields = { eventId: uuidV7(), generation: '1', sequence: '0', messageId: 'mine' };

  it('claims for the node that signs', async () => {
    setting.claims.settled.set(`${fields.eventId} A 1`, new Map([['L1', 'succeeded']]));
    expect((await call('claim.do', fields)).data).toEqual({
      status: 1,
      result: 'granted',
      settled: { L1: 'succeeded' },
    });
    expect((await call('claim.do', { ...fields, messageId: 'other' })).data).toEqual({
      ...{ status: 1, result: 'lost', settled: {} },
    });
    expect((await call('claim.do', { ...fields, messageId: 'other' }, { appId: 'B' })).data['result']).toBe('granted');
    await call('claim.do', { ...fields, generation: '2' });
    expect((await call('claim.do', fields)).data['result']).toBe('stale');
    expect(setting.claims.requests.map(({ nodeCode }) => nodeCode)).toEqual(['A', 'A', 'B', 'A', 'A']);
  });

  it.each([
    [{ eventId: 'x' }, 'eventId: expected a UUID'],
    [{ eventId: '' }, 'eventId: is required'],
    [{ generation: '0' }, 'generation: expected a whole number'],
    [{ sequence: '' }, 'sequence: is required'],
    [{ messageId: 'x'.repeat(129) }, 'messageId: expected at most 128 characters'],
  ])('refuses %j', async (change, problem) => {
    const { data } = await call('claim.do', { ...fields, ...change });
    expect(data).toMatchObject({ code: 'INVALID_PARAM', message: expect.stringContaining(problem) });
  });

  it('answers 503 while the database is away', async () => {
    setting.claims.away = true;
    expect(await call('claim.do', fields)).toMatchObject({ status: 503, data: { code: 'UNAVAILABLE' } });
  });
});

describe.each(['lease.do', 'settle.do', 'release.do', 'claim.do'])('%s', (name) => {
  it('is for nodes that sign it rightly and now', async () => {
    const codes = await Promise.all(
      [{ key: 'AAAA' }, { appId: 'NOBODY' }, { appId: 'OFF' }, { ts: setting.clock.time - 300_001 }].map(
        async (change) => (await call(name, {}, change)).data['code'],
      ),
    );
    expect(codes).toEqual(['BAD_SIGNATURE', 'UNKNOWN_APP', 'UNKNOWN_APP', 'TIMESTAMP_EXPIRED']);
    expect(setting.broker.subscriptions).toEqual([]);
  });

  it('is called by POST', async () => {
    const response = await fetch(`${url}/event/eventmanager/${name}`);
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

describe('eventinfo for a host of plugins', () => {
  async function info(headers: Record<string, string> = {}, appId = 'A'): Promise<Response> {
    const path = `/event/eventmanager/eventinfo/index.do?nodeCode=${appId}&ts=${String(setting.clock.time)}`;
    const sign = signCall({ url: path, fields: null, contentLength: 0, key: KEY, algorithm: 'HmacSHA1' });
    return fetch(url + path, { headers: { sign, ...headers } });
  }

  it('tells how the node is run, who is owed what, and which delays there are', async () => {
    const { data } = await toAnswer(await info());
    expect(data).toMatchObject({
      node: { nodeCode: 'A', enabled: true, onExhausted: 'continue', concurrency: 4, deliverRateLimit: null },
      defaultDelaysMs: [1_000, 2_000],
      delaysMs: [1_000, 2_000],
      brokerPrefix: 'ec.',
    });
    expect(data['revisions']).toEqual(
      IDS.map((listenerId, index) => ({
        listenerId,
        listenerName: `Plugin ${index + 1}`,
        eventTypeId: 'T',
        operIndex: index + 1,
        fromVersion: 1,
        toVersion: null,
        closedAt: null,
        tenantCode: null,
        filter: null,
      })),
    );
    expect((await toAnswer(await info({}, 'B'))).data['revisions']).toEqual([]);
  });

  it('answers 304 as long as nothing is registered anew', async () => {
    const etag = (await info()).headers.get('etag')!;
    const unchanged = await info({ 'If-None-Match': etag });
    expect([unchanged.status, unchanged.headers.get('etag'), await unchanged.text()]).toEqual([304, etag, '']);
    expect((await info({ 'If-None-Match': `"x", W/${etag}` })).status).toBe(304);
    setting.register({ listeners: [aPlugin(IDS[0])] });
    const changed = await info({ 'If-None-Match': etag });
    expect(changed.status).toBe(200);
    expect(changed.headers.get('etag')).not.toBe(etag);
  });
});
