import { EventCenterError } from '../../src/core/errors.js';
import type { DeliveryState, EventMessage, Outcome } from '../../src/core/model.js';
import type {
  Broker,
  Claim,
  ClaimRequest,
  ClaimStore,
  Clock,
  ConsumeOptions,
  Handler,
  ListenerAnswer,
  ListenerCall,
  ListenerCaller,
  Log,
  Metrics,
  NodeQueue,
  ParkedMessage,
  ParkedStore,
  QueueRef,
  Received,
  Settlement,
  Subscription,
} from '../../src/core/ports.js';

export class ManualClock {
  time = 1_000_000;

  now(): number {
    return this.time;
  }
}

/** Lines and counts, for looking at afterwards. */
export class Recorder implements Log, Metrics {
  readonly lines: { level: string; event: string; fields: Record<string, unknown> }[] = [];
  readonly incidents: string[] = [];
  readonly states: DeliveryState[] = [];

  debug = (event: string, fields = {}): void => void this.lines.push({ level: 'debug', event, fields });
  info = (event: string, fields = {}): void => void this.lines.push({ level: 'info', event, fields });
  warn = (event: string, fields = {}): void => void this.lines.push({ level: 'warn', event, fields });
  error = (event: string, fields = {}): void => void this.lines.push({ level: 'error', event, fields });
  accepted = (): void => undefined;
  refused = (): void => undefined;
  callerRefused = (): void => undefined;
  deduplicationLost = (): void => undefined;
  attempted = (): void => undefined;
  delivered = (state: DeliveryState): void => void this.states.push(state);
  recorded = (): void => undefined;
  readonly leaseCounts: Record<string, number> = {};
  leases = (what: string, count: number): void => {
    this.leaseCounts[what] = (this.leaseCounts[what] ?? 0) + count;
  };
  incident = (name: string): void => void this.incidents.push(name);

  named(event: string): Record<string, unknown>[] {
    return this.lines.filter((line) => line.event === event).map((line) => line.fields);
  }
}

export interface Published {
  queue: NodeQueue;
  message: EventMessage;
  delayMs: number;
}

/** One consumer as a worker made it. */
export class FakeSubscription implements Subscription {
  paused = false;
  stopped = false;
  readonly running = new Set<Promise<Settlement>>();

  readonly queue: NodeQueue;
  readonly options: ConsumeOptions;
  readonly handler: Handler<EventMessage>;

  constructor(queue: NodeQueue, options: ConsumeOptions, handler: Handler<EventMessage>) {
    this.queue = queue;
    this.options = options;
    this.handler = handler;
  }

  /** Hands a message to the worker. */
  give(received: Received<EventMessage>): Promise<Settlement> {
    const settlement = this.handler(received);
    this.running.add(settlement);
    void settlement.finally(() => this.running.delete(settlement));
    return settlement;
  }

  async pause(): Promise<void> {
    this.paused = true;
  }

  async resume(): Promise<void> {
    this.paused = false;
  }

  async stop(): Promise<void> {
    this.paused = true;
    this.stopped = true;
    await Promise.all(this.running);
  }
}

type Way = 'publishToNode' | 'publishOutcomes' | 'publishEvent' | 'consumeNode';

/** Takes everything, unless a way is in `away`. Nothing goes round by itself. */
export class FakeBroker implements Pick<Broker, Way | 'depth'> {
  readonly successors: Published[] = [];
  readonly outcomes: Outcome[] = [];
  readonly outcomeBatches: Outcome[][] = [];
  readonly events: EventMessage[] = [];
  readonly subscriptions: FakeSubscription[] = [];
  readonly away = new Set<Way>();
  readonly missingQueues = new Set<string>();
  /** What happened, in order. */
  readonly history: string[] = [];

  async publishToNode(queue: NodeQueue, message: EventMessage, delayMs: number): Promise<void> {
    this.#pass('publishToNode');
    this.successors.push({ queue, message, delayMs });
    this.history.push(`successor ${message.event.eventId}`);
  }

  async publishOutcomes(outcomes: Outcome[]): Promise<void> {
    this.#pass('publishOutcomes');
    this.outcomes.push(...outcomes);
    this.outcomeBatches.push(outcomes);
    for (const outcome of outcomes) this.history.push(`outcome ${outcome.listenerId} ${outcome.state}`);
  }

  async publishEvent(message: EventMessage): Promise<void> {
    this.#pass('publishEvent');
    this.events.push(message);
    this.history.push(`event ${message.event.eventType}`);
  }

  async consumeNode(queue: NodeQueue, options: ConsumeOptions, handler: Handler<EventMessage>): Promise<Subscription> {
    this.#pass('consumeNode');
    const subscription = new FakeSubscription(queue, options, handler);
    this.subscriptions.push(subscription);
    return subscription;
  }

  async depth(queue: QueueRef): Promise<number | null> {
    return 'nodeCode' in queue && this.missingQueues.has(queue.nodeCode) ? null : 0;
  }

  /** The consumer of a node that lives, if any. */
  consumer(nodeCode: string): FakeSubscription | undefined {
    return this.subscriptions.filter(({ queue, stopped }) => queue.nodeCode === nodeCode && !stopped).at(-1);
  }

  #pass(way: Way): void {
    if (this.away.has(way)) throw new EventCenterError('UNAVAILABLE', `${way}: the broker is away`);
  }
}

/** The claim rule of the store, and of the recorder that follows the outcomes. */
export class FakeClaims implements ClaimStore {
  readonly requests: ClaimRequest[] = [];
  readonly settled = new Map<string, Map<string, DeliveryState>>();
  away = false;
  readonly #chains = new Map<string, { generation: number; sequence: number; messageId: string | null }>();

  async claim(request: ClaimRequest): Promise<Claim> {
    if (this.away) throw new EventCenterError('UNAVAILABLE', 'the store is away');
    this.requests.push(request);
    const key = `${request.eventId} ${request.nodeCode}`;
    const kept = this.#chains.get(key) ?? { generation: 1, sequence: 0, messageId: null };
    if (request.generation < kept.generation) return { result: 'stale' };
    if (request.generation === kept.generation) {
      const other = kept.messageId !== null && kept.messageId !== request.messageId;
      if (request.sequence < kept.sequence) return { result: 'lost' };
      if (request.sequence === kept.sequence && other) return { result: 'lost' };
    }
    this.#chains.set(key, { generation: request.generation, sequence: request.sequence, messageId: request.messageId });
    return { result: 'granted', settled: new Map(this.settled.get(`${key} ${request.generation}`) ?? []) };
  }

  record(outcome: Outcome): void {
    const { eventId, nodeCode, generation, sequence, listenerId, state } = outcome;
    const key = `${eventId} ${nodeCode}`;
    if (state !== 'retrying') {
      const settled = this.settled.get(`${key} ${generation}`) ?? new Map<string, DeliveryState>();
      this.settled.set(`${key} ${generation}`, settled.set(listenerId, state));
      return;
    }
    const kept = this.#chains.get(key) ?? { generation: 1, sequence: 0 };
    if (generation < kept.generation || (generation === kept.generation && sequence + 1 <= kept.sequence)) return;
    this.#chains.set(key, { generation, sequence: sequence + 1, messageId: null });
  }

  raiseGeneration(eventId: string, nodeCode: string, generation: number): void {
    this.#chains.set(`${eventId} ${nodeCode}`, { generation, sequence: 0, messageId: null });
  }
}

export class FakeParked implements ParkedStore {
  readonly parked: { message: ParkedMessage; dueAt: number }[] = [];
  away = false;

  async park(message: ParkedMessage, dueAt: number): Promise<void> {
    if (this.away) throw new EventCenterError('UNAVAILABLE', 'the store is away');
    this.parked.push({ message, dueAt });
  }

  publishDue(): Promise<number> {
    return Promise.reject(new Error('not for the worker'));
  }
}

export type ScriptedAnswer = 'success' | 'refused' | 'unreachable' | Partial<ListenerAnswer>;

/** Answers by script, success when it says nothing; can hold answers back. */
export class ScriptedCaller implements ListenerCaller {
  readonly calls: { eventId: string; listenerId: string; attempt: number; nodeCode: string }[] = [];
  script: (call: ListenerCall) => ScriptedAnswer | Promise<ScriptedAnswer> = () => 'success';
  running = 0;
  mostRunning = 0;

  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async call(call: ListenerCall): Promise<ListenerAnswer> {
    const { event, listener, attempt, node } = call;
    this.calls.push({ eventId: event.eventId, listenerId: listener.id, attempt, nodeCode: node.nodeCode });
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    const startedAt = this.#clock.now();
    const scripted = await this.script(call);
    this.running -= 1;
    const part = typeof scripted === 'string' ? { kind: scripted } : scripted;
    const kind = part.kind ?? 'refused';
    return {
      kind,
      status: kind === 'unreachable' ? null : kind === 'success' ? 200 : 500,
      error: kind === 'success' ? null : `it was ${kind}`,
      response: null,
      retryAfterMs: null,
      startedAt,
      durationMs: this.#clock.now() - startedAt,
      ...part,
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

let messages = 0;

/** A message as it comes from the queue for the first time. */
export function received(message: EventMessage, over: Partial<Received<EventMessage>> = {}): Received<EventMessage> {
  messages += 1;
  return { message, messageId: `m${messages}`, redelivered: false, bytes: 100, ...over };
}
