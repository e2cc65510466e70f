import { EventCenterError } from '../../../src/core/errors.js';
import { RegistrySnapshot, type RegistryView } from '../../../src/core/registry.js';
import { AjvSchemaCompiler } from '../../../src/schema/ajv.js';
import type { Registrations, RegistrationsView } from '../plugins/registrations.js';
import { registryDataOf } from './registry-data.js';

/** A request under way may have been answered before the version came to be; the one after it was asked for later. */
const REFRESHES = 2;

/**
 * The registry as the engine knows it, reduced to this host's node and its plugins. It follows the host's registrations;
 * with the centre away it stays as it was, and events of newer versions wait.
 */
export class HostRegistry implements RegistryView {
  readonly #registrations: RegistrationsView;
  readonly #limits: { concurrency: number };
  readonly #schemas = new AjvSchemaCompiler();
  #snapshot: RegistrySnapshot;

  constructor(registrations: RegistrationsView, limits: { concurrency: number }) {
    this.#registrations = registrations;
    this.#limits = limits;
    this.#snapshot = this.#snapshotOf(registrations.current());
  }

  /** Calls `changed` with the present snapshot and each later one; the answer ends that. */
  onSnapshot(changed: (snapshot: RegistrySnapshot) => void): () => void {
    changed(this.#snapshot);
    return this.#registrations.onChange((registrations) => {
      // A snapshot never goes back: an older answer may come late.
      if (registrations.version <= this.#snapshot.version) return;
      this.#snapshot = this.#snapshotOf(registrations);
      changed(this.#snapshot);
    });
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

  async refreshed(): Promise<RegistrySnapshot> {
    await this.#refresh().catch(() => undefined);
    return this.#snapshot;
  }

  async #refresh(): Promise<void> {
    try {
      await this.#registrations.refresh();
    } catch (error) {
      throw new EventCenterError('UNAVAILABLE', 'the registrations cannot be read now', { cause: error });
    }
  }

  #snapshotOf(registrations: Registrations): RegistrySnapshot {
    return new RegistrySnapshot(registryDataOf(registrations, this.#limits), this.#schemas);
  }
}
