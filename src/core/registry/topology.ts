import { kindOf } from './listener-kind.js';
import type { ListenerRevision, RegistryData } from '../model.js';
import type { NodeQueue, Topology } from '../ports.js';

/** The most different delays that can be declared (architecture, topology). */
export const MAX_DELAY_STEPS = 32;

/** Delay steps that are always there, so that a long `Retry-After` and a hop find one. */
export function delaySteps(defaultDelaysMs: number[], listenerDelaysMs: Iterable<number>): number[] {
  return [...new Set([...defaultDelaysMs, ...listenerDelaysMs])].sort((a, b) => a - b);
}

/** What must be declared for a registry: node queues with their bindings, and the delay steps. */
export function topologyOf(data: RegistryData, defaultDelaysMs: number[]): Topology {
  const queues = new Map<string, NodeQueue & { eventTypeIds: Set<string> }>();
  for (const listener of data.listeners) {
    const kind = kindOf(listener);
    const key = `${kind} ${listener.nodeCode}`;
    let queue = queues.get(key);
    if (queue === undefined) {
      queue = { kind, nodeCode: listener.nodeCode, eventTypeIds: new Set() };
      queues.set(key, queue);
    }
    queue.eventTypeIds.add(listener.eventTypeId);
  }
  const delays = data.listeners.flatMap((listener) => listener.retry.delaysMs ?? []);
  return {
    nodeQueues: [...queues.values()].map((queue) => ({ ...queue, eventTypeIds: [...queue.eventTypeIds] })),
    delaysMs: delaySteps(defaultDelaysMs, delays),
  };
}

/**
 * What ended revisions leave behind that nothing registered needs any more: bindings to remove, and queues to
 * delete once they are empty.
 */
export function obsoleteTopology(
  data: RegistryData,
  ended: ListenerRevision[],
): { bindings: (NodeQueue & { eventTypeId: string })[]; queues: NodeQueue[] } {
  const needed = topologyOf(data, []).nodeQueues;
  const bound = new Set(
    needed.flatMap((queue) => queue.eventTypeIds.map((id) => `${queue.kind} ${queue.nodeCode} ${id}`)),
  );
  const existing = new Set(needed.map((queue) => `${queue.kind} ${queue.nodeCode}`));
  const bindings = new Map<string, NodeQueue & { eventTypeId: string }>();
  const queues = new Map<string, NodeQueue>();
  for (const { kind, nodeCode, eventTypeId } of ended) {
    const binding = `${kind} ${nodeCode} ${eventTypeId}`;
    if (!bound.has(binding)) bindings.set(binding, { kind, nodeCode, eventTypeId });
    const queue = `${kind} ${nodeCode}`;
    if (!existing.has(queue)) queues.set(queue, { kind, nodeCode });
  }
  return { bindings: [...bindings.values()], queues: [...queues.values()] };
}
