import type { Outcome } from '../model.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/**
 * Why outcomes are not taken, null when they are: a listener is of one node, and only outcomes of that node say what
 * came of its deliveries. Who may report for which node is decided by the broker's user, so that without this a node's
 * own user could settle the deliveries of others. Nothing is said of a listener that nobody knows any more.
 */
export function misplacedIn(outcomes: readonly Outcome[], snapshot: RegistrySnapshot): string | null {
  const misplaced = outcomes.find((outcome) => isOfAnother(outcome, snapshot));
  if (misplaced === undefined) return null;
  return `expected listeners of the node that is reported for, found ${misplaced.listenerId} for ${misplaced.nodeCode}`;
}

function isOfAnother({ listenerId, nodeCode }: Outcome, snapshot: RegistrySnapshot): boolean {
  const listener = snapshot.listener(listenerId);
  if (listener?.nodeCode === nodeCode) return false;
  const revisions = snapshot.data.revisions.filter((revision) => revision.listenerId === listenerId);
  if (listener === null && revisions.length === 0) return false;
  return !revisions.some((revision) => revision.nodeCode === nodeCode);
}
