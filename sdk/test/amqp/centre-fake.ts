import type { EventMessage, Outcome } from '../../../src/core/model.js';
import type { Broker, DeadMessage, NodeQueue } from '../../../src/core/ports.js';
import { brokerFixture, silentLog, type BrokerFixture } from '../../../test/support/brokers.js';
import { FakeClaims } from '../../../test/support/delivery-fakes.js';
import { aChain, aMessage } from '../../../test/support/messages.js';
import { TEST_BROKER_URL } from '../../../test/support/raw-broker.js';
import { until } from '../../../test/support/until.js';
import { amqpTransport, type AmqpTransportOptions } from '../../src/amqp/index.js';
import { EventListenerHost, type EventListenerHostOptions } from '../../src/plugins/index.js';

const TYPE = '44444444-4444-4444-8444-444444444444';
const APP_KEY = Buffer.from('twenty random bytes!').toString('base64');

/** A plugin as it is registered. */
interface FakePlugin {
  id: string;
  implClassName: string;
  operIndex: number;
  timeoutMs: number;
  retry: { strategy: 'default' | 'loop' | 'none'; maxAttempts: number | null; delaysMs: number[] | null };
  fromVersion: number;
}

/**
 * What a host sees of a centre: queues on the real RabbitMQ, and the signed calls answered by script. Outcomes are taken
 * from their queue by the centre's own code, and what they settle is known to later claims.
 */
export class CentreFake {
  readonly fixture: BrokerFixture = brokerFixture('rabbitmq');
  readonly outcomes: Outcome[] = [];
  readonly dead: DeadMessage[] = [];
  readonly claims = new FakeClaims();
  readonly plugins: FakePlugin[] = [];
  readonly queue: NodeQueue;
  onExhausted: 'continue' | 'stop' = 'continue';
  version = 1;
  /** Whether the signed calls get no answer. */
  away = false;
  /** The code with which every signed call is refused, if any. */
  refusal: string | null = null;
  readonly #hosts: EventListenerHost[] = [];
  readonly #nodeUrl: string;
  #broker: Broker | null = null;

  constructor(nodeCode: string, nodeUrl: string) {
    this.queue = { kind: 'plugin', nodeCode };
    this.#nodeUrl = nodeUrl;
  }

  get broker(): Broker {
    if (this.#broker === null) throw new Error('the fake centre was not started');
    return this.#broker;
  }

  async start(): Promise<void> {
    this.#broker = await this.fixture.start();
    await this.broker.consumeOutcomes({ prefetch: 50 }, async ({ message }) => {
      for (const outcome of message) {
        this.outcomes.push(outcome);
        this.claims.record(outcome);
      }
      return 'ack';
    });
    await this.broker.consumeDead({ prefetch: 50 }, async ({ message }) => {
      this.dead.push(message);
      return 'ack';
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop(0)));
    await this.fixture.cleanup();
  }

  /** Registers a plugin; attempts once unless `over` says otherwise. Its class is named like it. */
  plugin(id: string, over: Partial<FakePlugin> = {}): this {
    const operIndex = this.plugins.length + 1;
    const retry = { strategy: 'none', maxAttempts: null, delaysMs: null } as const;
    const fromVersion = this.version;
    this.plugins.push({ id, implClassName: `app.${id}`, operIndex, timeoutMs: 5_000, retry, fromVersion, ...over });
    return this;
  }

  /** Declares the node's queue, its binding and the delays of its plugins, as the centre does for a new listener. */
  async declare(): Promise<void> {
    const delaysMs = this.plugins.flatMap(({ retry }) => retry.delaysMs ?? []);
    await this.broker.ensureTopology({ nodeQueues: [{ ...this.queue, eventTypeIds: [TYPE] }], delaysMs });
  }

  /** Publishes fresh events; gives their ids. */
  async publish(count = 1, over: Partial<EventMessage['event']> = {}): Promise<string[]> {
    const messages = Array.from({ length: count }, () =>
      aMessage({ eventTypeId: TYPE, registryVersion: this.version, ...over }),
    );
    await Promise.all(messages.map((message) => this.broker.publishEvent(message)));
    return messages.map(({ event }) => event.eventId);
  }

  /** Publishes an event whose steps must be claimed; gives its id. */
  async publishToClaim(generation = 1): Promise<string> {
    const message = aMessage({ eventTypeId: TYPE, registryVersion: this.version });
    const chain = aChain({ nodeCode: this.queue.nodeCode, generation, sequence: 0, attempt: 1 });
    await this.broker.publishToNode(this.queue, { ...message, chain }, 0);
    return message.event.eventId;
  }

  /** A host of the node, started, that is stopped with the fake. */
  async host(
    plugins: EventListenerHostOptions['plugins'],
    over: { concurrency?: number; transport?: Partial<AmqpTransportOptions> } = {},
  ): Promise<EventListenerHost> {
    const host = new EventListenerHost({
      baseUrl: 'http://centre.invalid',
      appId: this.queue.nodeCode,
      appKey: APP_KEY,
      fetch: (input, init) => this.#answer(new URL(input), init),
      plugins,
      refreshMs: 100,
      concurrency: over.concurrency ?? 4,
      transport: amqpTransport({ url: this.#nodeUrl, ...over.transport }),
      log: silentLog,
    });
    this.#hosts.push(host);
    await host.start();
    return host;
  }

  /** `<listener> <state> <attempt>` of an event's outcomes, once there are so many. */
  async ends(eventId: string, count: number): Promise<string[]> {
    const ofEvent = (): Outcome[] => this.outcomes.filter((outcome) => outcome.eventId === eventId);
    await until(`${count} outcomes of ${eventId} came`, () => ofEvent().length >= count);
    return ofEvent().map(({ listenerId, state, attempt }) => `${listenerId} ${state} ${attempt}`);
  }

  /** Resolves when nothing of the node waits any more. */
  async emptied(): Promise<void> {
    await until('the queue of the node is empty', async () => (await this.broker.depth(this.queue)) === 0);
  }

  async #answer(url: URL, init: RequestInit | undefined): Promise<Response> {
    if (this.away) throw new TypeError('fetch failed');
    if (this.refusal !== null) return answerOf({ status: 0, code: this.refusal, message: 'it is disabled' });
    if (url.pathname.endsWith('/eventinfo/index.do')) return this.#eventInfo(new Headers(init?.headers));
    if (url.pathname.endsWith('/claim.do')) return this.#claim(new URLSearchParams(init?.body as string));
    throw new Error(`nobody answers ${url.pathname}`);
  }

  async #claim(fields: URLSearchParams): Promise<Response> {
    const claim = await this.claims.claim({
      eventId: fields.get('eventId') as string,
      nodeCode: this.queue.nodeCode,
      generation: Number(fields.get('generation')),
      sequence: Number(fields.get('sequence')),
      messageId: fields.get('messageId') as string,
    });
    const settled = claim.result === 'granted' ? { settled: Object.fromEntries(claim.settled) } : {};
    return answerOf({ result: claim.result, ...settled });
  }

  #eventInfo(headers: Headers): Response {
    const etag = `"${this.version}"`;
    if (headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers: { etag } });
    const { nodeCode } = this.queue;
    const node = { nodeCode, enabled: true, onExhausted: this.onExhausted, concurrency: 8, deliverRateLimit: null };
    const of = { eventTypeId: TYPE, tenantCode: null, filter: null };
    const listeners = this.plugins.map(({ id, implClassName, operIndex, timeoutMs, retry }) => ({
      ...{ ...of, id, name: id, namei18n: null, sourceId: 'ORDER', eventTypeCode: 'CREATED', url: null, implClassName },
      ...{ operIndex, enabled: true, owner: null, note: null, format: 'iuap', timeoutMs, retry, version: 1 },
    }));
    const revisions = this.plugins.map(({ id, operIndex, fromVersion }) => ({
      ...{ ...of, listenerId: id, listenerName: id, operIndex, fromVersion, toVersion: null, closedAt: null },
    }));
    const delays = { defaultDelaysMs: [1_000], delaysMs: [1_000], brokerPrefix: this.fixture.prefix };
    return answerOf({ version: this.version, node, eventTypes: [], listeners, revisions, ...delays }, { etag });
  }
}

function answerOf(data: object, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ data: { status: 1, ...data } }), { status: 200, headers });
}

/** The url of the tests' broker with another host and port. */
export function throughPort(url: string, port: number): string {
  const other = new URL(url);
  other.hostname = '127.0.0.1';
  other.port = String(port);
  return other.href;
}

/** Where the tests' broker listens. */
export function brokerTarget(): { host: string; port: number } {
  const { hostname, port } = new URL(TEST_BROKER_URL);
  return { host: hostname, port: Number(port || 5672) };
}
