import { Acceptor, type AcceptorDeps } from '../../src/core/accepting/accept.js';
import { EventCenterError } from '../../src/core/errors.js';
import type { Event, EventMessage, EventType, Node, RegistryData } from '../../src/core/model.js';
import type { IdempotencyStore, KeyState, Log } from '../../src/core/ports.js';
import { fixedRegistry, RegistrySnapshot, type RegistryView } from '../../src/core/registry/registry.js';
import { AjvSchemaCompiler } from '../../src/schema/ajv.js';

/** The key that the vendor's vectors are signed with. */
export const VECTOR_KEY = 'MDEyMzQ1Njc4OWFiY2RlZjAxMjM=';
/** The `ts` of the vendor's vectors. */
export const VECTOR_TS = 1467345600000;

export function aNode(nodeCode: string, more: Partial<Node> = {}): Node {
  return {
    nodeCode,
    nodeName: null,
    note: null,
    appKey: VECTOR_KEY,
    previousKeys: [],
    clientKey: null,
    algorithm: 'HmacSHA1',
    contentLength: 'exact',
    enabled: true,
    onExhausted: 'continue',
    concurrency: 1,
    sendRateLimit: null,
    deliverRateLimit: null,
    version: 1,
    lastTime: 0,
    ...more,
  };
}

export function anEventType(sourceId: string, eventTypeCode: string, more: Partial<EventType> = {}): EventType {
  return {
    id: `type ${sourceId} ${eventTypeCode}`,
    sourceId,
    sourceName: null,
    eventTypeCode,
    eventTypeName: null,
    owner: 'ALL',
    note: null,
    schema: null,
    version: 1,
    lastTime: 0,
    ...more,
  };
}

/** A registry view over snapshots that a test can replace; `refreshes` counts the questions to the store. */
export class SwitchableRegistry implements RegistryView {
  refreshes = 0;
  #current: RegistryView;
  #refreshed: RegistryView;

  constructor(data: Partial<RegistryData>) {
    this.#current = this.#refreshed = viewOf(data);
  }

  /** What is seen only after asking the store. */
  registeredMeanwhile(data: Partial<RegistryData>): void {
    this.#refreshed = viewOf(data);
  }

  current(): RegistrySnapshot {
    return this.#current.current();
  }

  atLeast(version: number): Promise<RegistrySnapshot> {
    return this.#current.atLeast(version);
  }

  forVersion(version: number): Promise<RegistrySnapshot> {
    return this.#current.forVersion(version);
  }

  refreshed(): Promise<RegistrySnapshot> {
    this.refreshes += 1;
    this.#current = this.#refreshed;
    return this.#current.refreshed();
  }
}

function viewOf(data: Partial<RegistryData>): RegistryView {
  const whole = { version: 1, nodes: [], eventTypes: [], listeners: [], revisions: [], ...data };
  return fixedRegistry(new RegistrySnapshot(whole, new AjvSchemaCompiler()));
}

/** Keeps what is published; `refuse` makes the next publishes fail as unconfirmed ones. */
class RecordingBroker {
  readonly messages: EventMessage[] = [];
  readonly scheduled: Event[] = [];
  refuse = 0;
  /** Awaited before each confirm. */
  beforeConfirm: () => Promise<void> = () => Promise.resolve();

  get events(): Event[] {
    return this.messages.map((message) => message.event);
  }

  async publishEvent(message: EventMessage): Promise<void> {
    await this.#confirm();
    this.messages.push(message);
  }

  async publishToJournal(event: Event): Promise<void> {
    await this.#confirm();
    this.scheduled.push(event);
  }

  async #confirm(): Promise<void> {
    await this.beforeConfirm();
    if (this.refuse === 0) return;
    this.refuse -= 1;
    throw new EventCenterError('UNAVAILABLE', 'the broker did not confirm in time');
  }
}

/** The idempotency port in memory, as its contract says; `away` is a database that does not answer. */
class MemoryIdempotency implements IdempotencyStore {
  away: 'no' | 'yes' | 'after begin' = 'no';
  #answering: Promise<void> | null = null;
  readonly #entries = new Map<
    string,
    { eventId: string; bodyHash: Buffer; at: number; ttlMs: number; state: 'pending' | 'done' | 'freed' }
  >();

  /** Calls from now on wait, and take effect only when the function that comes back is called; later ones are answered. */
  hang(): () => void {
    let answer = (): void => undefined;
    this.#answering = new Promise((resolve) => (answer = resolve));
    return () => {
      this.unhang();
      answer();
    };
  }

  /** Calls from now on are answered, those that wait are not. */
  unhang(): void {
    this.#answering = null;
  }

  async begin(
    key: { appId: string; key: string },
    entry: { eventId: string; bodyHash: Buffer; now: number; ttlMs: number; staleAfterMs: number },
  ): Promise<KeyState> {
    if (this.#answering !== null) await this.#answering;
    return this.#begin(key, entry);
  }

  #begin(
    key: { appId: string; key: string },
    entry: { eventId: string; bodyHash: Buffer; now: number; ttlMs: number; staleAfterMs: number },
  ): Promise<KeyState> {
    if (this.away === 'yes') return Promise.reject(new EventCenterError('UNAVAILABLE', 'the database is away'));
    const id = idOf(key);
    const known = this.#entries.get(id);
    if (known === undefined || entry.now - known.at >= known.ttlMs) {
      this.#entries.set(id, { ...entry, at: entry.now, state: 'pending' });
      return Promise.resolve({ state: 'new' });
    }
    if (!known.bodyHash.equals(entry.bodyHash)) return Promise.resolve({ state: 'other-body' });
    if (known.state === 'done') return Promise.resolve({ state: 'done', eventId: known.eventId });
    if (known.state === 'pending' && entry.now - known.at < entry.staleAfterMs)
      return Promise.resolve({ state: 'in-progress' });
    Object.assign(known, { state: 'pending', at: entry.now });
    return Promise.resolve({ state: 'again' });
  }

  done(key: { appId: string; key: string }): Promise<void> {
    return this.#settle(key, 'done');
  }

  free(key: { appId: string; key: string }): Promise<void> {
    return this.#settle(key, 'freed');
  }

  deleteExpired(): Promise<number> {
    return Promise.resolve(0);
  }

  async #settle(key: { appId: string; key: string }, state: 'done' | 'freed'): Promise<void> {
    if (this.#answering !== null) await this.#answering;
    if (this.away !== 'no') throw new EventCenterError('UNAVAILABLE', 'the database is away');
    const known = this.#entries.get(idOf(key));
    if (known !== undefined) known.state = state;
  }
}

function idOf({ appId, key }: { appId: string; key: string }): string {
  return `${appId}\0${key}`;
}

export interface LoggedLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  event: string;
  fields: Record<string, unknown>;
}

export function recordingLog(): Log & { lines: LoggedLine[] } {
  const lines: LoggedLine[] = [];
  const write =
    (level: LoggedLine['level']) =>
    (event: string, fields: Record<string, unknown> = {}): void => {
      lines.push({ level, event, fields });
    };
  return { lines, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

/** Counts by name, such as `accepted OK` or `refused INVALID_PARAM`. */
class CountingMetrics {
  readonly counts = new Map<string, number>();

  accepted(code: string): void {
    this.#count(`accepted ${code}`);
  }

  refused(code: string): void {
    this.#count(`refused ${code}`);
  }

  callerRefused(): void {}

  deduplicationLost(): void {
    this.#count('deduplication lost');
  }

  incident(name: string): void {
    this.#count(name);
  }

  #count(name: string): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
  }
}

/** An acceptor over fakes. The clock stands at the vectors' `ts` and moves only by hand. */
export class AcceptingSetting {
  readonly clock = { time: VECTOR_TS, now: (): number => this.clock.time };
  readonly registry: SwitchableRegistry;
  readonly broker = new RecordingBroker();
  readonly idempotency = new MemoryIdempotency();
  readonly metrics = new CountingMetrics();
  readonly log = recordingLog();
  readonly acceptor: Acceptor;

  constructor(data: Partial<RegistryData>, options: Partial<AcceptorDeps['options']> = {}) {
    this.registry = new SwitchableRegistry(data);
    this.acceptor = new Acceptor({
      registry: this.registry,
      broker: this.broker,
      idempotency: this.idempotency,
      clock: this.clock,
      log: this.log,
      metrics: this.metrics,
      options: {
        clockSkewMs: 300_000,
        requireTenant: false,
        refuseReplays: false,
        idempotencyTtlMs: 86_400_000,
        confirmTimeoutMs: 5_000,
        revealUnknownApp: true,
        ...options,
      },
    });
  }
}
