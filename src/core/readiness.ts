import type { BrokerStatus } from './ports.js';

/** What a process knows of its surroundings. */
export interface Surroundings {
  broker: BrokerStatus;
  /** Version of the registry in memory, null before the first one was loaded. */
  registryVersion: number | null;
  /** Why the database's registry could not be had the last time, or null; the one in memory may be old then. */
  registryProblem: string | null;
  /** How many secrets of the registry do not open. */
  unreadableSecrets: number;
  databaseUp: boolean;
  /** Whether the journal of this process is behind; false where another role keeps it. */
  journalLagging: boolean;
  /** The process is about to end. */
  stopping: boolean;
}

export interface Readiness {
  ready: boolean;
  /** What works less well: `database`, `registry`, `secrets`, `journal`, `broker-blocked`, `queue:<name>`. */
  degraded: string[];
  /** Why it is not ready, and what is behind `registry` and `secrets`, a sentence each. */
  reasons: string[];
}

/** Ready while broker and registry are there; what else is wrong only degrades (protocol, section 6). */
export function readinessOf(surroundings: Surroundings): Readiness {
  const { broker, registryVersion, registryProblem, unreadableSecrets, databaseUp, journalLagging, stopping } =
    surroundings;
  const reasons: string[] = [];
  if (stopping) reasons.push('the process is stopping');
  if (!broker.ready) reasons.push(`the broker is not ready: ${broker.problem ?? 'no connection yet'}`);
  if (registryVersion === null) {
    reasons.push(`the registry was not loaded yet: ${registryProblem ?? 'the database was not asked yet'}`);
  }
  const ready = reasons.length === 0;
  const degraded: string[] = [];
  if (!databaseUp) degraded.push('database');
  if (databaseUp && registryVersion !== null && registryProblem !== null) {
    degraded.push('registry');
    reasons.push(`the registry stays at version ${registryVersion}: ${registryProblem}`);
  }
  if (unreadableSecrets > 0) {
    degraded.push('secrets');
    reasons.push(`secrets that cannot be decrypted: ${unreadableSecrets}; their nodes and listeners show which`);
  }
  if (journalLagging) degraded.push('journal');
  if (broker.blocked) degraded.push('broker-blocked');
  degraded.push(...broker.unconfirmedQueues.map((queue) => `queue:${queue}`));
  return { ready, degraded, reasons };
}
