import type { Outcome } from '../model.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/** Why a misplaced outcome is not taken. */
export const MISPLACED = 'expected a listener of the node that is reported for';

/**
 * Whether an outcome tells of a listener that is of another node: only outcomes of its own node say what came of its
 * deliveries. Who may report for which node is decided by the broker's user, so that without this a node's own user
 * could settle the deliveries of others. Nothing is said of a listener that nobody knows any more.
 */
export function isMisplaced({ listenerId, nodeCode }: Outcome, snapshot: RegistrySnapshot): boolean {
  const listener = snapshot.listener(listenerId);
  if (listener?.nodeCode === nodeCode) return false;
  const revisions = snapshot.data.revisions.filter((revision) => revision.listenerId === listenerId);
  if (listener === null && revisions.length === 0) return false;
  return !revisions.some((revision) => revision.nodeCode === nodeCode);
}
