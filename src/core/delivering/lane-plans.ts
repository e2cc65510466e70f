import type { GateLimits } from './call-gate.js';
import { kindOf } from '../registry/listener-kind.js';
import type { ListenerKind } from '../model.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/** How a node is to be served. */
export interface LanePlan extends GateLimits {
  /** True when nothing registered needs the queue any more; it is emptied as long as it exists. */
  retired: boolean;
  /** False while the queue of a disabled node waits. */
  enabled: boolean;
}

/**
 * Which queues of one kind are taken from, and how. A node that lost its listeners of that kind is served as long as ended revisions
 * remember it: its queue may still hold events, whose deliveries are then closed.
 */
export function lanePlans(snapshot: RegistrySnapshot, kind: ListenerKind): Map<string, LanePlan> {
  const plans = new Map<string, LanePlan>();
  for (const listener of snapshot.data.listeners) {
    const node = snapshot.node(listener.nodeCode);
    if (kindOf(listener) !== kind || node === null || plans.has(node.nodeCode)) continue;
    const { concurrency, deliverRateLimit: ratePerSecond, enabled } = node;
    plans.set(node.nodeCode, { concurrency, ratePerSecond, enabled, retired: false });
  }
  for (const { kind: kindThen, nodeCode } of snapshot.data.revisions) {
    if (kindThen !== kind || plans.has(nodeCode)) continue;
    const { concurrency, enabled } = snapshot.node(nodeCode) ?? { concurrency: 1, enabled: true };
    plans.set(nodeCode, { concurrency, ratePerSecond: null, enabled, retired: true });
  }
  return plans;
}
