import type { ChainLink } from './chain.js';
import type { ChainPosition, Event, Listener } from './model.js';
import type { RegistrySnapshot } from './registry.js';

/**
 * The chain of an event at a node, by the registry as it is now, ascending by `operIndex`. Fresh messages run those
 * who were owed the event at its version. Messages that name listeners (`targets`, and the one that a successor is
 * about) run these, even when nobody knows any more that they were owed: whoever made the message knew it.
 */
export function chainLinks(snapshot: RegistrySnapshot, event: Event, position: ChainPosition): ChainLink[] {
  const { nodeCode, targets, listenerId } = position;
  const links = new Map<string, ChainLink>();
  for (const owed of snapshot.owed(event, { nodeCode, kind: 'url' })) {
    if (targets !== null && !targets.includes(owed.listenerId)) continue;
    links.set(owed.listenerId, {
      listenerId: owed.listenerId,
      operIndex: owed.operIndex,
      listener: callable(snapshot, owed.listener, nodeCode),
    });
  }
  const named = new Set(targets ?? []);
  if (listenerId !== null) named.add(listenerId);
  let added = false;
  for (const id of named) {
    if (links.has(id)) continue;
    links.set(id, namedLink(snapshot, id, nodeCode));
    added = true;
  }
  return added ? [...links.values()].sort(byOrder) : [...links.values()];
}

function namedLink(snapshot: RegistrySnapshot, listenerId: string, nodeCode: string): ChainLink {
  const listener = snapshot.listener(listenerId);
  const operIndex = listener?.operIndex ?? operIndexOfRevision(snapshot, listenerId);
  return { listenerId, operIndex, listener: callable(snapshot, listener, nodeCode) };
}

/** A listener that became a plugin or went to another node is not there any more for the messages of this node. */
function callable(snapshot: RegistrySnapshot, listener: Listener | null, nodeCode: string): Listener | null {
  if (listener === null || listener.url === null || listener.nodeCode !== nodeCode) return null;
  return snapshot.node(nodeCode) === null ? null : listener;
}

function operIndexOfRevision(snapshot: RegistrySnapshot, listenerId: string): number {
  return snapshot.data.revisions.findLast((revision) => revision.listenerId === listenerId)?.operIndex ?? 0;
}

function byOrder(a: ChainLink, b: ChainLink): number {
  if (a.operIndex !== b.operIndex) return a.operIndex - b.operIndex;
  return a.listenerId < b.listenerId ? -1 : 1;
}
