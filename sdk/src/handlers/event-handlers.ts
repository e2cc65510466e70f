import type { BusinessEvent } from '../business-event.js';
import { EventCenterClientError, InvalidOptionError } from '../errors.js';
import { messageOf } from '../message-of.js';
import { DeadEventError } from './dead-event-error.js';
import type { DeadEvent, DeadEventStore } from './dead-event-store.js';
import { MemoryDeadEventStore } from './memory-dead-event-store.js';
import { isStandardSchema, readPayload } from './payload-schema.js';
import type { PayloadReader, PayloadSchema, SchemaOutput, StandardSchema } from './payload-schema.js';

/** The type of an event: its code from any source, or of one source. */
export type EventTypeRef = string | { sourceId: string; eventType: string };

/** Compared by its text: 1 and `"1"` are the same version. */
export type EventVersion = string | number;

/** Acts on a payload of the right version that its schema could read. */
export type EventHandler<Payload> = (payload: Payload, event: BusinessEvent) => Promise<void> | void;

export interface EventHandlersOptions {
  /** Where dead events are kept; a `MemoryDeadEventStore` by default, which a restart empties. */
  deadEvents?: DeadEventStore;
  /** What becomes of an event whose type has no handler: dead (the default), or taken without acting. */
  onUnknown?: 'dead' | 'ignore';
  /**
   * The version of an event; null or undefined when it has none. By default the member `version` of the payload, else
   * `event_version`. What it throws makes the event dead.
   */
  versionOf?: (event: BusinessEvent) => EventVersion | null | undefined;
  /**
   * An event without a version: goes to the handler of its type when there is only one version of it (the default), or is
   * dead always.
   */
  withoutVersion?: 'only-handler' | 'dead';
  /** What the schema reads; by default the payload as a whole. For envelopes: `(event) => event.payload.payload`. */
  payloadOf?: (event: BusinessEvent) => unknown;
  /** Told after an event was kept as dead. What it throws is a failure, so that the event comes again and it is told again. */
  onDead?: (dead: DeadEvent) => Promise<void> | void;
}

interface Entry {
  schema: PayloadSchema<unknown>;
  handler: EventHandler<unknown>;
}

type Found = { entry: Entry } | { reason: string } | 'ignored';

/**
 * Handlers by event type and version. An event that no repeat can help (no handler, another version, a payload that its
 * schema refuses) is dead at once: it is kept with its reason, the centre is told that it was taken, and it can be handled
 * again later. What a handler throws is a failure, which the centre retries.
 */
export class EventHandlers {
  /** The list of dead events. */
  readonly deadEvents: DeadEventStore;
  readonly #options: EventHandlersOptions;
  readonly #versions = new Map<string, Map<string, Entry>>();
  readonly #retrying = new Map<string, Promise<void>>();

  /** @throws InvalidOptionError */
  constructor(options: EventHandlersOptions = {}) {
    requireOneOf('onUnknown', options.onUnknown, ['dead', 'ignore']);
    requireOneOf('withoutVersion', options.withoutVersion, ['only-handler', 'dead']);
    this.#options = options;
    this.deadEvents = options.deadEvents ?? new MemoryDeadEventStore();
  }

  /**
   * Registers the handler of one version of an event type. A type that is named with its source goes before the same code
   * from any source.
   * @throws InvalidOptionError, also when the version of the type has a handler already.
   */
  /* eslint-disable @typescript-eslint/max-params -- it reads as a sentence: on this type, version and shape, do that */
  on<Schema extends StandardSchema>(
    eventType: EventTypeRef,
    version: EventVersion,
    schema: Schema,
    handler: EventHandler<SchemaOutput<Schema>>,
  ): this;
  on<Payload>(
    eventType: EventTypeRef,
    version: EventVersion,
    schema: PayloadReader<Payload>,
    handler: EventHandler<Payload>,
  ): this;
  on(
    eventType: EventTypeRef,
    version: EventVersion,
    schema: PayloadSchema<unknown>,
    handler: EventHandler<never>,
  ): this {
    /* eslint-enable @typescript-eslint/max-params */
    const key = keyOf(eventType);
    const text = versionText(version);
    if (text === null) throw new InvalidOptionError('version', 'expected a number or a text that is not empty');
    if (typeof schema !== 'function' && !isStandardSchema(schema)) {
      throw new InvalidOptionError('schema', 'expected a Standard Schema (zod, valibot, arktype) or a function');
    }
    if (typeof handler !== 'function') throw new InvalidOptionError('handler', 'expected a function');
    const versions = this.#versions.get(key) ?? new Map<string, Entry>();
    if (versions.has(text)) {
      throw new InvalidOptionError('version', `version ${text} of ${nameOf(eventType)} has a handler already`);
    }
    this.#versions.set(key, versions.set(text, { schema, handler: handler as EventHandler<unknown> }));
    return this;
  }

  /**
   * Handles an event.
   * @throws DeadEventError once it is kept as dead: do not repeat it. What the handler, its schema or the list of dead
   *   events throws: a failure, repeat it.
   */
  async handle(event: BusinessEvent): Promise<void> {
    const found = this.#find(event);
    if (found === 'ignored') return;
    if ('reason' in found) return this.#die(event, found.reason);
    const given = attempt(() => (this.#options.payloadOf ?? ((of) => of.payload))(event));
    if (!given.done) return this.#die(event, `its payload cannot be read: ${given.reason}`);
    const reading = await readPayload(found.entry.schema, given.value);
    if (!reading.readable) return this.#die(event, `its payload does not fit its schema: ${reading.reason}`);
    await found.entry.handler(reading.payload, event);
  }

  /**
   * Handles a dead event again, for example after a new version of the application, and takes it off the list when that
   * succeeds. Two calls for one event at a time act once in a process; several processes do not know of each other.
   * @throws EventCenterClientError `NOT_FOUND` when it is not on the list; DeadEventError when it is still dead (with the
   *   new reason); what the handler throws, and the event stays on the list.
   */
  retryDead(eventId: string): Promise<void> {
    const running = this.#retrying.get(eventId);
    if (running !== undefined) return running;
    const retry = this.#retry(eventId).finally(() => this.#retrying.delete(eventId));
    this.#retrying.set(eventId, retry);
    return retry;
  }

  /** As the function that a receiver calls: a dead event counts as taken, so that the centre does not repeat it. */
  asReceiverHandler(): (event: BusinessEvent) => Promise<void> {
    return async (event) => {
      try {
        await this.handle(event);
      } catch (error) {
        if (!(error instanceof DeadEventError)) throw error;
      }
    };
  }

  /** As a plugin: a dead event counts as taken, so that the host does not repeat it. */
  asPlugin(): { doAction(event: BusinessEvent): Promise<void> } {
    return { doAction: this.asReceiverHandler() };
  }

  async #retry(eventId: string): Promise<void> {
    const dead = await this.deadEvents.find(eventId);
    if (dead === null)
      throw new EventCenterClientError('NOT_FOUND', `event ${eventId} is not on the list of dead events`);
    await this.handle(dead.event);
    await this.deadEvents.remove(eventId);
  }

  #find(event: BusinessEvent): Found {
    const { sourceId, eventType } = event;
    const name = `${sourceId}/${eventType}`;
    const versions = this.#versions.get(keyOf({ sourceId, eventType })) ?? this.#versions.get(keyOf(eventType));
    if (versions === undefined) {
      return this.#options.onUnknown === 'ignore' ? 'ignored' : { reason: `no handler is registered for ${name}` };
    }
    const given = attempt(() => (this.#options.versionOf ?? versionInPayload)(event));
    if (!given.done) return { reason: `its version cannot be read: ${given.reason}` };
    const known = [...versions.keys()].join(', ');
    if (given.value === null || given.value === undefined || given.value === '') {
      const [only, ...others] = versions.values();
      const isClear = only !== undefined && others.length === 0 && this.#options.withoutVersion !== 'dead';
      return isClear ? { entry: only } : { reason: `it has no version, expected one of ${known} for ${name}` };
    }
    const version = versionText(given.value);
    const entry = version === null ? undefined : versions.get(version);
    if (entry !== undefined) return { entry };
    const found = version ?? `a version of type ${typeof given.value}`;
    return { reason: `version ${found} of ${name} has no handler, expected one of ${known}` };
  }

  async #die(event: BusinessEvent, reason: string): Promise<never> {
    const dead = { event, reason, at: Date.now() };
    await this.deadEvents.add(dead);
    await this.#options.onDead?.(dead);
    throw new DeadEventError(event.eventId, reason);
  }
}

/** The member `version` of a payload, else `event_version`. */
function versionInPayload({ payload }: BusinessEvent): EventVersion | null | undefined {
  if (typeof payload !== 'object' || payload === null) return null;
  const { version, event_version: eventVersion } = payload as Record<string, EventVersion | null | undefined>;
  return version ?? eventVersion;
}

function versionText(version: unknown): string | null {
  if (typeof version === 'number') return Number.isFinite(version) ? String(version) : null;
  if (typeof version !== 'string') return null;
  const text = version.trim();
  return text === '' ? null : text;
}

function keyOf(eventType: EventTypeRef): string {
  const parts = typeof eventType === 'string' ? [eventType] : [eventType.sourceId, eventType.eventType];
  if (parts.some((part) => typeof part !== 'string' || part === '')) {
    throw new InvalidOptionError('eventType', 'expected a text that is not empty, or sourceId and eventType');
  }
  return JSON.stringify(parts);
}

function nameOf(eventType: EventTypeRef): string {
  return typeof eventType === 'string' ? eventType : `${eventType.sourceId}/${eventType.eventType}`;
}

function attempt<T>(read: () => T): { done: true; value: T } | { done: false; reason: string } {
  try {
    return { done: true, value: read() };
  } catch (error) {
    return { done: false, reason: messageOf(error) };
  }
}

function requireOneOf(field: string, value: string | undefined, allowed: string[]): void {
  if (value !== undefined && !allowed.includes(value)) {
    throw new InvalidOptionError(field, `expected one of ${allowed.join(', ')}`);
  }
}
