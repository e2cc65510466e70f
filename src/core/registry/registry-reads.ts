import type { RegistryWriter } from '../ports.js';
import type { RegistrySnapshot } from './registry.js';

/** What the rules look up: answered by a transaction, or beforehand by a snapshot. */
export type RegistryReads = Pick<
  RegistryWriter,
  'findNode' | 'findEventType' | 'findEventTypeByCode' | 'findListener' | 'listenersOfEventType' | 'listenerDelaysMs'
>;

/** The reads of a snapshot, so that a change can be checked before the broker is asked to declare anything for it. */
export function snapshotReads(snapshot: RegistrySnapshot): RegistryReads {
  const { listeners } = snapshot.data;
  return {
    findNode: async (nodeCode) => snapshot.node(nodeCode),
    findEventType: async (id) => snapshot.eventType(id),
    findEventTypeByCode: async (sourceId, eventTypeCode) => snapshot.eventTypeByCode(sourceId, eventTypeCode),
    findListener: async (id) => snapshot.listener(id),
    listenersOfEventType: async (eventTypeId) => listeners.filter((listener) => listener.eventTypeId === eventTypeId),
    listenerDelaysMs: async () => [...new Set(listeners.flatMap((listener) => listener.retry.delaysMs ?? []))],
  };
}
