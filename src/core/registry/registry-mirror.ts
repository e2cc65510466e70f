import { EventCenterError, hasCode } from '../errors.js';
import type { RegistryData } from '../model.js';
import type { Clock, Log, Metrics, RegistryStore, SchemaCompiler } from '../ports.js';
import { RegistrySnapshot, type RegistryView } from './registry.js';
import { unreadableSecrets, type UnreadablePlace } from './unreadable-secret.js';

/** Keeps the last registry where it survives a restart during a database outage. */
export interface SnapshotKeeper {
  saveSnapshot(data: RegistryData): Promise<void>;
  loadSnapshot(): Promise<RegistryData | null>;
}

export interface RegistryMirrorDeps {
  store: RegistryStore;
  keeper: SnapshotKeeper;
  schemas: SchemaCompiler;
  clock: Clock;
  log: Log;
  metrics: Pick<Metrics, 'incident'>;
  /** How often the store is asked for its version. */
  pollMs: number;
  /** How long `atLeast` waits for a version to appear. */
  waitMs: number;
}

/** The log tells this often that events are of versions that the store does not know. */
const TELL_UNKNOWN_MS = 60_000;

type SnapshotListener = (snapshot: RegistrySnapshot) => void;

/**
 * The registry in this process's memory, kept equal to the store by announcements and by polling its version.
 * Without the database it answers from the last snapshot, also after a restart.
 */
export class RegistryMirror implements RegistryView {
  readonly #deps: RegistryMirrorDeps;
  readonly #listeners: SnapshotListener[] = [];
  #snapshot: RegistrySnapshot | null = null;
  #running: Promise<void> | null = null;
  #queued: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;
  #storeProblem: { isAway: boolean; message: string } | null = null;
  #checkedAt: number | null = null;
  #unreadable: UnreadablePlace[] = [];
  #toldUnknownAt = -Infinity;

  constructor(deps: RegistryMirrorDeps) {
    this.#deps = deps;
  }

  /**
   * Loads the first snapshot, from the store or else from the keeper, and begins to poll. Resolves also with neither,
   * while the store is away.
   * @throws CONFIG_INVALID when the store answers that it needs another master key.
   */
  async start(): Promise<void> {
    const problem = await this.#check().catch((error: unknown) => error);
    if (hasCode(problem, 'CONFIG_INVALID')) throw problem;
    if (this.#snapshot === null) {
      const kept = await this.#deps.keeper.loadSnapshot();
      if (kept !== null) {
        this.#deps.log.warn('registry.loaded-from-file', { version: kept.version, problem: this.storeProblem });
        this.#adopt(kept);
      }
    }
    this.#schedulePoll();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await Promise.allSettled([this.#running, this.#queued]);
  }

  /** Called with each new snapshot, and at once with the present one. */
  onSnapshot(listener: SnapshotListener): void {
    this.#listeners.push(listener);
    if (this.#snapshot !== null) listener(this.#snapshot);
  }

  /** Why the registry of the store could not be had the last time, or null. */
  get storeProblem(): string | null {
    return this.#storeProblem?.message ?? null;
  }

  /** When the registry in memory was last known to be the store's; null before the first time. */
  get checkedAt(): number | null {
    return this.#checkedAt;
  }

  /** The secrets of the present snapshot that do not open. */
  get unreadable(): readonly UnreadablePlace[] {
    return this.#unreadable;
  }

  get loaded(): boolean {
    return this.#snapshot !== null;
  }

  current(): RegistrySnapshot {
    if (this.#snapshot === null) {
      throw new EventCenterError('UNAVAILABLE', 'the registry was not loaded yet', {
        retryAfterSeconds: 2,
      });
    }
    return this.#snapshot;
  }

  async atLeast(version: number): Promise<RegistrySnapshot> {
    const deadline = this.#deps.clock.now() + this.#deps.waitMs;
    for (;;) {
      if (this.#snapshot !== null && this.#snapshot.version >= version) return this.#snapshot;
      if (this.#stopped || this.#deps.clock.now() >= deadline) {
        throw new EventCenterError('UNAVAILABLE', `registry version ${version} could not be loaded in time`);
      }
      await this.#check().catch(() => undefined);
      if (this.#snapshot === null || this.#snapshot.version < version) await pause(50);
    }
  }

  /**
   * Whoever stamps an event has read its version from the store, where it was committed by then. So a store that is
   * asked after the event came, and does not know the version, has lost it, or nobody ever had it: it will not come.
   */
  async forVersion(version: number): Promise<RegistrySnapshot> {
    if (this.#snapshot !== null && this.#snapshot.version >= version) return this.#snapshot;
    const answered = await this.#check().then(
      () => true,
      () => false,
    );
    if (!answered) return this.atLeast(version);
    const newest = this.current();
    if (newest.version < version) this.#noteUnknown(version, newest.version);
    return newest;
  }

  async refreshed(): Promise<RegistrySnapshot> {
    await this.#check().catch(() => undefined);
    return this.current();
  }

  /** Hint that the registry is now at `version`. */
  hint(version: number): void {
    if (this.#snapshot === null || this.#snapshot.version !== version) void this.#check().catch(() => undefined);
  }

  /** Asks the store once, after the call: calls that come while one runs share the next one. */
  #check(): Promise<void> {
    if (this.#running === null) {
      this.#running = this.#ask().finally(() => {
        this.#running = null;
      });
      return this.#running;
    }
    this.#queued ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#queued = null;
        return this.#check();
      });
    return this.#queued;
  }

  async #ask(): Promise<void> {
    try {
      const askedAt = this.#deps.clock.now();
      const version = await this.#deps.store.readVersion();
      if (this.#snapshot?.version !== version) {
        const data = await this.#deps.store.load();
        this.#adopt(data);
        await this.#deps.keeper.saveSnapshot(data).catch((error: unknown) => {
          this.#deps.log.error('registry.snapshot-not-saved', { error });
        });
      }
      if (this.#storeProblem !== null) this.#deps.log.info('registry.store-answered', { version });
      this.#storeProblem = null;
      this.#checkedAt = askedAt;
    } catch (error) {
      this.#noteProblem(error);
      throw error;
    }
  }

  /** Logged once, and again when the store is not away any more but still of no use, or the other way round. */
  #noteProblem(error: unknown): void {
    const isAway = hasCode(error, 'UNAVAILABLE');
    if (this.#storeProblem?.isAway !== isAway) {
      if (isAway) this.#deps.log.warn('registry.store-away', { error });
      else this.#deps.log.error('registry.not-loaded', { error });
    }
    this.#storeProblem = { isAway, message: error instanceof Error ? error.message : String(error) };
  }

  #noteUnknown(version: number, newestVersion: number): void {
    const { clock, log, metrics } = this.#deps;
    metrics.incident('registry.version-unknown');
    if (clock.now() - this.#toldUnknownAt < TELL_UNKNOWN_MS) return;
    this.#toldUnknownAt = clock.now();
    log.warn('registry.version-unknown', { version, newestVersion });
  }

  #adopt(data: RegistryData): void {
    const snapshot = new RegistrySnapshot(data, this.#deps.schemas);
    this.#snapshot = snapshot;
    this.#noteUnreadable(unreadableSecrets(data));
    for (const listener of this.#listeners) listener(snapshot);
  }

  #noteUnreadable(places: UnreadablePlace[]): void {
    const known = new Set(this.#unreadable.map(keyOf));
    const found = places.filter((place) => !known.has(keyOf(place)));
    for (const place of found) this.#deps.log.error('registry.secret-unreadable', { ...place });
    this.#unreadable = places;
  }

  #schedulePoll(): void {
    if (this.#stopped) return;
    this.#timer = setTimeout(() => {
      void this.#check()
        .catch(() => undefined)
        .then(() => {
          this.#schedulePoll();
        });
    }, this.#deps.pollMs);
  }
}

function keyOf({ kind, id, field }: UnreadablePlace): string {
  return `${kind} ${id} ${field}`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
