import { EventCenterError } from '../errors.js';
import { maskSecrets } from './mask-secrets.js';
import type { Listener } from '../model.js';
import type {
  Actor,
  CallbackAddresses,
  Clock,
  Log,
  NodeQueue,
  RegistryStore,
  RegistryWriter,
  SchemaCompiler,
} from '../ports.js';
import type { RegistryView } from './registry.js';

export interface RegistryAdminDeps {
  store: Pick<RegistryStore, 'change' | 'readVersion'>;
  registry: Pick<RegistryView, 'atLeast'>;
  schemas: SchemaCompiler;
  addresses: CallbackAddresses;
  clock: Clock;
  log: Log;
  /** The default retry schedule: its delays count among those that can be declared. */
  defaultDelaysMs: number[];
  /** `concurrency` of a node that does not say. */
  defaultConcurrency: number;
  /**
   * Declares what a listener will need before it is registered, so that no process sees it before its binding exists.
   * @throws UNAVAILABLE; then nothing is changed.
   */
  prepareTopology(need: { queue: NodeQueue; eventTypeId: string; delaysMs: number[] }): Promise<void>;
  /** Awaited after each committed change; must end within a bounded time. A rejection is logged, the change stands. */
  onChanged(version: number): Promise<void>;
}

/** Some fields of `T`; `undefined` is the same as absent: leave it as it is. */
export type Changes<T> = { [K in keyof T]?: T[K] | undefined };

/** `T`, where null is the default of each field. */
export type OrDefault<T> = { [K in keyof T]: T[K] | null };

/** What a write found and may not overwrite when it has changed: null does not ask. */
export type ExpectedVersion = number | null;

/** One change of the registry: transaction first, then the word to the others. */
export async function changeRegistry<T>(
  deps: RegistryAdminDeps,
  actor: Actor,
  work: (writer: RegistryWriter) => Promise<T>,
): Promise<T> {
  const { value, version } = await deps.store.change(actor, work);
  try {
    await deps.onChanged(version);
  } catch (error) {
    deps.log.warn('registry.change-not-announced', { version, error });
  }
  return value;
}

/** Writes the audit entry of a change into its transaction. */
export async function auditChange(
  writer: RegistryWriter,
  subject: { kind: 'node' | 'event-type' | 'listener'; id: string },
  done: { action: string; asked: object },
): Promise<void> {
  await writer.audit({
    action: `${subject.kind}.${done.action}`,
    subjectKind: subject.kind,
    subjectId: subject.id,
    detail: maskSecrets(done.asked),
  });
}

/** @throws VERSION_MISMATCH when somebody changed it after the caller had read it. */
export function expectVersion(current: { version: number }, expected: ExpectedVersion): void {
  if (expected === null || expected === current.version) return;
  throw new EventCenterError(
    'VERSION_MISMATCH',
    `If-Match: version ${expected} was expected, it is at ${current.version}; read it again`,
    {
      fields: [{ path: 'If-Match', message: `it is at version ${current.version}` }],
      extra: { currentVersion: current.version },
    },
  );
}

/** A CONFLICT about one field. */
export function conflictAt(path: string, rule: string, extra: Record<string, unknown> = {}): EventCenterError {
  return new EventCenterError('CONFLICT', `${path}: ${rule}`, { fields: [{ path, message: rule }], extra });
}

/** What still uses something that shall be deleted. */
export interface Use {
  kind: 'listener' | 'event-type';
  id: string;
  name: string;
}

/** A listener in a list of uses. */
export function listenerUse(listener: Listener): Use {
  return { kind: 'listener', id: listener.id, name: listener.name };
}

/** @throws IN_USE with the list when there is any use. */
export function expectUnused(what: string, usedBy: Use[]): void {
  if (usedBy.length === 0) return;
  const names = usedBy.slice(0, 5).map((use) => `${use.kind} ${use.name}`);
  const more = usedBy.length > names.length ? ` and ${usedBy.length - names.length} more` : '';
  throw new EventCenterError('IN_USE', `${what} is in use by ${names.join(', ')}${more}; delete them first`, {
    extra: { usedBy },
  });
}

/** `current` with the fields of `changes` that are not undefined; null stands for the default of a field that has one. */
export function withChanges<T extends object>(current: T, changes: object, defaults: Partial<T> = {}): T {
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(changes) as [string, unknown][]) {
    if (value === undefined) continue;
    given[name] = value === null && name in defaults ? defaults[name as keyof T] : value;
  }
  return { ...current, ...given };
}
