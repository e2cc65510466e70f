import { EventCenterError } from '../errors.js';
import type { Actor } from '../ports.js';

/** Who makes a call, and how far it reaches. */
export interface Caller {
  actor: Actor;
  /** The node whose things alone it reaches; null is the whole centre. */
  nodeCode: string | null;
}

/** Whether something of the node `nodeCode` is in reach. */
export function isWithin(caller: Caller, nodeCode: string | null): boolean {
  return caller.nodeCode === null || caller.nodeCode === nodeCode;
}

/**
 * Refuses what a call names for another node than the caller's. Whether there is such a node is not told.
 * @throws FORBIDDEN.
 */
export function expectWithin(caller: Caller, path: string, nodeCode: string | null): void {
  if (isWithin(caller, nodeCode)) return;
  throw new EventCenterError(
    'FORBIDDEN',
    `${path}: the token is of the node ${String(caller.nodeCode)} and acts for that node only`,
  );
}
