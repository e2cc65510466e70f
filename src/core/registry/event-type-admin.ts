import { EventCenterError, type FieldError } from '../errors.js';
import { expectText, FieldProblems, rulesBrokenIn } from '../field-problems.js';
import { uuidV7 } from '../ids.js';
import { BUILT_IN_NODE_CODE, OWNER_ALL, type EventType } from '../model.js';
import type { Actor, RegistryWriter } from '../ports.js';
import {
  auditChange,
  changeRegistry,
  conflictAt,
  expectUnused,
  expectVersion,
  listenerUse,
  withChanges,
  type Changes,
  type ExpectedVersion,
  type RegistryAdminDeps,
} from './registry-change.js';
import { CODE_LENGTH, NAME_LENGTH, NOTE_LENGTH } from './registry-limits.js';
import { expectSchema } from './schema-rule.js';

/** What of an event type can be changed. */
type EventTypeFields = Pick<EventType, 'sourceName' | 'eventTypeName' | 'owner' | 'note' | 'schema'>;

export type EventTypeChanges = Changes<EventTypeFields>;

export interface NewEventType extends EventTypeChanges {
  sourceId: string;
  eventTypeCode: string;
}

export interface EventTypeRef {
  id: string;
  expectedVersion: ExpectedVersion;
  /** The node that must own it; absent or null does not ask. */
  ownedBy?: string | null;
}

/** Registers event types (`pub_eventtype`). */
export class EventTypeAdmin {
  readonly #deps: RegistryAdminDeps;

  constructor(deps: RegistryAdminDeps) {
    this.#deps = deps;
  }

  /** @throws INVALID_PARAM; CONFLICT when `(sourceId, eventTypeCode)` is taken; UNAVAILABLE. */
  async create(actor: Actor, input: NewEventType): Promise<EventType> {
    const { sourceId, eventTypeCode } = input;
    const type = this.#checked(input);
    return changeRegistry(this.#deps, actor, async (writer) => {
      if ((await writer.findEventTypeByCode(sourceId, eventTypeCode)) !== null) {
        throw conflictAt('eventTypeCode', `there is an event type (${sourceId}, ${eventTypeCode}) already`);
      }
      await expectOwner(writer, type.owner);
      await writer.saveEventType(type);
      await auditChange(writer, { kind: 'event-type', id: type.id }, { action: 'created', asked: input });
      return type;
    });
  }

  /** The rules that these fields of an event type break by themselves; what is left out or undefined breaks none. */
  rulesBroken(given: Changes<NewEventType>): FieldError[] {
    const { sourceId = 'A', eventTypeCode = 'A', ...changes } = given;
    return rulesBrokenIn(() => this.#checked({ ...changes, sourceId, eventTypeCode }));
  }

  /**
   * Changes the fields given.
   * @throws NOT_FOUND, FORBIDDEN for another owner than asked for, INVALID_PARAM, VERSION_MISMATCH, UNAVAILABLE; CONFLICT for
   *   the built-in type.
   */
  async update(actor: Actor, ref: EventTypeRef, changes: EventTypeChanges): Promise<EventType> {
    return changeRegistry(this.#deps, actor, async (writer) => {
      const current = await findEventType(writer, ref);
      const now = this.#deps.clock.now();
      const type: EventType = { ...withChanges(current, changes), version: current.version + 1, lastTime: now };
      this.#check(type);
      if (type.owner !== current.owner) await expectOwner(writer, type.owner);
      await writer.saveEventType(type);
      await auditChange(writer, { kind: 'event-type', id: type.id }, { action: 'updated', asked: changes });
      return type;
    });
  }

  /** @throws NOT_FOUND, VERSION_MISMATCH, UNAVAILABLE; IN_USE while it has listeners; CONFLICT for the built-in type. */
  async delete(actor: Actor, ref: EventTypeRef): Promise<void> {
    await changeRegistry(this.#deps, actor, async (writer) => {
      const { id, sourceId, eventTypeCode } = await findEventType(writer, ref);
      const listeners = await writer.listenersOfEventType(id);
      expectUnused(`event type (${sourceId}, ${eventTypeCode})`, listeners.map(listenerUse));
      await writer.deleteEventType(id);
      await auditChange(writer, { kind: 'event-type', id }, { action: 'deleted', asked: { sourceId, eventTypeCode } });
    });
  }

  /** A new event type. @throws INVALID_PARAM. */
  #checked({ sourceId, eventTypeCode, ...changes }: NewEventType): EventType {
    const now = this.#deps.clock.now();
    const blank: EventType = {
      id: uuidV7(now),
      sourceId,
      sourceName: null,
      eventTypeCode,
      eventTypeName: null,
      owner: OWNER_ALL,
      note: null,
      schema: null,
      version: 1,
      lastTime: now,
    };
    const type = withChanges(blank, changes);
    this.#check(type);
    return type;
  }

  #check(type: EventType): void {
    const problems = new FieldProblems();
    expectText(problems, { path: 'sourceId', text: type.sourceId }, { max: CODE_LENGTH, code: true });
    expectText(problems, { path: 'eventTypeCode', text: type.eventTypeCode }, { max: CODE_LENGTH, code: true });
    problems.expect(
      type.sourceId !== BUILT_IN_NODE_CODE,
      'sourceId',
      `${BUILT_IN_NODE_CODE} is reserved for the built-in event type`,
    );
    expectText(problems, { path: 'sourceName', text: type.sourceName }, { max: NAME_LENGTH });
    expectText(problems, { path: 'eventTypeName', text: type.eventTypeName }, { max: NAME_LENGTH });
    expectText(problems, { path: 'note', text: type.note }, { min: 0, max: NOTE_LENGTH, multiline: true });
    expectSchema(problems, { path: 'schema', schema: type.schema }, this.#deps.schemas);
    problems.throwIfAny();
  }
}

async function expectOwner(writer: RegistryWriter, owner: string): Promise<void> {
  if (owner === OWNER_ALL || (await writer.findNode(owner)) !== null) return;
  const problems = new FieldProblems();
  problems.add(
    'owner',
    `expected the code of a registered node, or ${OWNER_ALL}; there is no node ${owner.slice(0, CODE_LENGTH)}`,
  );
  problems.throwIfAny();
}

/** There is no such event type. */
export function noSuchEventType(id: string): EventCenterError {
  return new EventCenterError('NOT_FOUND', `there is no event type ${id}`);
}

/** A caller for one node asks for what only the owner of an event type may do. */
export function notOwnedBy(nodeCode: string): EventCenterError {
  return new EventCenterError(
    'FORBIDDEN',
    `owner: the token is of the node ${nodeCode} and registers or changes event types of that owner only`,
  );
}

async function findEventType(writer: RegistryWriter, ref: EventTypeRef): Promise<EventType> {
  const type = await writer.findEventType(ref.id);
  if (type === null) throw noSuchEventType(ref.id);
  const { ownedBy = null } = ref;
  if (ownedBy !== null && type.owner !== ownedBy) throw notOwnedBy(ownedBy);
  if (type.owner === BUILT_IN_NODE_CODE) {
    throw new EventCenterError(
      'CONFLICT',
      `the event type (${type.sourceId}, ${type.eventTypeCode}) is built in: it can be listened to, not changed or deleted`,
    );
  }
  expectVersion(type, ref.expectedVersion);
  return type;
}
