import type { Express, RequestHandler } from 'express';
import request from 'supertest';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { EventCenterError } from '../../src/core/errors.js';
import type { Delivery } from '../../src/core/model.js';
import type {
  DeliveryAdmin,
  EventDetail,
  JournalReader,
  ListenerAnswer,
  ListenerCall,
  QueueRef,
  Role,
  StatsRequest,
} from '../../src/core/ports.js';
import { readinessOf, type Surroundings } from '../../src/core/readiness.js';
import { createManagementApp } from '../../src/http/management/app.js';
import { callerOf } from '../../src/http/management/authenticate.js';
import { PrometheusMetrics } from '../../src/metrics.js';
import { accessOf, newToken } from './accessing.js';
import { MemoryAuditStore, MemoryTokenStore } from './memory-access-stores.js';
import { aRegistryAdmin, quietLog, type RegistryAdminKit } from './registry-admin.js';

type Call = 'get' | 'post' | 'patch' | 'delete' | 'put' | 'options' | 'head';

/** The management API over fakes. Every answer under `/api/v1` is checked against the OpenAPI document. */
export interface ManagementKit extends RegistryAdminKit {
  app: Express;
  tokens: MemoryTokenStore;
  secrets: Record<Role, string>;
  audit: MemoryAuditStore;
  journal: FakeJournal;
  deliveries: FakeDeliveries;
  caller: { calls: ListenerCall[]; answer: ListenerAnswer | Promise<ListenerAnswer> };
  /** Depths by `<kind>` or `<kind> <node code>`. */
  depths: Map<string, number | null>;
  brokerAway: { value: boolean };
  surroundings: Surroundings;
  metrics: PrometheusMetrics;
  /** Errors of ours that were logged. */
  logged: { event: string; fields: Record<string, unknown> | undefined }[];
  published: { path: string; actor: string }[];
  /** Calls the API with a token of the role; null sends none. */
  api(
    method: Call,
    path: string,
    options?: { role?: Role | null; body?: unknown; headers?: Record<string, string> },
  ): Promise<request.Response>;
}

export async function aManagementApp(): Promise<ManagementKit> {
  const kit = aRegistryAdmin();
  const { clock } = kit;
  const tokens = new MemoryTokenStore();
  const audit = new MemoryAuditStore(kit.store.audits);
  const { registry } = kit;
  const access = accessOf({ tokens, clock, registry });
  const secrets = {} as Record<Role, string>;
  for (const role of ['admin', 'operator', 'viewer'] as const) {
    secrets[role] = (await access.create({ name: 'system', requestId: null }, newToken({ name: role, role }))).secret;
  }
  const apiAccess = accessOf({ tokens, audit, clock, registry });
  const logged: ManagementKit['logged'] = [];
  const caller: ManagementKit['caller'] = { calls: [], answer: anAnswer() };
  const depths = new Map<string, number | null>();
  const brokerAway = { value: false };
  const surroundings: Surroundings = {
    broker: { ready: true, blocked: false, problem: null, unconfirmedQueues: [] },
    registryVersion: 1,
    registryProblem: null,
    unreadableSecrets: 0,
    databaseUp: true,
    journalLagging: false,
    stopping: false,
  };
  const broker = {
    depth: async (queue: QueueRef) => {
      if (brokerAway.value) throw new EventCenterError('UNAVAILABLE', 'no broker');
      return depths.get('nodeCode' in queue ? `${queue.kind} ${queue.nodeCode}` : queue.kind) ?? 0;
    },
    status: () => surroundings.broker,
  };
  const journal = new FakeJournal();
  const deliveries = new FakeDeliveries();
  const metrics = new PrometheusMetrics(clock);
  const published: ManagementKit['published'] = [];
  const publish: RequestHandler = (req, res) => {
    published.push({ path: req.path, actor: callerOf(res).actor.name });
    res.status(202).json({ eventId: 'e', code: 'OK' });
  };
  metrics.observe({
    broker,
    snapshot: () => kit.registry.current(),
    registryCheckedAt: () => clock.now() - 500,
    unreadableSecrets: () => surroundings.unreadableSecrets,
    journal,
    isDatabaseUp: () => surroundings.databaseUp,
    openCircuitBreakers: () => 2,
    lockedAddresses: () => apiAccess.lockedAddresses(),
    recordsJournal: true,
  });
  const app = createManagementApp({
    ...kit,
    journal,
    deliveries,
    access: apiAccess,
    audit,
    caller: {
      call: async (call) => {
        caller.calls.push(call);
        return caller.answer;
      },
    },
    broker,
    log: { ...quietLog, error: (event, fields) => void logged.push({ event, fields }) },
    publishEvents: [publish],
    contextPath: '/event',
    trustedProxies: [],
    readiness: () => readinessOf(surroundings),
    metrics,
  });
  const conforms = await documentedAnswers(app);
  return {
    ...kit,
    ...{
      app,
      tokens,
      secrets,
      audit,
      journal,
      deliveries,
      caller,
      depths,
      brokerAway,
      surroundings,
      metrics,
      logged,
      published,
    },
    async api(method, path, { role = 'admin', body, headers = {} } = {}) {
      let call = request(app)[method](`/api/v1${path}`).set(headers);
      if (role !== null) call = call.set('Authorization', `Bearer ${secrets[role]}`);
      const res = await (body === undefined ? call : call.send(body as object));
      conforms(method, `/api/v1${path}`, res);
      return res;
    },
  };
}

/** Checks that an answer is one that the OpenAPI document of the app describes. */
async function documentedAnswers(app: Express): Promise<(method: Call, path: string, res: request.Response) => void> {
  const document = (await request(app).get('/openapi.json')).body;
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema(document, 'document');
  const paths = Object.keys(document.paths);
  return (method, path, res) => {
    const pathname = path.split('?')[0]!;
    const template = paths.find((one) => new RegExp(`^${one.replace(/\{\w+\}/g, '[^/]+')}$`).test(pathname));
    const operation = template === undefined ? undefined : document.paths[template][method];
    if (template === undefined || operation === undefined) return;
    const described = operation.responses[res.status] ?? operation.responses.default;
    if (described === undefined)
      throw new Error(`${method} ${template} answers ${String(res.status)}, which is not documented: ${res.text}`);
    if (described.content === undefined) {
      expect(res.text).toBe('');
      return;
    }
    const [type] = Object.keys(described.content) as [string];
    expect(res.headers['content-type']!.split(';')[0]).toBe(type);
    const pointer = ['paths', template, method, 'responses', String(res.status), 'content', type, 'schema'];
    const escaped = pointer.map((part) => part.replaceAll('~', '~0').replaceAll('/', '~1')).join('/');
    const validate =
      ajv.getSchema(`document#/${escaped}`) ??
      ajv.getSchema(`document#/${escaped.replace(`/${String(res.status)}/`, '/default/')}`);
    const body = type.endsWith('json') && res.text !== '' ? JSON.parse(res.text) : res.text;
    if (validate?.(body) !== true) {
      throw new Error(
        `${method} ${template} ${String(res.status)} is not as documented: ${ajv.errorsText(validate?.errors)}\n${res.text}`,
      );
    }
  };
}

export function anAnswer(over: Partial<ListenerAnswer> = {}): ListenerAnswer {
  return {
    kind: 'success',
    status: 200,
    error: null,
    response: null,
    retryAfterMs: null,
    startedAt: 0,
    durationMs: 12,
    ...over,
  };
}

/** Answers what it was given, and keeps what it was asked. */
export class FakeJournal implements JournalReader {
  readonly asked: unknown[][] = [];
  events: EventDetail[] = [];
  deliveries: Awaited<ReturnType<JournalReader['findDelivery']>>[] = [];
  failures: Awaited<ReturnType<JournalReader['listFailures']>>['items'] = [];
  unsettled: Awaited<ReturnType<JournalReader['oldestUnsettled']>> = [];
  problem: Error | null = null;
  nextCursor: string | null = null;

  async listEvents(...asked: Parameters<JournalReader['listEvents']>) {
    this.#note('listEvents', ...asked);
    const items = this.events.map(({ userObject: _, traceparent: __, deliveries: ___, ...summary }) => summary);
    return { items, nextCursor: this.nextCursor };
  }

  async findEvent(eventId: string) {
    this.#note('findEvent', eventId);
    return this.events.find((one) => one.eventId === eventId) ?? null;
  }

  async listDeliveries(...asked: Parameters<JournalReader['listDeliveries']>) {
    this.#note('listDeliveries', ...asked);
    return { items: this.deliveries as Delivery[], nextCursor: this.nextCursor };
  }

  async findDelivery(eventId: string, listenerId: string) {
    this.#note('findDelivery', eventId, listenerId);
    return this.deliveries.find((one) => one?.eventId === eventId && one.listenerId === listenerId) ?? null;
  }

  async listFailures(...asked: Parameters<JournalReader['listFailures']>) {
    this.#note('listFailures', ...asked);
    return { items: this.failures, nextCursor: this.nextCursor };
  }

  async stats(request: StatsRequest) {
    const { from, to } = request;
    this.#note('stats', request);
    return [{ from, to, accepted: 3, delivered: 2, retrying: 1, failed: 0 }];
  }

  async oldestUnsettled() {
    this.#note('oldestUnsettled');
    return this.unsettled;
  }

  #note(...asked: unknown[]): void {
    if (this.problem !== null) throw this.problem;
    this.asked.push(asked);
  }
}

/** Keeps what it was asked. */
export class FakeDeliveries implements DeliveryAdmin {
  readonly asked: unknown[][] = [];
  problem: Error | null = null;
  replays = new Map<string, Awaited<ReturnType<DeliveryAdmin['startReplay']>>>();

  async retry(...asked: Parameters<DeliveryAdmin['retry']>) {
    this.#note('retry', ...asked);
  }

  async cancel(...asked: Parameters<DeliveryAdmin['cancel']>) {
    this.#note('cancel', ...asked);
  }

  async startReplay(...[actor, ask]: Parameters<DeliveryAdmin['startReplay']>) {
    this.#note('startReplay', actor, ask);
    const replay = {
      ...ask,
      id: '0190aaaa-0000-7000-8000-000000000001',
      state: 'pending' as const,
      ...{ matched: 0, done: 0, failed: 0, error: null, createdAt: 0, createdBy: actor.name, finishedAt: null },
    };
    this.replays.set(replay.id, replay);
    return replay;
  }

  async findReplay(id: string) {
    return this.replays.get(id) ?? null;
  }

  async cancelReplay(...[actor, id]: Parameters<DeliveryAdmin['cancelReplay']>) {
    this.#note('cancelReplay', actor, id);
    const replay = this.replays.get(id);
    if (replay === undefined) throw new EventCenterError('NOT_FOUND', `there is no replay ${id}`);
    return { ...replay, state: 'cancelled' as const, finishedAt: 1 };
  }

  #note(...asked: unknown[]): void {
    if (this.problem !== null) throw this.problem;
    this.asked.push(asked);
  }
}
