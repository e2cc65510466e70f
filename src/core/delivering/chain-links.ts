import type { ChainLink } from './chain.js';
import { kindOf } from '../registry/listener-kind.js';
import type { ChainPosition, Event, Listener, ListenerKind } from '../model.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/**
 * The chain of an event at a node, by the registry as it is now, ascending by `operIndex`. `kind` is that of the queue
 * which the message came from: its listeners are called, and no others. Fresh messages run those
 * who were owed the event at its version. Messages that name listeners (`targets`, and the one that a successor is
 * about) run these, even when nobody knows any more that they were owed: whoever made the message knew it.
 */
export function chainLinks(
  snapshot: RegistrySnapshot,
  event: Event,
  { position, kind }: { position: ChainPosition; kind: ListenerKind },
): ChainLink[] {
  const { nodeCode, targets, listenerId } = position;
  const links = new Map<string, ChainLink>();
  for (const owed of snapshot.owed(event, { nodeCode, kind })) {
    if (targets !== null && !targets.includes(owed.listenerId)) continue;
    links.set(owed.listenerId, {
      listenerId: owed.listenerId,
      operIndex: owed.operIndex,
      listener: callable(snapshot, owed.listener, { nodeCode, kind }),
    });
  }
  const named = new Set(targets ?? []);
  if (listenerId !== null) named.add(listenerId);
  let added = false;
  for (const id of named) {
    if (links.has(id)) continue;
    links.set(id, namedLink(snapshot, id, { nodeCode, kind }));
    added = true;
  }
  return added ? [...links.values()].sort(byOrder) : [...links.values()];
}

interface Place {
  nodeCode: string;
  kind: ListenerKind;
}

function namedLink(snapshot: RegistrySnapshot, listenerId: string, place: Place): ChainLink {
  const listener = snapshot.listener(listenerId);
  const operIndex = listener?.operIndex ?? operIndexOfRevision(snapshot, listenerId);
  return { listenerId, operIndex, listener: callable(snapshot, listener, place) };
}

/** A listener that became one of the other kind or went to another node is not there any more for this queue. */
function callable(snapshot: RegistrySnapshot, listener: Listener | null, place: Place): Listener | null {
  if (listener === null || kindOf(listener) !== place.kind || listener.nodeCode !== place.nodeCode) return null;
  return snapshot.node(place.nodeCode) === null ? null : listener;
}

function operIndexOfRevision(snapshot: RegistrySnapshot, listenerId: string): number {
  return snapshot.data.revisions.filter((revision) => revision.listenerId === listenerId).at(-1)?.operIndex ?? 0;
}

function byOrder(a: ChainLink, b: ChainLink): number {
  if (a.operIndex !== b.operIndex) return a.operIndex - b.operIndex;
  return a.listenerId < b.listenerId ? -1 : 1;
}
