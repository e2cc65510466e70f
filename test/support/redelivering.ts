import { EventCenterError } from '../../src/core/errors.js';
import { uuidV7 } from '../../src/core/ids.js';
import type {
  Event,
  EventMessage,
  EventType,
  Listener,
  ListenerRevision,
  Node,
  Outcome,
  RegistryData,
} from '../../src/core/model.js';
import type { BrokerStatus, Metrics, NodeQueue } from '../../src/core/ports.js';
import { fixedRegistry, RegistrySnapshot, type RegistryView } from '../../src/core/registry/registry.js';
import { AjvSchemaCompiler } from '../../src/schema/ajv.js';
import { aNode } from './accepting.js';

/** A clock that moves by hand. */
export class ManualClock {
  time: number;

  constructor(time = 1_800_000_000_000) {
    this.time = time;
  }

  now(): number {
    return this.time;
  }
}

/** Counts incidents by name, and nothing else. */
export function countingIncidents(): Metrics & { incidents: Map<string, number> } {
  const incidents = new Map<string, number>();
  const nothing = (): void => undefined;
  return {
    incidents,
    accepted: nothing,
    refused: nothing,
    deduplicationLost: nothing,
    leases: nothing,
    attempted: nothing,
    delivered: nothing,
    recorded: nothing,
    callerRefused: () => {},
    incident: (name) => incidents.set(name, (incidents.get(name) ?? 0) + 1),
  };
}

/** What went to node queues; `away` refuses as a broker that does not confirm. */
export class NodeQueues {
  readonly sent: { queue: NodeQueue; message: EventMessage }[] = [];
  away = false;

  status(): BrokerStatus {
    return { ready: true, blocked: false, problem: null, unconfirmedQueues: [] };
  }

  async publishToNode(queue: NodeQueue, message: EventMessage, delayMs: number): Promise<void> {
    if (this.away) throw new EventCenterError('UNAVAILABLE', 'the broker did not confirm in time');
    expect(delayMs).toBe(0);
    this.sent.push({ queue, message });
  }

  /** Node, generation and targets of each message, in the order of publishing. */
  get chains(): { nodeCode: string; generation: number; targets: string[] | null }[] {
    return this.sent.map(({ message }) => {
      if (message.chain === null) throw new Error('a message to one node has a chain');
      const { nodeCode, generation, targets } = message.chain;
      return { nodeCode, generation, targets };
    });
  }
}

export function aListener(nodeCode: string, eventTypeId: string, more: Partial<Listener> = {}): Listener {
  return {
    id: uuidV7(),
    eventTypeId,
    name: 'a listener',
    namei18n: null,
    implClassName: null,
    url: 'http://127.0.0.1:1/',
    owner: null,
    note: null,
    operIndex: 1,
    nodeCode,
    enabled: true,
    tenantCode: null,
    filter: null,
    format: 'iuap',
    method: 'POST',
    headers: {},
    timeoutMs: 15_000,
    secret: null,
    fieldsAsHeaders: false,
    retry: { strategy: 'default', maxAttempts: null, delaysMs: null },
    version: 1,
    lastTime: 0,
    ...more,
  };
}

export function anEvent(more: Partial<Event> = {}): Event {
  const acceptedAt = more.acceptedAt ?? 1_700_000_000_000;
  return {
    eventId: uuidV7(acceptedAt),
    appId: 'SENDER',
    eventTypeId: uuidV7(),
    sourceId: 'order',
    eventType: 'created',
    tenantCode: null,
    userObject: Buffer.from('{"n":1}'),
    senderUuid: null,
    traceparent: null,
    acceptedAt,
    deliverAt: null,
    registryVersion: 1,
    ...more,
  };
}

/** An outcome of the first generation; give `attempt` and what else matters. */
export function anOutcome(event: Event, listener: Listener, more: Partial<Outcome> & Pick<Outcome, 'state'>): Outcome {
  return {
    outcomeId: uuidV7(),
    eventId: event.eventId,
    listenerId: listener.id,
    nodeCode: listener.nodeCode,
    operIndex: listener.operIndex,
    generation: 1,
    sequence: 0,
    attempt: 1,
    called: true,
    reason: more.state === 'failed' ? 'exhausted' : null,
    startedAt: event.acceptedAt + 10,
    durationMs: 5,
    status: more.state === 'succeeded' ? 200 : 500,
    error: more.state === 'succeeded' ? null : 'status 500',
    response: null,
    nextAttemptAt: null,
    ...more,
  };
}

/** A registry that a test changes; listeners are owed from version 1 on unless `since` says later. */
export class EditableRegistry implements RegistryView {
  version = 1;
  nodes: Node[] = [];
  eventTypes: EventType[] = [];
  listeners: Listener[] = [];
  readonly #since = new Map<string, number>();

  add(listener: Listener, since = 1): Listener {
    if (!this.nodes.some((node) => node.nodeCode === listener.nodeCode)) this.nodes.push(aNode(listener.nodeCode));
    this.listeners.push(listener);
    this.#since.set(listener.id, since);
    this.version = Math.max(this.version, since);
    return listener;
  }

  remove(listenerId: string): void {
    this.listeners = this.listeners.filter((listener) => listener.id !== listenerId);
    this.version += 1;
  }

  edit(listenerId: string, more: Partial<Listener>): void {
    this.listeners = this.listeners.map((listener) =>
      listener.id === listenerId ? { ...listener, ...more } : listener,
    );
    this.version += 1;
  }

  current(): RegistrySnapshot {
    const revisions = this.listeners.map((listener): ListenerRevision => ({
      listenerId: listener.id,
      listenerName: listener.name,
      eventTypeId: listener.eventTypeId,
      nodeCode: listener.nodeCode,
      kind: listener.url === null ? 'plugin' : 'url',
      operIndex: listener.operIndex,
      fromVersion: this.#since.get(listener.id) ?? 1,
      toVersion: null,
      closedAt: null,
      tenantCode: listener.tenantCode,
      filter: listener.filter,
    }));
    const data: RegistryData = {
      version: this.version,
      nodes: this.nodes,
      eventTypes: this.eventTypes,
      listeners: this.listeners,
      revisions,
    };
    return new RegistrySnapshot(data, new AjvSchemaCompiler());
  }

  atLeast(version: number): Promise<RegistrySnapshot> {
    return fixedRegistry(this.current()).atLeast(version);
  }

  /** The store does not answer. */
  forVersion(version: number): Promise<RegistrySnapshot> {
    return this.atLeast(version);
  }

  refreshed(): Promise<RegistrySnapshot> {
    return Promise.resolve(this.current());
  }
}
