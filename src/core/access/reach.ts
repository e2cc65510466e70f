import type { Caller } from './caller.js';
import { JournalReach, type JournalReachDeps } from './journal-reach.js';
import { RegistryReach, type RegistryReachDeps } from './registry-reach.js';

export type ReachDeps = RegistryReachDeps & JournalReachDeps;

/**
 * All that a caller can see and do, bounded to its node where its token is of one. The one place that decides it: what a
 * call gets of the centre, it gets from here.
 */
export class Reach {
  readonly registry: RegistryReach;
  readonly journal: JournalReach;

  constructor(deps: ReachDeps, caller: Caller) {
    this.registry = new RegistryReach(deps, caller);
    this.journal = new JournalReach(deps, caller);
  }
}
