import type { Actor, AuditEntry, AuditStore, Clock, Log } from '../ports.js';

/**
 * Notes a write that has happened outside of a registry change. When the database goes away in between, the entry is
 * logged as an error instead of failing a call that had its effect.
 */
export async function appendAudit(
  deps: { audit: AuditStore; clock: Clock; log: Log },
  actor: Actor,
  entry: AuditEntry,
): Promise<void> {
  try {
    await deps.audit.append(actor, entry, deps.clock.now());
  } catch (error) {
    deps.log.error('audit.entry-lost', { actor: actor.name, requestId: actor.requestId, ...entry, error });
  }
}
