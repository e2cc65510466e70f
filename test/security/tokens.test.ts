import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CentreClient } from '../support/centre-client.js';
import { Flow, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';
import { SURROUNDINGS } from '../support/surroundings.js';
import { until } from '../support/until.js';

/** In every name, address, secret and payload of the node that is not ours. */
const MARK = 'planted';
/** `planted-key-of-another` in Base64. */
const MARKED_KEY = 'cGxhbnRlZC1rZXktb2YtYW5vdGhlcg==';
const ROLES = ['viewer', 'operator', 'admin'] as const;
const NOT_THERE = '0190aaaa-0000-7000-8000-000000000000';
/** Every process sees an end within a second; the rest is for a busy machine. */
const SEEN_WITHIN_MS = 1_500;

type Role = (typeof ROLES)[number];

interface Owned {
  node: FlowNode;
  listener: FlowListener;
  /** Sent by the node. */
  eventId: string;
  replayId: string;
}

/** A call that is made with a token of our node: what of it is another's, and what it must answer. */
interface Attempt {
  path: string;
  body?: unknown;
  /** The answer for a role that may make the call. */
  status: number;
}

describe('a token of one node', () => {
  let flow: Flow;
  let type: FlowType;
  let theirType: FlowType;
  let ours: Owned;
  let theirs: Owned;
  /** Owed to both. */
  let shared: string;
  const tokens = {} as Record<Role, CentreClient>;

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
    type = await flow.eventType();
    const ourNode = await flow.node();
    const theirNode = await flow.node({ nodeName: `${MARK} name`, note: `${MARK} note`, clientKey: MARKED_KEY });
    theirType = await flow.eventType({ owner: theirNode.appId });
    const ourListener = await flow.listener(ourNode, type);
    const theirListener = await flow.listener(theirNode, type, {
      ...{ name: `${MARK} listener`, note: `${MARK} note`, url: flow.stub.url(`/${MARK}`), secret: `${MARK} secret` },
      ...{ headers: { 'X-Note': `${MARK} header` }, retry: { strategy: 'none' } },
    });
    flow.stub.answer(`/${MARK}`, { status: 500, body: `${MARK} answer` });
    shared = await flow.send(type, { tenantCode: 'T' });
    ours = await owned(ourNode, ourListener, await sendAs(ourNode, type, { userObject: '{"our":1}' }));
    theirs = await owned(
      theirNode,
      theirListener,
      await sendAs(theirNode, theirType, { userObject: `{"a":"${MARK}"}`, tenantCode: MARK, uuid: `${MARK}-key` }),
    );
    for (const eventId of [shared, ours.eventId, theirs.eventId]) await flow.settled(eventId);
    for (const role of ROLES) {
      const made = await flow.client.must('POST', '/tokens', { name: role, role, nodeCode: ourNode.appId });
      tokens[role] = new CentreClient(flow.client.url, made.token);
    }
  });

  afterAll(() => flow.close());

  async function sendAs(node: FlowNode, of: FlowType, fields: Record<string, string>): Promise<string> {
    const answer = await flow.trySend(of, fields, node);
    if (answer.eventId === null) throw new Error(JSON.stringify(answer));
    return answer.eventId;
  }

  async function owned(node: FlowNode, listener: FlowListener, eventId: string): Promise<Owned> {
    const { id } = await flow.client.must('POST', '/replays', { filter: { nodeCode: node.appId }, dryRun: true });
    return { node, listener, eventId, replayId: id };
  }

  /** What a token of our node tries at what is another's, for every call of the API. */
  function attempts(): Record<string, Attempt[]> {
    const { node, listener, eventId, replayId } = theirs;
    const code = node.appId;
    const delivery = `/deliveries/${shared}/${listener.id}`;
    return {
      'GET /nodes': [{ path: '/nodes', status: 200 }],
      'POST /nodes': [{ path: '/nodes', body: { nodeCode: 'NEW' }, status: 403 }],
      'GET /nodes/{nodeCode}': [{ path: `/nodes/${code}`, status: 404 }],
      'PATCH /nodes/{nodeCode}': [
        { path: `/nodes/${code}`, body: { note: 'x' }, status: 404 },
        { path: `/nodes/${ours.node.appId}`, body: { sendRateLimit: 1 }, status: 403 },
        { path: `/nodes/${ours.node.appId}`, body: { enabled: true }, status: 403 },
      ],
      'DELETE /nodes/{nodeCode}': [
        { path: `/nodes/${code}`, status: 403 },
        { path: `/nodes/${ours.node.appId}`, status: 403 },
      ],
      'POST /nodes/{nodeCode}/rotate-key': [{ path: `/nodes/${code}/rotate-key`, status: 404 }],
      'GET /event-types': [{ path: '/event-types', status: 200 }],
      'POST /event-types': [
        { path: '/event-types', body: { sourceId: 'X', eventTypeCode: 'X' }, status: 403 },
        { path: '/event-types', body: { sourceId: 'X', eventTypeCode: 'X', owner: code }, status: 403 },
      ],
      'GET /event-types/{id}': [{ path: `/event-types/${theirType.id}`, status: 200 }],
      'PATCH /event-types/{id}': [
        { path: `/event-types/${theirType.id}`, body: { note: 'x' }, status: 403 },
        { path: `/event-types/${theirType.id}`, body: { owner: ours.node.appId }, status: 403 },
      ],
      'DELETE /event-types/{id}': [{ path: `/event-types/${type.id}`, status: 403 }],
      'GET /listeners': [
        { path: '/listeners', status: 200 },
        { path: `/listeners?nodeCode=${code}`, status: 200 },
      ],
      'POST /listeners': [
        {
          path: '/listeners',
          body: { name: 'x', nodeCode: code, eventTypeId: type.id, url: 'http://127.0.0.1:9/' },
          status: 403,
        },
        {
          path: '/listeners',
          body: {
            ...{ name: 'x', nodeCode: ours.node.appId, url: 'http://127.0.0.1:9/' },
            ...{ sourceId: 'EVENT_CENTER', eventTypeCode: 'DELIVERY_EXHAUSTED' },
          },
          status: 403,
        },
      ],
      'GET /listeners/{id}': [{ path: `/listeners/${listener.id}`, status: 404 }],
      'PATCH /listeners/{id}': [{ path: `/listeners/${listener.id}`, body: { enabled: false }, status: 404 }],
      'DELETE /listeners/{id}': [{ path: `/listeners/${listener.id}`, status: 404 }],
      'POST /listeners/{id}/test': [{ path: `/listeners/${listener.id}/test`, status: 404 }],
      'GET /events': [
        { path: '/events', status: 200 },
        { path: `/events?appId=${code}`, status: 200 },
        { path: `/events?tenantCode=${MARK}`, status: 200 },
      ],
      'POST /events': [
        { path: '/events', body: { ...codes(theirType), appId: code }, status: 403 },
        { path: '/events', body: codes(theirType), status: 403 },
        { path: '/events', body: [{ ...codes(type), appId: code }], status: 207 },
      ],
      'GET /events/{id}': [
        { path: `/events/${eventId}`, status: 404 },
        { path: `/events/${ours.eventId}`, status: 200 },
      ],
      'GET /deliveries': [
        { path: '/deliveries', status: 200 },
        { path: `/deliveries?nodeCode=${code}`, status: 200 },
        { path: `/deliveries?listenerId=${listener.id}`, status: 200 },
        { path: `/deliveries?eventId=${shared}`, status: 200 },
      ],
      'GET /deliveries/{eventId}/{listenerId}': [{ path: delivery, status: 404 }],
      'POST /deliveries/{eventId}/{listenerId}/retry': [{ path: `${delivery}/retry`, status: 404 }],
      'POST /deliveries/{eventId}/{listenerId}/cancel': [{ path: `${delivery}/cancel`, status: 404 }],
      'GET /failures': [
        { path: '/failures', status: 200 },
        { path: `/failures?nodeCode=${code}`, status: 200 },
        { path: `/failures?eventId=${shared}`, status: 200 },
      ],
      'POST /replays': [
        { path: '/replays', body: { filter: { nodeCode: code } }, status: 403 },
        { path: '/replays', body: { filter: { states: ['no-listener'] } }, status: 403 },
        { path: '/replays', body: { filter: { eventIds: [eventId] } }, status: 202 },
        { path: '/replays', body: { filter: { listenerId: listener.id } }, status: 202 },
      ],
      'GET /replays/{id}': [{ path: `/replays/${replayId}`, status: 404 }],
      'DELETE /replays/{id}': [{ path: `/replays/${replayId}`, status: 404 }],
      'GET /stats': [{ path: '/stats', status: 200 }],
      'GET /tokens': [{ path: '/tokens', status: 403 }],
      'POST /tokens': [{ path: '/tokens', body: { name: 'x', role: 'admin' }, status: 403 }],
      'DELETE /tokens/{id}': [{ path: `/tokens/${NOT_THERE}`, status: 403 }],
      'GET /audit': [{ path: '/audit', status: 403 }],
    };
  }

  const codes = ({ sourceId, eventTypeCode }: FlowType) => ({ sourceId, eventType: eventTypeCode });

  /** All that there is of the other node, as an admin of the whole centre sees it. */
  async function allOfTheirs(): Promise<unknown> {
    const { client } = flow;
    const { node, listener, replayId } = theirs;
    return {
      node: await client.must('GET', `/nodes/${node.appId}`),
      listener: await client.must('GET', `/listeners/${listener.id}`),
      type: await client.must('GET', `/event-types/${theirType.id}`),
      deliveries: await client.all(`/deliveries?nodeCode=${node.appId}`),
      replay: await client.must('GET', `/replays/${replayId}`),
      calls: flow.stub.calls(`/${MARK}`).length,
    };
  }

  it('gets nothing of another node by any call of the API, and changes nothing of it', async () => {
    await until('the replays are over', async () => {
      const { state } = await flow.client.must('GET', `/replays/${theirs.replayId}`);
      return state === 'done';
    });
    const before = await allOfTheirs();
    expect(JSON.stringify(before)).toContain(MARK);
    const { paths } = JSON.parse((await flow.client.get('/openapi.json')).text);
    const documented = Object.entries<object>(paths).flatMap(([path, item]) =>
      path.startsWith('/api/v1') ? Object.keys(item).map((method) => `${method.toUpperCase()} ${path.slice(7)}`) : [],
    );
    const tried = attempts();
    expect(Object.keys(tried).sort()).toEqual(documented.sort());
    for (const [call, all] of Object.entries(tried)) {
      const [method = ''] = call.split(' ');
      for (const { path, body, status } of all) {
        for (const role of ROLES) {
          const answer = await tokens[role].call(method, path, body);
          // What the caller wrote itself comes back in `instance`, and in the text of a 404.
          const text = JSON.stringify(answer.body);
          expect([role, call, path, text.includes(MARK) || text.includes(MARKED_KEY)]).toEqual([
            role,
            call,
            path,
            false,
          ]);
          const isAllowed = role === 'admin' || answer.status !== 403;
          if (isAllowed) expect([role, call, path, answer.status]).toEqual([role, call, path, status]);
        }
      }
    }
    expect(await allOfTheirs()).toEqual(before);
  });

  it('gets no name of another node in a list, a figure or a refused deletion', async () => {
    const { admin } = tokens;
    const code = theirs.node.appId;
    for (const path of ['/nodes', '/listeners', '/deliveries', '/failures', '/stats', '/events']) {
      expect([path, JSON.stringify(await admin.must('GET', path)).includes(`"${code}"`)]).toEqual([path, false]);
    }
    const own = await admin.must('POST', '/event-types', {
      ...{ sourceId: 'OWN', eventTypeCode: 'OWN', owner: ours.node.appId },
    });
    await flow.listener(theirs.node, { id: own.id, sourceId: 'OWN', eventTypeCode: 'OWN' }, { name: `${MARK} user` });
    const refused = await admin.call('DELETE', `/event-types/${own.id}`);
    expect(refused).toMatchObject({ status: 409, body: { code: 'IN_USE', usedBy: [] } });
    expect(JSON.stringify(refused.body)).not.toContain(MARK);
  });

  it('gets no further by a cursor of somebody who sees more', async () => {
    for (const list of ['/nodes', '/listeners', '/events', '/deliveries']) {
      const all = await flow.client.must('GET', `${list}?limit=1`);
      expect(all.nextCursor).not.toBeNull();
      const page = await tokens.viewer.must('GET', `${list}?cursor=${encodeURIComponent(all.nextCursor)}`);
      expect([list, JSON.stringify(page).includes(MARK)]).toEqual([list, false]);
    }
  });

  it('sees and does what is its own, by its role', async () => {
    const { viewer, operator, admin } = tokens;
    const { appId } = ours.node;
    expect((await viewer.must('GET', '/nodes')).items.map((node: any) => node.nodeCode)).toEqual([appId]);
    const listed = (await viewer.all('/events')).map((event) => event.eventId);
    expect(listed).toEqual(expect.arrayContaining([shared, ours.eventId]));
    expect(listed).not.toContain(theirs.eventId);
    const { deliveries } = await viewer.must('GET', `/events/${shared}`);
    expect(deliveries.map((delivery: any) => delivery.listenerId)).toEqual([ours.listener.id]);
    expect((await viewer.must('GET', '/stats')).nodes.map((node: any) => node.nodeCode)).toEqual([appId]);

    const { eventId } = await operator.must('POST', '/events', codes(type));
    expect(await flow.settled(eventId)).toMatchObject({ appId });
    const own = `/listeners/${ours.listener.id}`;
    expect(await operator.must('POST', `${own}/test`)).toMatchObject({ ok: true });
    expect(await operator.call('PATCH', own, { note: 'x' })).toMatchObject({ status: 403 });

    const { version } = await admin.must('GET', own);
    expect(await admin.call('PATCH', own, { note: 'x' }, { 'if-match': `"${version - 1}"` })).toMatchObject({
      status: 412,
    });
    expect(await admin.call('PATCH', own, { note: 'x' }, { 'if-match': `"${version}"` })).toMatchObject({
      status: 200,
    });
    expect(await admin.must('PATCH', `/nodes/${appId}`, { note: 'ours' })).toMatchObject({ note: 'ours' });
    expect((await admin.must('POST', `/nodes/${appId}/rotate-key`)).appKey).not.toBe('***');
  });

  it('replays to its node what that was owed before, and nothing that others were sent', async () => {
    const before = flow.callsOf(ours.eventId, ours.listener).length;
    const unseen = await sendAs(theirs.node, theirType, {});
    await flow.settled(unseen);
    // From now on the type is heard by us too, but the event was not owed to us.
    const late = await flow.listener(ours.node, theirType);
    const filter = { eventIds: [ours.eventId, unseen] };
    const { id } = await tokens.operator.must('POST', '/replays', { filter });
    const done = await until('the replay is over', async () => {
      const replay = await tokens.viewer.must('GET', `/replays/${id}`);
      return replay.state === 'done' ? replay : null;
    });
    expect(done).toMatchObject({ filter: { nodeCode: ours.node.appId }, matched: 1, done: 1 });
    await until('it was called again', async () => flow.callsOf(ours.eventId, ours.listener).length > before);
    expect(flow.callsOf(unseen, late)).toEqual([]);
  });

  it('ends with its node, and does not come back with a node of the same code', async () => {
    const node = await flow.node();
    const made = await flow.client.must('POST', '/tokens', {
      name: 'short-lived',
      role: 'admin',
      nodeCode: node.appId,
    });
    const client = new CentreClient(flow.client.url, made.token);
    await client.must('GET', '/nodes');
    await flow.client.must('DELETE', `/nodes/${node.appId}`);
    await until('it is refused', async () => (await client.call('GET', '/nodes')).status === 401, SEEN_WITHIN_MS);
    await flow.client.must('POST', '/nodes', { nodeCode: node.appId });
    expect((await client.call('GET', '/nodes')).status).toBe(401);
    const unknown = await flow.client.call('POST', '/tokens', { name: 'x', role: 'viewer', nodeCode: 'NOBODY' });
    expect(unknown).toMatchObject({ status: 422, body: { errors: [{ path: 'nodeCode' }] } });
  });
});

describe('an address from which too many tokens come that are not known', () => {
  let flow: Flow;
  let good: CentreClient;
  const LOCKOUT = { EVENT_CENTER_ACCESS_LOCKOUT_FAILURES: '5', EVENT_CENTER_ACCESS_LOCKOUT_DURATION_MS: '600000' };

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite', {
      ...LOCKOUT,
      EVENT_CENTER_HTTP_TRUSTED_PROXIES: '127.0.0.1',
    });
    const { token } = await flow.client.must('POST', '/tokens', { name: 'good', role: 'viewer' });
    good = new CentreClient(flow.client.url, token);
  });

  afterAll(() => flow.close());

  const from = (address: string) => ({ 'x-forwarded-for': address });
  const guess = (address: string) =>
    new CentreClient(flow.client.url, `ec_${'a'.repeat(43)}`).call('GET', '/nodes', undefined, from(address));

  async function lock(address: string): Promise<void> {
    for (let i = 0; i < 5; i += 1) expect((await guess(address)).status).toBe(401);
    expect(await guess(address)).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED' } });
  }

  it('is refused without a look at the token, and noted in metrics and audit log', async () => {
    await lock('203.0.113.1');
    expect((await good.call('GET', '/nodes', undefined, from('203.0.113.1'))).status).toBe(429);
    const metric = await flow.metric('event_center_callers_refused_total');
    expect(metric.get('{reason="unknown"}')).toBe(5);
    expect(metric.get('{reason="locked"}')).toBe(2);
    expect((await flow.metric('event_center_locked_addresses')).get('')).toBe(1);
    const { items } = await flow.client.must('GET', '/audit?limit=1');
    expect(items).toMatchObject([{ action: 'access.locked', actor: 'system', subjectId: '203.0.113.1' }]);
  });

  it('locks out nobody whose token was good from there a short while ago', async () => {
    await good.call('GET', '/nodes', undefined, from('203.0.113.2'));
    await lock('203.0.113.2');
    expect((await good.call('GET', '/nodes', undefined, from('203.0.113.2'))).status).toBe(200);
  });

  it('locks out no other address, and of IPv6 the network of 64 bits', async () => {
    await lock('2001:db8:1:2::1');
    expect((await guess('2001:db8:1:2:ffff::9')).status).toBe(429);
    expect((await guess('2001:db8:1:3::1')).status).toBe(401);
    expect((await good.call('GET', '/nodes', undefined, from('203.0.113.3'))).status).toBe(200);
  });

  it('keeps on sending signed events', async () => {
    const type = await flow.eventType();
    await lock('203.0.113.4');
    expect(await flow.trySend(type)).toMatchObject({ code: 'OK' });
  });
});

describe('an address in X-Forwarded-For', () => {
  it('is not believed from a peer that is no trusted proxy', async () => {
    const flow = await Flow.start('the embedded broker and SQLite', { EVENT_CENTER_ACCESS_LOCKOUT_FAILURES: '3' });
    try {
      const rubbish = new CentreClient(flow.client.url, 'rubbish');
      const statuses: number[] = [];
      for (let i = 1; i <= 4; i += 1) {
        const headers = { 'x-forwarded-for': `203.0.113.${i}` };
        statuses.push((await rubbish.call('GET', '/nodes', undefined, headers)).status);
      }
      expect(statuses).toEqual([401, 401, 401, 429]);
    } finally {
      await flow.close();
    }
  });
});

const SHARED = SURROUNDINGS.filter((kind) => kind === 'RabbitMQ and MariaDB');

(SHARED.length === 0 ? describe.skip : describe)('a token in two api processes', () => {
  let flow: Flow;
  let urls: string[];
  const dataDir = mkdtempSync(join(tmpdir(), 'event-center-tokens-'));

  beforeAll(async () => {
    // Who asks again until a token is refused by both must not be locked out by the one that knows first.
    const environment = { EVENT_CENTER_ROLE: 'api', EVENT_CENTER_ACCESS_LOCKOUT_FAILURES: '0' };
    flow = await Flow.start('RabbitMQ and MariaDB', environment);
    urls = [flow.client.url, (await flow.startAnother(environment, dataDir)).url];
  });

  afterAll(async () => {
    await flow.close();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const statuses = (token: string) =>
    Promise.all(urls.map(async (url) => (await new CentreClient(url, token).call('GET', '/nodes')).status));
  const endsIn = (token: string, withinMs: number) =>
    until('both refuse it', async () => (await statuses(token)).every((status) => status === 401), withinMs);

  it('ends in both within a second of its revocation', async () => {
    const { id, token } = await flow.client.must('POST', '/tokens', { name: 'revoked', role: 'viewer' });
    expect(await statuses(token)).toEqual([200, 200]);
    await flow.client.must('DELETE', `/tokens/${id}`);
    await endsIn(token, SEEN_WITHIN_MS);
  });

  it('ends in both at its time', async () => {
    const expiresAt = Date.now() + 3_000;
    const request = { name: 'expiring', role: 'viewer', expiresAt: new Date(expiresAt).toISOString() };
    const { token } = await flow.client.must('POST', '/tokens', request);
    expect(await statuses(token)).toEqual([200, 200]);
    await endsIn(token, expiresAt - Date.now() + SEEN_WITHIN_MS);
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt);
  });
});
