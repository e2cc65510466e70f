import { EventCenterError } from '../../../src/core/errors.js';
import type { RegistryData } from '../../../src/core/model.js';
import { Periodic } from '../../../src/core/periodic.js';
import type { Log } from '../../../src/core/ports.js';
import { RegistrySnapshot, type RegistryView } from '../../../src/core/registry/registry.js';
import { AjvSchemaCompiler } from '../../../src/schema/ajv.js';
import { RefusedError } from '../errors.js';
import type { RegistrationsView } from '../plugins/registrations.js';
import { registryDataOf } from './registry-data.js';

/** So soon a host knows of a change; an answer that nothing is new costs the centre next to nothing. */
const POLL_MS = 1_000;
/** A request under way may have been answered before the version came to be; the one after it was asked for later. */
const REFRESHES = 2;
/** With these the centre knows the node no longer, or not by this key, which is how it answers for a disabled one. */
const SHUT_OUT = new Set(['UNKNOWN_APP', 'BAD_SIGNATURE']);

type SnapshotListener = (snapshot: RegistrySnapshot) => void;

/**
 * The registry as the engine knows it, reduced to this host's node and its plugins. It follows the host's registrations.
 * With the centre away it stays as it was, and events of newer versions wait; a node that the centre shuts out counts as
 * disabled, so that its queue waits.
 */
export class HostRegistry implements RegistryView {
  readonly #registrations: RegistrationsView;
  readonly #limits: { concurrency: number };
  readonly #schemas = new AjvSchemaCompiler();
  readonly #listeners: SnapshotListener[] = [];
  readonly #poll: Periodic;
  #snapshot: RegistrySnapshot;
  #refusal: string | null = null;
  #unfollow: () => void = () => undefined;

  constructor(registrations: RegistrationsView, { log, ...limits }: { concurrency: number; log: Log }) {
    this.#registrations = registrations;
    this.#limits = limits;
    this.#snapshot = this.#snapshotOf(this.#registered());
    this.#poll = new Periodic({
      name: 'registrations',
      intervalMs: POLL_MS,
      log,
      task: async () => {
        // The host itself says what keeps them from being read.
        await this.#refresh().catch(() => undefined);
        return 'idle';
      },
    });
  }

  start(): void {
    this.#unfollow = this.#registrations.onChange(({ version }) => {
      // A snapshot never goes back: an older answer may come late.
      if (version > this.#snapshot.version) this.#adopt(this.#registered());
    });
    this.#poll.start();
  }

  async stop(): Promise<void> {
    this.#unfollow();
    await this.#poll.stop();
  }

  /** Calls `changed` with the present snapshot and each later one. */
  onSnapshot(changed: SnapshotListener): void {
    this.#listeners.push(changed);
    changed(this.#snapshot);
  }

  /** Why the centre shuts the node out, or null. */
  get refusal(): string | null {
    return this.#refusal;
  }

  current(): RegistrySnapshot {
    return this.#snapshot;
  }

  async atLeast(version: number): Promise<RegistrySnapshot> {
    for (let refreshes = 0; this.#snapshot.version < version; refreshes += 1) {
      if (refreshes >= REFRESHES) {
        throw new EventCenterError('UNAVAILABLE', `the centre does not know the registry version ${version} yet`);
      }
      await this.#refresh();
    }
    return this.#snapshot;
  }

  /** Waits for the version: the centre answers out of its memory, so that a version it does not know may still come. */
  forVersion(version: number): Promise<RegistrySnapshot> {
    return this.atLeast(version);
  }

  async refreshed(): Promise<RegistrySnapshot> {
    await this.#refresh().catch(() => undefined);
    return this.#snapshot;
  }

  async #refresh(): Promise<void> {
    try {
      await this.#registrations.refresh();
      this.#shutOut(null);
    } catch (error) {
      if (error instanceof RefusedError && SHUT_OUT.has(error.code)) this.#shutOut(error.message);
      throw new EventCenterError('UNAVAILABLE', 'the registrations cannot be read now', { cause: error });
    }
  }

  #shutOut(refusal: string | null): void {
    const changes = (refusal === null) !== (this.#refusal === null);
    this.#refusal = refusal;
    if (changes) this.#adopt(this.#registered());
  }

  #registered(): RegistryData {
    const data = registryDataOf(this.#registrations.current(), this.#limits);
    return this.#refusal === null ? data : { ...data, nodes: data.nodes.map((node) => ({ ...node, enabled: false })) };
  }

  #adopt(data: RegistryData): void {
    this.#snapshot = this.#snapshotOf(data);
    for (const changed of this.#listeners) changed(this.#snapshot);
  }

  #snapshotOf(data: RegistryData): RegistrySnapshot {
    return new RegistrySnapshot(data, this.#schemas);
  }
}
