import type { BrokerStatus } from './ports.js';

/** What a process knows of its surroundings. */
export interface Surroundings {
  broker: BrokerStatus;
  /** Version of the registry in memory, null before the first one was loaded. */
  registryVersion: number | null;
  /** Whether the registry in memory may be old, because the database's could not be read. */
  registryStale: boolean;
  databaseUp: boolean;
  /** Whether the journal of this process is behind; false where another role keeps it. */
  journalLagging: boolean;
  /** The process is about to end. */
  stopping: boolean;
}

export interface Readiness {
  ready: boolean;
  /** What works less well: `database`, `registry`, `journal`, `broker-blocked`, `queue:<name>`. */
  degraded: string[];
  /** Why it is not ready, a sentence each. */
  reasons: string[];
}

/** Ready while broker and registry are there; what else is wrong only degrades (protocol, section 6). */
export function readinessOf(surroundings: Surroundings): Readiness {
  const { broker, registryVersion, databaseUp, journalLagging, stopping } = surroundings;
  const registryStale = databaseUp && registryVersion !== null && surroundings.registryStale;
  const reasons: string[] = [];
  if (stopping) reasons.push('the process is stopping');
  if (!broker.ready) reasons.push(`the broker is not ready: ${broker.problem ?? 'no connection yet'}`);
  if (registryVersion === null) {
    const why = databaseUp ? 'the log says why' : 'the database does not answer';
    reasons.push(`the registry was not loaded yet: ${why}`);
  }
  const degraded: string[] = [];
  if (!databaseUp) degraded.push('database');
  if (registryStale) degraded.push('registry');
  if (journalLagging) degraded.push('journal');
  if (broker.blocked) degraded.push('broker-blocked');
  degraded.push(...broker.unconfirmedQueues.map((queue) => `queue:${queue}`));
  return { ready: reasons.length === 0, degraded, reasons };
}
