import { invalidField } from '../errors.js';
import { kindOf } from './listener-kind.js';
import type { EventType, Listener } from '../model.js';
import { conflictAt, listenerUse } from './registry-change.js';
import { OPER_INDEX } from './registry-limits.js';
import type { RegistryReads } from './registry-reads.js';

/** How a caller names the event type of a new listener: by its id, or by both of its codes. */
interface NamedType {
  eventTypeId?: string | undefined;
  sourceId?: string | undefined;
  eventTypeCode?: string | undefined;
}

/** @throws CONFLICT when the listener's kind or `operIndex` does not go with its siblings. */
export function expectPlace(listener: Listener, siblings: Listener[]): void {
  const others = siblings.filter((sibling) => sibling.id !== listener.id);
  const kind = kindOf(listener);
  const mixed = others.find((sibling) => kindOf(sibling) !== kind);
  if (mixed !== undefined) {
    const rule = 'a node has only urls or only plugins for one event type, else the event would arrive twice';
    throw conflictAt(kind === 'url' ? 'url' : 'implClassName', rule, { conflictsWith: [listenerUse(mixed)] });
  }
  const sameIndex = others.find((sibling) => sibling.operIndex === listener.operIndex);
  if (sameIndex !== undefined) {
    const rule = `the node's listener ${sameIndex.name} of this event type has ${listener.operIndex} already`;
    throw conflictAt('operIndex', rule, { conflictsWith: [listenerUse(sameIndex)] });
  }
}

/** The `operIndex` of a listener that names none: one more than the highest, or else the lowest free one; from 1 on. */
export function nextOperIndex(siblings: Listener[]): number {
  const taken = new Set(siblings.map((sibling) => sibling.operIndex));
  const highest = Math.max(0, ...taken);
  let next = highest < OPER_INDEX.max ? highest + 1 : 1;
  while (taken.has(next)) next += 1;
  return next;
}

/** The listeners of a node for one event type. */
export async function siblingsOf(
  reads: RegistryReads,
  place: { nodeCode: string; eventTypeId: string },
): Promise<Listener[]> {
  const listeners = await reads.listenersOfEventType(place.eventTypeId);
  return listeners.filter((listener) => listener.nodeCode === place.nodeCode);
}

/** @throws INVALID_PARAM when the event type is not named in one way only, or is not registered. */
export async function findTypeOf(reads: RegistryReads, named: NamedType): Promise<EventType> {
  const { eventTypeId, sourceId, eventTypeCode } = named;
  if (eventTypeId !== undefined) {
    if (sourceId !== undefined || eventTypeCode !== undefined) {
      throw invalidField(
        'eventTypeId',
        'name the event type by eventTypeId or by sourceId and eventTypeCode, not by both',
      );
    }
    const type = await reads.findEventType(eventTypeId);
    if (type === null) throw invalidField('eventTypeId', `there is no event type ${eventTypeId.slice(0, 40)}`);
    return type;
  }
  if (sourceId === undefined || eventTypeCode === undefined) {
    const missing = sourceId !== undefined ? 'eventTypeCode' : eventTypeCode !== undefined ? 'sourceId' : 'eventTypeId';
    throw invalidField(missing, 'required: name the event type by eventTypeId, or by sourceId and eventTypeCode');
  }
  const type = await reads.findEventTypeByCode(sourceId, eventTypeCode);
  if (type === null) {
    throw invalidField(
      'eventTypeCode',
      `there is no event type (${sourceId.slice(0, 40)}, ${eventTypeCode.slice(0, 40)})`,
    );
  }
  return type;
}
