import type { Listener, Node, RegistryData, UnreadableSecret } from '../model.js';

/** Where a secret stands that does not open. */
export interface UnreadablePlace {
  kind: 'node' | 'listener';
  /** Node code or listener id. */
  id: string;
  field: string;
  why: string;
}

/** Whether a secret does not open. */
export function isUnreadable(secret: string | object | null): secret is UnreadableSecret {
  return (
    typeof secret === 'object' && secret !== null && 'unreadable' in secret && typeof secret.unreadable === 'object'
  );
}

/** The secrets of a node that do not open. */
export function unreadableOfNode({ nodeCode, appKey, previousKeys, clientKey }: Node): UnreadablePlace[] {
  return placesOf({ kind: 'node', id: nodeCode }, { appKey, previousKeys, clientKey });
}

/** The secrets of a listener that do not open. */
export function unreadableOfListener({ id, headers, secret }: Listener): UnreadablePlace[] {
  return placesOf({ kind: 'listener', id }, { headers, secret });
}

/** All secrets of the registry that do not open. */
export function unreadableSecrets({ nodes, listeners }: RegistryData): UnreadablePlace[] {
  return [...nodes.flatMap(unreadableOfNode), ...listeners.flatMap(unreadableOfListener)];
}

function placesOf(
  row: Pick<UnreadablePlace, 'kind' | 'id'>,
  secrets: Record<string, string | object | null>,
): UnreadablePlace[] {
  return Object.entries(secrets).flatMap(([field, secret]) =>
    isUnreadable(secret) ? [{ ...row, field, why: secret.unreadable.why }] : [],
  );
}
