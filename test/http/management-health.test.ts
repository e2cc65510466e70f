import request from 'supertest';
import { createHealthApp } from '../../src/http/management/app.js';
import { aManagementApp, type ManagementKit } from '../support/management.js';
import { quietLog } from '../support/registry-admin.js';

let kit: ManagementKit;

beforeEach(async () => {
  kit = await aManagementApp();
});

const get = (path: string) => request(kit.app).get(path);

describe('/healthz', () => {
  it('says that the process lives, whatever else is away', async () => {
    kit.surroundings.broker.ready = false;
    expect((await get('/healthz')).body).toEqual({ status: 'ok' });
  });
});

describe('/readyz', () => {
  it('is 200 while broker and registry are there', async () => {
    const res = await get('/readyz');
    expect([res.status, res.body]).toEqual([200, { status: 'ready', degraded: [] }]);
  });

  it('names what works less well', async () => {
    Object.assign(kit.surroundings, { databaseUp: false, journalLagging: true });
    kit.surroundings.broker.unconfirmedQueues = ['ec.node.B'];
    kit.surroundings.broker.blocked = true;
    const res = await get('/readyz');
    expect([res.status, res.body]).toEqual([
      200,
      { status: 'degraded', degraded: ['database', 'journal', 'broker-blocked', 'queue:ec.node.B'] },
    ]);
  });

  it('names a registry that cannot be read although the database answers', async () => {
    kit.surroundings.registryProblem = 'a table is missing';
    expect((await get('/readyz')).body).toEqual({
      status: 'degraded',
      degraded: ['registry'],
      reasons: ['the registry stays at version 1: a table is missing'],
    });
    kit.surroundings.databaseUp = false;
    expect((await get('/readyz')).body).toEqual({ status: 'degraded', degraded: ['database'] });
  });

  it('names secrets that cannot be read', async () => {
    kit.surroundings.unreadableSecrets = 2;
    const { status, body } = await get('/readyz');
    expect([status, body]).toEqual([
      200,
      { status: 'degraded', degraded: ['secrets'], reasons: [expect.stringContaining('cannot be decrypted: 2')] },
    ]);
  });

  it('says why the registry was never loaded, although the database answers', async () => {
    Object.assign(kit.surroundings, { registryVersion: null, registryProblem: 'it needs another master key' });
    const { status, body } = await get('/readyz');
    expect([status, body]).toEqual([
      503,
      {
        status: 'unavailable',
        degraded: [],
        reasons: ['the registry was not loaded yet: it needs another master key'],
      },
    ]);
  });

  it('is 503 with the reasons otherwise', async () => {
    kit.surroundings.broker = { ready: false, blocked: false, problem: 'connection refused', unconfirmedQueues: [] };
    kit.surroundings.registryVersion = null;
    kit.surroundings.stopping = true;
    const res = await get('/readyz');
    expect(res.status).toBe(503);
    expect(res.body).toMatchObject({ status: 'unavailable', degraded: [] });
    expect(res.body.reasons).toEqual([
      'the process is stopping',
      expect.stringContaining('connection refused'),
      expect.stringContaining('registry'),
    ]);
  });
});

describe('/metrics', () => {
  /** Value of a metric as it is written, or null. */
  async function metric(name: string): Promise<number | null> {
    const { text } = await get('/metrics');
    const line = text.split('\n').find((one) => one.startsWith(`event_center_${name} `));
    return line === undefined ? null : Number(line.split(' ').at(-1));
  }

  it('counts what happened, in seconds', async () => {
    const { metrics } = kit;
    metrics.accepted('OK', 5);
    metrics.accepted('DUPLICATE', 5);
    metrics.refused('BAD_SIGNATURE');
    metrics.deduplicationLost();
    metrics.attempted('failed', 1_500);
    metrics.delivered('succeeded', 2_000);
    metrics.delivered('failed', null);
    metrics.recorded(10, 20, 500);
    metrics.incident('listener.not-disabled');
    const res = await get('/metrics');
    expect(res.headers['content-type']).toMatch(/^text\/plain/);
    expect(await metric('events_accepted_total{result="accepted"}')).toBe(1);
    expect(await metric('events_accepted_total{result="duplicate"}')).toBe(1);
    expect(await metric('events_refused_total{code="BAD_SIGNATURE"}')).toBe(1);
    expect(await metric('deduplication_lost_total')).toBe(1);
    expect(await metric('attempt_duration_seconds_sum{result="failed"}')).toBe(1.5);
    expect(await metric('delivery_latency_seconds_sum')).toBe(2);
    expect(await metric('delivery_outcomes_total{state="failed"}')).toBe(1);
    expect(await metric('journal_outcomes_total')).toBe(20);
    expect(await metric('incidents_total{name="listener.not-disabled"}')).toBe(1);
    expect(res.text).toContain('process_resident_memory_bytes');
  });

  it('asks the surroundings when it is read', async () => {
    await kit.api('post', '/nodes', { body: { nodeCode: 'A' } });
    await kit.api('post', '/event-types', { body: { sourceId: 'USER', eventTypeCode: 'ADD' } });
    const listener = { name: 'x', nodeCode: 'A', sourceId: 'USER', eventTypeCode: 'ADD', url: 'http://a.invalid' };
    await kit.api('post', '/listeners', { body: listener });
    await kit.registry.refreshed();
    kit.depths.set('url A', 4).set('journal', 7).set('dead', 1);
    kit.journal.unsettled = [{ nodeCode: 'A', acceptedAt: kit.clock.now() - 3_000, count: 6 }];
    kit.metrics.recorded(1, 0, 250);
    kit.clock.time += 1_000;
    expect(await metric('node_queue_depth{node="A",kind="url"}')).toBe(4);
    expect(await metric('node_oldest_unsettled_age_seconds{node="A"}')).toBe(4);
    expect(await metric('node_unsettled_deliveries{node="A"}')).toBe(6);
    expect(await metric('queue_depth{queue="journal"}')).toBe(7);
    expect(await metric('queue_depth{queue="dead"}')).toBe(1);
    expect(await metric('journal_lag_seconds')).toBe(1.25);
    expect(await metric('broker_connected')).toBe(1);
    expect(await metric('database_up')).toBe(1);
    expect(await metric('circuit_breakers_open')).toBe(2);
    expect(await metric('registry_version')).toBe(kit.registry.current().version);
    expect(await metric('registry_check_age_seconds')).toBe(0.5);
    expect(await metric('unreadable_secrets')).toBe(0);
    kit.depths.set('journal', 0);
    expect(await metric('journal_lag_seconds')).toBe(0);
  });

  it('leaves out what cannot be had, instead of showing what was', async () => {
    kit.depths.set('journal', 7);
    expect(await metric('queue_depth{queue="journal"}')).toBe(7);
    kit.brokerAway.value = true;
    kit.journal.problem = new Error('no database');
    Object.assign(kit.surroundings.broker, { ready: false, blocked: true });
    kit.surroundings.databaseUp = false;
    expect(await metric('queue_depth{queue="journal"}')).toBeNull();
    expect(await metric('journal_lag_seconds')).toBeNull();
    expect(await metric('broker_connected')).toBe(0);
    expect(await metric('broker_blocked')).toBe(1);
    expect(await metric('database_up')).toBe(0);
  });

  it('does not wait for a database that hangs', async () => {
    kit.journal.oldestUnsettled = () => new Promise(() => {});
    expect(await metric('broker_connected')).toBe(1);
  });
});

/** Other spellings of paths. */
const respelled = (path: string): string[] => [
  `${path}/`,
  path.toUpperCase(),
  `/${path}`,
  path.replace(/[a-z]/, '%6d'),
];

it.each(['/healthz', '/readyz', '/metrics', '/openapi.json', '/docs', '/docs/start.js', '/docs/swagger-ui.css'])(
  'is there under one spelling of its path, so that a proxy can keep it: %s',
  async (path) => {
    expect((await get(path)).status).toBe(200);
    for (const other of respelled(path)) expect([other, (await get(other)).status]).toEqual([other, 404]);
  },
);

it('is all that a process without the management API answers', async () => {
  const app = createHealthApp({
    readiness: () => ({ ready: true, degraded: [], reasons: [] }),
    metrics: kit.metrics,
    log: quietLog,
  });
  expect((await request(app).get('/readyz')).status).toBe(200);
  expect((await request(app).get('/metrics')).status).toBe(200);
  for (const path of ['/METRICS', '/metrics/']) expect((await request(app).get(path)).status).toBe(404);
  const other = await request(app).get('/api/v1/nodes');
  expect([other.status, other.body.code]).toEqual([404, 'NOT_FOUND']);
});
