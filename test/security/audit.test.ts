import { CentreClient } from '../support/centre-client.js';
import { Flow, type FlowListener, type FlowNode, type FlowType } from '../support/flow.js';
import { until } from '../support/until.js';

/** In every secret that is given; in Base64 where a key is expected. */
const SECRETS = ['planted-listener-secret', 'planted-header-value', 'cGxhbnRlZC1rZXktb2YtdGhlLW5vZGU='];
const [LISTENER_SECRET, HEADER_SECRET, KEY] = SECRETS as [string, string, string];

/** A write, and the entry that it must leave; null for one that leaves none. */
interface Write {
  path: string;
  body?: unknown;
  entry: { action: string; subjectKind: string; subjectId?: string; detail?: object } | null;
}

describe('the audit log', () => {
  let flow: Flow;
  let node: FlowNode;
  let type: FlowType;
  let listener: FlowListener;
  let failing: FlowListener;
  let waiting: string;
  let tokenId: string;
  const shown: string[] = [];

  beforeAll(async () => {
    flow = await Flow.start('the embedded broker and SQLite');
    node = await flow.node();
    type = await flow.eventType();
    listener = await flow.listener(node, type);
    failing = await flow.listener(await flow.node(), type, { retry: { strategy: 'loop', delaysMs: [60_000] } });
    flow.stub.answer(failing.path, { status: 500 });
    waiting = await flow.send(type);
    await flow.deliveryIn(waiting, failing, 'retrying');
    await flow.deliveryIn(waiting, listener, 'succeeded');
    tokenId = (await flow.client.must('POST', '/tokens', { name: 'to-be-revoked', role: 'viewer' })).id;
  });

  afterAll(() => flow.close());

  const audit = async (): Promise<any[]> => flow.client.all('/audit');

  /** Every writing call of the API, in an order in which each succeeds. */
  function writes(made: Record<string, any>): Record<string, () => Write> {
    const { appId } = node;
    return {
      'POST /nodes': () => ({
        path: '/nodes',
        body: { nodeCode: 'MADE', clientKey: KEY },
        entry: { action: 'node.created', subjectKind: 'node', subjectId: 'MADE', detail: { clientKey: '***' } },
      }),
      'PATCH /nodes/{nodeCode}': () => ({
        path: '/nodes/MADE',
        body: { note: 'changed', clientKey: KEY },
        entry: {
          ...{ action: 'node.updated', subjectKind: 'node', subjectId: 'MADE' },
          detail: { note: 'changed', clientKey: '***' },
        },
      }),
      'POST /nodes/{nodeCode}/rotate-key': () => ({
        path: '/nodes/MADE/rotate-key',
        body: { graceMs: 1_000, appKey: KEY },
        entry: {
          ...{ action: 'node.key-rotated', subjectKind: 'node', subjectId: 'MADE' },
          detail: { graceMs: 1_000, appKey: '***' },
        },
      }),
      'DELETE /nodes/{nodeCode}': () => ({
        path: '/nodes/MADE',
        entry: { action: 'node.deleted', subjectKind: 'node', subjectId: 'MADE' },
      }),
      'POST /event-types': () => ({
        path: '/event-types',
        body: { sourceId: 'MADE', eventTypeCode: 'MADE' },
        entry: { action: 'event-type.created', subjectKind: 'event-type', detail: { sourceId: 'MADE' } },
      }),
      'PATCH /event-types/{id}': () => ({
        path: `/event-types/${made['POST /event-types'].id}`,
        body: { note: 'changed' },
        entry: { action: 'event-type.updated', subjectKind: 'event-type', detail: { note: 'changed' } },
      }),
      'DELETE /event-types/{id}': () => ({
        path: `/event-types/${made['POST /event-types'].id}`,
        entry: { action: 'event-type.deleted', subjectKind: 'event-type', detail: { sourceId: 'MADE' } },
      }),
      'POST /listeners': () => ({
        path: '/listeners',
        body: {
          ...{ name: 'made', nodeCode: appId, eventTypeId: type.id, url: flow.stub.url('/made') },
          ...{ secret: LISTENER_SECRET, headers: { 'X-Api-Key': HEADER_SECRET } },
        },
        entry: {
          ...{ action: 'listener.created', subjectKind: 'listener' },
          detail: { name: 'made', secret: '***', headers: { 'X-Api-Key': '***' } },
        },
      }),
      'PATCH /listeners/{id}': () => ({
        path: `/listeners/${made['POST /listeners'].id}`,
        body: { name: 'changed', secret: LISTENER_SECRET },
        entry: { action: 'listener.updated', subjectKind: 'listener', detail: { name: 'changed', secret: '***' } },
      }),
      'POST /listeners/{id}/test': () => ({
        path: `/listeners/${made['POST /listeners'].id}/test`,
        entry: { action: 'listener.tested', subjectKind: 'listener', detail: { status: 200 } },
      }),
      'DELETE /listeners/{id}': () => ({
        path: `/listeners/${made['POST /listeners'].id}`,
        entry: { action: 'listener.deleted', subjectKind: 'listener', detail: { name: 'changed', nodeCode: appId } },
      }),
      // The event itself is the record, and its line in the log names the token.
      'POST /events': () => ({
        path: '/events',
        body: { sourceId: type.sourceId, eventType: type.eventTypeCode },
        entry: null,
      }),
      'POST /deliveries/{eventId}/{listenerId}/retry': () => ({
        path: `/deliveries/${waiting}/${failing.id}/retry`,
        entry: { action: 'delivery.retried', subjectKind: 'delivery', subjectId: `${waiting}/${failing.id}` },
      }),
      'POST /deliveries/{eventId}/{listenerId}/cancel': () => ({
        path: `/deliveries/${waiting}/${failing.id}/cancel`,
        entry: { action: 'delivery.cancelled', subjectKind: 'delivery', subjectId: `${waiting}/${failing.id}` },
      }),
      'POST /replays': () => ({
        path: '/replays',
        body: { filter: { nodeCode: appId }, dryRun: true },
        entry: {
          action: 'replay.started',
          subjectKind: 'replay',
          detail: { filter: { nodeCode: appId }, dryRun: true },
        },
      }),
      'DELETE /replays/{id}': () => ({
        path: `/replays/${made['POST /replays'].id}`,
        entry: { action: 'replay.cancelled', subjectKind: 'replay', subjectId: made['POST /replays'].id },
      }),
      'POST /tokens': () => ({
        path: '/tokens',
        body: { name: 'made', role: 'operator', nodeCode: appId },
        entry: {
          ...{ action: 'token.created', subjectKind: 'token' },
          detail: { name: 'made', role: 'operator', nodeCode: appId },
        },
      }),
      'DELETE /tokens/{id}': () => ({
        path: `/tokens/${tokenId}`,
        entry: { action: 'token.revoked', subjectKind: 'token', subjectId: tokenId, detail: { name: 'to-be-revoked' } },
      }),
    };
  }

  it('has one entry for every write of the API: who, in which request, did what to what', async () => {
    const { paths } = JSON.parse((await flow.client.get('/openapi.json')).text);
    const documented = Object.entries<object>(paths).flatMap(([path, item]) =>
      path.startsWith('/api/v1')
        ? Object.keys(item)
            .filter((method) => method !== 'get')
            .map((method) => `${method.toUpperCase()} ${path.slice(7)}`)
        : [],
    );
    const made: Record<string, any> = {};
    const all = writes(made);
    expect(Object.keys(all).sort()).toEqual(documented.sort());
    const { token: secret } = await flow.client.must('POST', '/tokens', { name: 'clerk', role: 'admin' });
    shown.push(secret);
    const clerk = new CentreClient(flow.client.url, secret);
    for (const [call, write] of Object.entries(all)) {
      const [method = ''] = call.split(' ');
      const { path, body, entry } = write();
      const requestId = `request-${call.replace(/[^A-Za-z]+/g, '-')}`;
      const answer = await clerk.call(method, path, body, { 'x-request-id': requestId });
      expect([call, answer.status < 300 ? 'done' : answer]).toEqual([call, 'done']);
      made[call] = answer.body;
      shown.push(...[answer.body?.token, answer.body?.appKey].filter((text) => text !== undefined && text !== '***'));
      const left = (await audit()).filter((one) => one.requestId === requestId);
      expect([call, left]).toMatchObject([call, entry === null ? [] : [{ actor: 'token:clerk', ...entry }]]);
    }
  });

  it('has no entry for a write that was refused', async () => {
    const before = (await audit()).length;
    expect((await flow.client.call('POST', '/nodes', { nodeCode: 'not allowed' })).status).toBe(422);
    expect((await flow.client.call('DELETE', '/nodes/NOBODY')).status).toBe(404);
    expect(await audit()).toHaveLength(before);
  });

  it('tells what the centre did by itself: tables brought up to date, a listener that is gone disabled', async () => {
    const gone = await flow.listener(node, await flow.eventType());
    flow.stub.answer(gone.path, { status: 410 });
    const goneType = await flow.client.must('GET', `/listeners/${gone.id}`);
    const { sourceId, eventTypeCode } = await flow.client.must('GET', `/event-types/${goneType.eventTypeId}`);
    await flow.send({ id: goneType.eventTypeId, sourceId, eventTypeCode });
    const disabled = await until('it is disabled', async () =>
      (await audit()).find((one) => one.action === 'listener.disabled'),
    );
    expect(disabled).toMatchObject({
      ...{ actor: 'system', requestId: null, subjectKind: 'listener', subjectId: gone.id },
      detail: { enabled: false, reason: expect.stringContaining('410') },
    });
    const migrated = (await audit()).find((one) => one.action === 'database.migrated');
    expect(migrated).toMatchObject({ actor: 'system', subjectKind: 'database' });
    expect(migrated.detail.migrations.length).toBeGreaterThan(0);
  });

  it('has no secret in any entry', async () => {
    const text = JSON.stringify(await audit());
    expect(shown.length).toBeGreaterThanOrEqual(3);
    for (const secret of [...SECRETS, ...shown, flow.centre.token]) {
      expect([secret, text.includes(secret)]).toEqual([secret, false]);
    }
  });
});
