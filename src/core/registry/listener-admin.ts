import { EventCenterError, hasCode, invalidField, type FieldError } from '../errors.js';
import { rulesBrokenIn } from '../field-problems.js';
import { uuidV7 } from '../ids.js';
import { expectPlace, findTypeOf, nextOperIndex, siblingsOf } from './listener-place.js';
import { kindOf } from './listener-kind.js';
import { checkFormat, checkListener, isPlannedFormat } from './listener-rules.js';
import type { Listener, ListenerRevision, RetryPolicy } from '../model.js';
import type { Actor } from '../ports.js';
import {
  auditChange,
  changeRegistry,
  conflictAt,
  expectVersion,
  withChanges,
  type Changes,
  type ExpectedVersion,
  type OrDefault,
  type RegistryAdminDeps,
} from './registry-change.js';
import { DEFAULT_TIMEOUT_MS } from './registry-limits.js';
import { snapshotReads, type RegistryReads } from './registry-reads.js';
import { delaySteps, MAX_DELAY_STEPS } from './topology.js';

/** What of a listener can be changed. Node, event type and kind cannot: its deliveries stand under them. */
type ListenerFields = Omit<
  Listener,
  'id' | 'eventTypeId' | 'nodeCode' | 'format' | 'secret' | 'retry' | 'version' | 'lastTime' | keyof ListenerDefaults
> &
  OrDefault<ListenerDefaults> & { secret: string | null };

/** What of a listener can be set back to a default by null, beside `format` and `retry`. */
interface ListenerDefaults {
  method: Listener['method'];
  headers: Record<string, string>;
  timeoutMs: number;
}

/**
 * `retry` and `headers` replace what was there as a whole; a retry policy's missing fields are their defaults, and null is
 * the default of the whole.
 */
export interface ListenerChanges extends Changes<ListenerFields> {
  format?: string | null | undefined;
  retry?: Changes<RetryPolicy> | null | undefined;
}

export interface NewListener extends ListenerChanges {
  name: string;
  nodeCode: string;
  /** The event type by its id, or by both of its codes. */
  eventTypeId?: string | undefined;
  sourceId?: string | undefined;
  eventTypeCode?: string | undefined;
}

export interface ListenerRef {
  id: string;
  expectedVersion: ExpectedVersion;
}

/** The fields that say what is called, one of which a listener has. */
const TARGETS = ['url', 'implClassName'] as const;
const DEFAULT_FORMAT = 'iuap';
const DEFAULT_RETRY: RetryPolicy = { strategy: 'default', maxAttempts: null, delaysMs: null };
const DEFAULTS: ListenerDefaults = { method: 'POST', headers: {}, timeoutMs: DEFAULT_TIMEOUT_MS };

/** Registers listeners (`pub_eventlistener`). */
export class ListenerAdmin {
  readonly #deps: RegistryAdminDeps;

  constructor(deps: RegistryAdminDeps) {
    this.#deps = deps;
  }

  /**
   * Registers a listener. Its queue, binding and delays are declared before any process can see it.
   * @throws INVALID_PARAM; NOT_IMPLEMENTED for a format that is not built; CONFLICT for a taken `operIndex` or a mix of
   *   kinds; UNAVAILABLE when store or broker is away: nothing is registered then.
   */
  async create(actor: Actor, input: NewListener): Promise<Listener> {
    const planned = await this.#plan(await this.#currentReads(), input);
    await this.#prepare(planned);
    return changeRegistry(this.#deps, actor, async (writer) => {
      const listener = await this.#plan(writer, input);
      if (listener.eventTypeId !== planned.eventTypeId) {
        throw conflictAt('eventTypeCode', 'the event type was registered anew meanwhile; repeat the call');
      }
      await writer.saveListener(listener);
      await writer.openRevision(revisionOf(listener, writer.version));
      await auditChange(writer, { kind: 'listener', id: listener.id }, { action: 'created', asked: input });
      return listener;
    });
  }

  /**
   * The rules that these fields of a new listener break by themselves. A field that is there and undefined breaks none;
   * without a target, that is one.
   */
  rulesBroken(given: Changes<NewListener>): FieldError[] {
    const { name = 'A', nodeCode = 'A', format, ...fields } = given;
    const isTargetUnknown = TARGETS.some((target) => target in given && given[target] === undefined);
    const hasTarget = TARGETS.some((target) => typeof given[target] === 'string');
    const target = isTargetUnknown && !hasTarget ? { url: 'http://a.invalid/' } : {};
    const input = { ...fields, ...target, name, nodeCode };
    return [
      ...rulesBrokenIn(() => {
        if (!isPlannedFormat(format)) checkFormat(format ?? DEFAULT_FORMAT);
      }),
      ...rulesBrokenIn(() => this.#checked(input, { eventTypeId: '', operIndex: given.operIndex ?? 1 })),
    ];
  }

  /** The same for a change, whose target may be left out. */
  changeRulesBroken(given: ListenerChanges): FieldError[] {
    const hasTarget = TARGETS.some((target) => typeof given[target] === 'string');
    return this.rulesBroken(hasTarget ? given : { ...given, url: 'http://a.invalid/', implClassName: null });
  }

  /**
   * Changes the fields given. What the listener was owed under its tenant and filter stays owed.
   * @throws NOT_FOUND, VERSION_MISMATCH, and what `create` throws; INVALID_PARAM for a change of the kind.
   */
  update(actor: Actor, ref: ListenerRef, changes: ListenerChanges): Promise<Listener> {
    return this.#update(actor, { ref, changes }, { action: 'updated', asked: changes });
  }

  async #update(
    actor: Actor,
    { ref, changes }: { ref: ListenerRef; changes: ListenerChanges },
    done: { action: string; asked: object },
  ): Promise<Listener> {
    if (changes.retry?.delaysMs !== undefined && changes.retry.delaysMs !== null) {
      const planned = await this.#planUpdate(await this.#currentReads(), ref, changes);
      await this.#prepare(planned.next);
    }
    return changeRegistry(this.#deps, actor, async (writer) => {
      const { current, next } = await this.#planUpdate(writer, ref, changes);
      await writer.saveListener(next);
      if (isOwedDifferently(current, next)) {
        await writer.closeRevision(next.id, next.lastTime);
        await writer.openRevision(revisionOf(next, writer.version));
      }
      await auditChange(writer, { kind: 'listener', id: next.id }, done);
      return next;
    });
  }

  /** Disables a listener that answered 410 Gone; one that is disabled or deleted already stays so. @throws UNAVAILABLE. */
  async disable(actor: Actor, id: string): Promise<void> {
    const known = await (await this.#currentReads()).findListener(id);
    if (known === null || !known.enabled) return;
    try {
      const changes = { enabled: false };
      const asked = { ...changes, reason: 'it answered 410 Gone' };
      await this.#update(actor, { ref: { id, expectedVersion: null }, changes }, { action: 'disabled', asked });
    } catch (error) {
      if (!hasCode(error, 'NOT_FOUND')) throw error;
    }
  }

  /** Its unsettled deliveries are cancelled as they come up. @throws NOT_FOUND, VERSION_MISMATCH, UNAVAILABLE. */
  async delete(actor: Actor, ref: ListenerRef): Promise<void> {
    await changeRegistry(this.#deps, actor, async (writer) => {
      const { id, name, nodeCode } = await findListener(writer, ref);
      await writer.closeRevision(id, this.#deps.clock.now());
      await writer.deleteListener(id);
      await auditChange(writer, { kind: 'listener', id }, { action: 'deleted', asked: { name, nodeCode } });
    });
  }

  /** The listener that `input` asks for, by the registry that `reads` sees. */
  async #plan(reads: RegistryReads, input: NewListener): Promise<Listener> {
    const { nodeCode, operIndex } = input;
    const type = await findTypeOf(reads, input);
    if ((await reads.findNode(nodeCode)) === null)
      throw invalidField('nodeCode', `there is no node ${nodeCode.slice(0, 40)}`);
    const siblings = await siblingsOf(reads, { nodeCode, eventTypeId: type.id });
    const listener = this.#checked(input, {
      eventTypeId: type.id,
      operIndex: operIndex ?? nextOperIndex(siblings),
    });
    expectPlace(listener, siblings);
    await this.#expectDelaySteps(reads, listener);
    return listener;
  }

  /** A new listener at its place. @throws INVALID_PARAM, NOT_IMPLEMENTED. */
  #checked(input: NewListener, place: { eventTypeId: string; operIndex: number }): Listener {
    const { nodeCode, eventTypeId: _, sourceId, eventTypeCode, format, retry, ...fields } = input;
    const now = this.#deps.clock.now();
    const blank: Listener = {
      id: uuidV7(now),
      ...place,
      name: input.name,
      namei18n: null,
      implClassName: null,
      url: null,
      owner: null,
      note: null,
      nodeCode,
      enabled: true,
      tenantCode: null,
      filter: null,
      format: checkFormat(format ?? DEFAULT_FORMAT),
      ...DEFAULTS,
      secret: null,
      fieldsAsHeaders: false,
      retry: withChanges(DEFAULT_RETRY, retry ?? {}),
      version: 1,
      lastTime: now,
    };
    const listener = withChanges(blank, fields, DEFAULTS);
    checkListener(listener, this.#deps);
    return listener;
  }

  async #planUpdate(
    reads: RegistryReads,
    ref: ListenerRef,
    changes: ListenerChanges,
  ): Promise<{ current: Listener; next: Listener }> {
    const current = await findListener(reads, ref);
    const { format, retry, ...fields } = changes;
    const next: Listener = {
      ...withChanges(current, fields, DEFAULTS),
      format: format === undefined ? current.format : checkFormat(format ?? DEFAULT_FORMAT),
      retry: retry === undefined ? current.retry : withChanges(DEFAULT_RETRY, retry ?? {}),
      version: current.version + 1,
      lastTime: this.#deps.clock.now(),
    };
    const { schemas, addresses } = this.#deps;
    // What is called already may be disabled or renamed also after the options about addresses were changed.
    checkListener(next, { schemas, addresses: next.url === current.url ? null : addresses });
    if (kindOf(next) !== kindOf(current)) {
      throw invalidField(
        current.url === null ? 'url' : 'implClassName',
        'a listener keeps its kind; register another one instead',
      );
    }
    expectPlace(next, await siblingsOf(reads, current));
    await this.#expectDelaySteps(reads, next);
    return { current, next };
  }

  async #currentReads(): Promise<RegistryReads> {
    const { registry, store } = this.#deps;
    return snapshotReads(await registry.atLeast(await store.readVersion()));
  }

  async #prepare(listener: Listener): Promise<void> {
    await this.#deps.prepareTopology({
      queue: { kind: kindOf(listener), nodeCode: listener.nodeCode },
      eventTypeId: listener.eventTypeId,
      delaysMs: listener.retry.delaysMs ?? [],
    });
  }

  /** Each different delay is a queue of its own, so their number is bounded (architecture, topology). */
  async #expectDelaySteps(reads: RegistryReads, listener: Listener): Promise<void> {
    const { delaysMs } = listener.retry;
    if (delaysMs === null) return;
    const known = delaySteps(this.#deps.defaultDelaysMs, await reads.listenerDelaysMs());
    const all = delaySteps(known, delaysMs);
    if (all.length === known.length || all.length <= MAX_DELAY_STEPS) return;
    throw invalidField(
      'retry.delaysMs',
      `all listeners together may use ${MAX_DELAY_STEPS} different delays and would use ${all.length}; in use are ${known.join(', ')}`,
    );
  }
}

/** There is no such listener, or none that the caller may know of. */
export function noSuchListener(id: string): EventCenterError {
  return new EventCenterError('NOT_FOUND', `there is no listener ${id}`);
}

async function findListener(reads: RegistryReads, ref: ListenerRef): Promise<Listener> {
  const listener = await reads.findListener(ref.id);
  if (listener === null) throw noSuchListener(ref.id);
  expectVersion(listener, ref.expectedVersion);
  return listener;
}

function isOwedDifferently(current: Listener, next: Listener): boolean {
  return current.tenantCode !== next.tenantCode || JSON.stringify(current.filter) !== JSON.stringify(next.filter);
}

function revisionOf(listener: Listener, fromVersion: number): ListenerRevision {
  return {
    listenerId: listener.id,
    listenerName: listener.name,
    eventTypeId: listener.eventTypeId,
    nodeCode: listener.nodeCode,
    kind: kindOf(listener),
    operIndex: listener.operIndex,
    fromVersion,
    toVersion: null,
    closedAt: null,
    tenantCode: listener.tenantCode,
    filter: listener.filter,
  };
}
