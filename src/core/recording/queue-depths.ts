import type { Broker, NodeQueue } from '../ports.js';
import type { RegistrySnapshot } from '../registry/registry.js';
import { topologyOf } from '../registry/topology.js';

/** How many messages wait in a node's queue; null when the broker did not say. */
export interface NodeQueueDepth extends NodeQueue {
  depth: number | null;
}

/** Questions to the broker at a time. */
const PARALLEL = 4;

/**
 * The depth of every node queue that the registry needs, or of those of one node, in ascending order of node code and kind. Never rejects: once
 * the broker does not answer, the rest is null without asking.
 */
export async function nodeQueueDepths(
  broker: Pick<Broker, 'depth'>,
  snapshot: RegistrySnapshot,
  only: string | null = null,
): Promise<NodeQueueDepth[]> {
  const queues = topologyOf(snapshot.data, []).nodeQueues.filter(({ nodeCode }) => only === null || nodeCode === only);
  const depths = queues
    .map(({ kind, nodeCode }): NodeQueueDepth => ({ kind, nodeCode, depth: null }))
    .sort((a, b) => compare(a.nodeCode, b.nodeCode) || compare(a.kind, b.kind));
  const waiting = depths.values();
  let isAway = false;
  const ask = async (): Promise<void> => {
    for (const queue of waiting) {
      if (isAway) return;
      try {
        queue.depth = await broker.depth({ kind: queue.kind, nodeCode: queue.nodeCode });
      } catch {
        isAway = true;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, ask));
  return depths;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
