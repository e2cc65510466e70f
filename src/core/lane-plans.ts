import type { GateLimits } from './call-gate.js';
import type { RegistrySnapshot } from './registry.js';

/** How a node is to be served. */
export interface LanePlan extends GateLimits {
  /** True when nothing registered needs the queue any more; it is emptied as long as it exists. */
  retired: boolean;
  /** False while the queue of a disabled node waits. */
  enabled: boolean;
}

/**
 * Which node queues are taken from, and how. A node that lost its url listeners is served as long as ended revisions
 * remember it: its queue may still hold events, whose deliveries are then closed.
 */
export function lanePlans(snapshot: RegistrySnapshot): Map<string, LanePlan> {
  const plans = new Map<string, LanePlan>();
  for (const listener of snapshot.data.listeners) {
    const node = snapshot.node(listener.nodeCode);
    if (listener.url === null || node === null || plans.has(node.nodeCode)) continue;
    const { concurrency, deliverRateLimit: ratePerSecond, enabled } = node;
    plans.set(node.nodeCode, { concurrency, ratePerSecond, enabled, retired: false });
  }
  for (const { kind, nodeCode } of snapshot.data.revisions) {
    if (kind !== 'url' || plans.has(nodeCode)) continue;
    const { concurrency, enabled } = snapshot.node(nodeCode) ?? { concurrency: 1, enabled: true };
    plans.set(nodeCode, { concurrency, ratePerSecond: null, enabled, retired: true });
  }
  return plans;
}
