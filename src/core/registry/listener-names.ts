import type { RegistrySnapshot } from './registry.js';

/** Looks a listener's name up: as it is registered, else as it was when it was last registered. */
export type ListenerNames = (listenerId: string) => string | null;

/** The names of the listeners of one node, or of all of them for null. */
export function listenerNames(snapshot: RegistrySnapshot, only: string | null): ListenerNames {
  const isShown = ({ nodeCode }: { nodeCode: string }): boolean => only === null || nodeCode === only;
  let former: Map<string, string> | null = null;
  return (listenerId) => {
    const registered = snapshot.listener(listenerId);
    if (registered !== null) return isShown(registered) ? registered.name : null;
    former ??= new Map(
      snapshot.data.revisions.filter(isShown).map((revision) => [revision.listenerId, revision.listenerName]),
    );
    return former.get(listenerId) ?? null;
  };
}
