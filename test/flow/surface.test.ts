import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CentreClient } from '../support/centre-client.js';
import { runCentre, startCentreProcess } from '../support/centre-process.js';
import { Flow } from '../support/flow.js';
import { createSurroundings, SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

const STACK = /\n\s+at /;
const TOKEN = /\bec_[A-Za-z0-9_-]{43}\b/g;

describe.each(SURROUNDINGS)('the surface on %s', (kind) => {
  let flow: Flow;

  beforeAll(async () => {
    flow = await Flow.start(kind);
  });

  afterAll(() => flow.close());

  it('lets a viewer read and an operator act, and only an admin register', async () => {
    const type = await flow.eventType();
    const viewer = await clientOf('viewer');
    const operator = await clientOf('operator');
    const writes: [method: string, path: string, body?: object][] = [
      ['POST', '/nodes', { nodeCode: 'FORBIDDEN' }],
      ['PATCH', `/nodes/${flow.sender.appId}`, { enabled: false }],
      ['DELETE', `/nodes/${flow.sender.appId}`],
      ['POST', '/event-types', { sourceId: 'F', eventTypeCode: 'F' }],
      ['DELETE', `/event-types/${type.id}`],
      ['POST', '/listeners', { name: 'F', nodeCode: flow.sender.appId, eventTypeId: type.id, url: 'http://f.test/' }],
      ['POST', '/tokens', { name: 'F', role: 'admin' }],
      ['GET', '/tokens'],
      ['GET', '/audit'],
    ];
    const acts: typeof writes = [
      ['POST', '/events', { sourceId: type.sourceId, eventType: type.eventTypeCode }],
      ['POST', '/replays', { filter: { sourceId: type.sourceId }, dryRun: true }],
    ];
    const statuses = async (client: CentreClient, calls: typeof writes) =>
      Promise.all(calls.map(async ([method, path, body]) => (await client.call(method, path, body)).status));

    const forbidden = (calls: typeof writes) => calls.map(() => 403);
    expect(await statuses(viewer, [...writes, ...acts])).toEqual(forbidden([...writes, ...acts]));
    expect(await statuses(operator, writes)).toEqual(forbidden(writes));
    expect(await statuses(operator, acts)).toEqual([202, 202]);
    const reads: typeof writes = ['/nodes', '/event-types', '/listeners', '/events', '/failures', '/stats'].map(
      (path) => ['GET', path],
    );
    expect(await statuses(viewer, reads)).toEqual(reads.map(() => 200));
    expect((await viewer.call('POST', '/nodes', { nodeCode: 'F' })).body).toMatchObject({
      code: 'FORBIDDEN',
      status: 403,
    });
    expect(await statuses(new CentreClient(flow.centre.url, 'nonsense'), reads)).toEqual(reads.map(() => 401));

    const nodes = (await flow.client.all('/nodes')).map((node) => node.nodeCode);
    expect(nodes).toEqual([flow.sender.appId]);
  });

  it('ends a token within a second of its revocation', async () => {
    const { id, token } = await flow.client.must('POST', '/tokens', { name: 'short-lived', role: 'viewer' });
    const client = new CentreClient(flow.centre.url, token);
    await client.must('GET', '/nodes');
    await flow.client.must('DELETE', `/tokens/${id}`);
    const revokedAt = Date.now();
    await until('it is refused', async () => (await client.call('GET', '/nodes')).status === 401);
    expect(Date.now() - revokedAt).toBeLessThan(1_000);
  });

  it('writes who changed what into the audit log, without secrets', async () => {
    const clientKey = 'dmVyeSBzZWNyZXQga2V5IGluZGVlZA==';
    const node = await flow.node({ clientKey });
    await flow.client.must('PATCH', `/nodes/${node.appId}`, { note: 'changed' });
    const entries = (await flow.client.all('/audit')).filter((entry) => entry.subjectId === node.appId);
    expect(entries.map(({ action, actor }) => [action, actor])).toEqual([
      ['node.updated', 'token:configured'],
      ['node.created', 'token:configured'],
    ]);
    expect(JSON.stringify(entries)).not.toContain(clientKey);
    expect(JSON.stringify(entries)).not.toContain(node.appKey);
  });

  it('tells health, readiness and metrics without a token', async () => {
    const type = await flow.eventType();
    const node = await flow.node();
    await flow.listener(node, type);
    const failing = await flow.listener(node, type, { retry: { strategy: 'none' } });
    flow.stub.answer(failing.path, 'error');
    await flow.settled(await flow.send(type));
    await flow.trySend({ ...type, eventTypeCode: 'unknown' });

    expect(await flow.client.get('/healthz')).toMatchObject({ status: 200 });
    const ready = await flow.client.get('/readyz');
    expect([ready.status, JSON.parse(ready.text)]).toEqual([200, { status: 'ready', degraded: [] }]);

    const metrics = await flow.client.get('/metrics');
    expect([metrics.status, metrics.contentType]).toEqual([200, expect.stringContaining('text/plain')]);
    const value = async (name: string, labels: string) => (await flow.metric(`event_center_${name}`)).get(labels);
    expect(await value('events_accepted_total', '{result="accepted"}')).toBeGreaterThanOrEqual(1);
    expect(await value('events_refused_total', '{code="UNKNOWN_EVENT_TYPE"}')).toBe(1);
    expect(await value('attempts_total', '{result="succeeded"}')).toBeGreaterThanOrEqual(1);
    expect(await value('delivery_outcomes_total', '{state="succeeded"}')).toBeGreaterThanOrEqual(1);
    expect(await value('delivery_outcomes_total', '{state="failed"}')).toBe(1);
    expect(await value('accept_duration_seconds_count', '')).toBeGreaterThanOrEqual(1);
    expect(await value('attempt_duration_seconds_count', '{result="succeeded"}')).toBeGreaterThanOrEqual(1);
    expect(await value('delivery_latency_seconds_count', '')).toBeGreaterThanOrEqual(1);
    for (const queue of ['journal', 'outcomes', 'dead']) {
      expect(await value('queue_depth', `{queue="${queue}"}`)).toBe(0);
    }
    expect(await value('node_queue_depth', `{node="${node.appId}",kind="url"}`)).toBe(0);
    expect(await value('node_oldest_unsettled_age_seconds', `{node="${node.appId}"}`)).toBe(0);
    expect(await value('journal_lag_seconds', '')).toBeLessThan(5);
    expect(await value('broker_connected', '')).toBe(1);
    expect(await value('database_up', '')).toBe(1);
  });

  it('serves the document of its API and a page to read it', async () => {
    const { status, contentType, text } = await flow.client.get('/openapi.json');
    expect([status, contentType]).toEqual([200, expect.stringContaining('application/json')]);
    const document = JSON.parse(text);
    expect(document.openapi).toMatch(/^3\.1\./);
    const calls = Object.entries<object>(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    for (const call of [
      'post /api/v1/nodes',
      'post /api/v1/nodes/{nodeCode}/rotate-key',
      'patch /api/v1/event-types/{id}',
      'post /api/v1/listeners/{id}/test',
      'get /api/v1/events/{id}',
      'post /api/v1/events',
      'get /api/v1/deliveries/{eventId}/{listenerId}',
      'post /api/v1/deliveries/{eventId}/{listenerId}/retry',
      'get /api/v1/failures',
      'delete /api/v1/replays/{id}',
      'get /api/v1/stats',
      'post /event/eventmanager/sendEventMsg.do',
    ]) {
      expect(calls).toContain(call);
    }
    expect(await flow.client.get('/docs')).toMatchObject({ status: 200, contentType: expect.stringContaining('html') });
  });

  async function clientOf(role: string): Promise<CentreClient> {
    const { token } = await flow.client.must('POST', '/tokens', { name: `the ${role}`, role });
    return new CentreClient(flow.centre.url, token);
  }
});

describe.each(SURROUNDINGS)('a first start on %s', (kind) => {
  it('prints an admin token, once, and has nothing to complain about', async () => {
    const surroundings = await createSurroundings(kind);
    surroundings.noteDelays([5_000, 30_000, 120_000, 600_000, 1_800_000]);
    const logFile = join(surroundings.dataDir, 'centre.log');
    const start = () =>
      startCentreProcess({
        environment: { ...surroundings.environment, EVENT_CENTER_ADMIN_TOKEN: '' },
        dataDir: surroundings.dataDir,
        logFile,
      });
    try {
      const first = await start();
      const [token, ...others] = await until('the token is printed', () => first.output().match(TOKEN));
      expect(others).toEqual([]);
      await new CentreClient(first.url, token).must('POST', '/nodes', { nodeCode: 'FIRST' });
      expect(await first.stop()).toBe(0);

      const second = await start();
      const nodes = await new CentreClient(second.url, token).all('/nodes');
      expect(nodes.map((node) => node.nodeCode)).toEqual(['FIRST']);
      expect(await second.stop()).toBe(0);
      expect(second.output()).not.toMatch(TOKEN);
      expect(readFileSync(logFile, 'utf8')).toBe('');

      const { code, stderr } = await runCentre(['serve'], {
        ...surroundings.environment,
        EVENT_CENTER_DATA_DIR: surroundings.dataDir,
        EVENT_CENTER_PORT: '0',
        EVENT_CENTER_AUTO_MIGRATE: 'true',
        EVENT_CENTER_MASTER_KEY: 'ab'.repeat(32),
      });
      expect([code, stderr]).toEqual([1, expect.stringContaining('another master key (EVENT_CENTER_MASTER_KEY)')]);
    } finally {
      await surroundings.remove();
    }
  });
});

describe('a start on the embedded broker and SQLite whose master key was lost', () => {
  it('is refused instead of going on with another one, until the key is back', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'event-center-flow-'));
    const file = join(dataDir, 'master.key');
    const start = () =>
      startCentreProcess({
        environment: { EVENT_CENTER_MASTER_KEY: '' },
        dataDir,
        logFile: join(dataDir, 'centre.log'),
      });
    try {
      expect(await (await start()).stop()).toBe(0);
      const key = readFileSync(file);
      rmSync(file);
      const refused = await runCentre(['serve'], { EVENT_CENTER_DATA_DIR: dataDir, EVENT_CENTER_PORT: '0' });
      expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('the file master.key')]);
      expect(refused.stderr).not.toMatch(STACK);
      writeFileSync(file, key);
      expect(await (await start()).stop()).toBe(0);
    } finally {
      rmSync(dataDir, { recursive: true, force: true });
    }
  });
});

describe('a start that cannot be right', () => {
  let dataDir: string;

  beforeAll(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'event-center-flow-'));
  });

  afterAll(() => {
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('is refused without a master key for a shared database, saying what is missing', async () => {
    const { code, stderr } = await runCentre(['serve'], {
      EVENT_CENTER_DATABASE_URL: 'mysql://root@127.0.0.1:3306/nowhere',
    });
    expect(code).toBe(1);
    expect(stderr).toContain('EVENT_CENTER_MASTER_KEY');
    expect(stderr).toContain('openssl rand -hex 32');
    expect(stderr).not.toMatch(STACK);
  });

  it('is refused with every wrong option named', async () => {
    const { code, stderr } = await runCentre(['serve'], {
      EVENT_CENTER_PORT: 'many',
      EVENT_CENTER_ROLE: 'boss',
      EVENT_CENTER_PROT: '8080',
    });
    expect(code).toBe(1);
    for (const name of ['EVENT_CENTER_PORT', 'EVENT_CENTER_ROLE', 'EVENT_CENTER_PROT']) expect(stderr).toContain(name);
  });

  it('is refused on the data folder or the port of a running one', async () => {
    const running = await startCentreProcess({ environment: {}, dataDir, logFile: join(dataDir, 'centre.log') });
    try {
      const sameFolder = await runCentre(['serve'], { EVENT_CENTER_DATA_DIR: dataDir, EVENT_CENTER_PORT: '0' });
      expect([sameFolder.code, sameFolder.stderr]).toEqual([1, expect.stringContaining('another process uses')]);

      const { port } = new URL(running.url);
      const samePort = await runCentre(['serve'], {
        EVENT_CENTER_DATA_DIR: join(dataDir, 'other'),
        EVENT_CENTER_PORT: port,
      });
      expect([samePort.code, samePort.stderr]).toEqual([1, expect.stringContaining('EVENT_CENTER_PORT')]);
      expect(samePort.stderr).not.toMatch(STACK);
    } finally {
      await running.stop();
    }
  });

  it('is refused with the usage when the command line is wrong', async () => {
    for (const args of [['sevre'], ['serve', '--prot', '1']]) {
      const { code, stderr } = await runCentre(args, {});
      expect([code, stderr]).toEqual([2, expect.stringContaining('event-center <command>')]);
      expect(stderr).not.toMatch(STACK);
    }
  });
});
