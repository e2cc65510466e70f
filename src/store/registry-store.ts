import type { EntityManager } from 'typeorm';
import { EventCenterError, hasCode } from '../core/errors.js';
import type { ListenerRevision, RegistryData } from '../core/model.js';
import type { Actor, Clock, RegistryStore, RegistryWriter } from '../core/ports.js';
import { uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { eventTypeFromRow, listenerFromRow, nodeFromRow, revisionFromRow } from './registry-rows.js';
import type { EventTypeRow, ListenerRow, NodeRow, RegistryRow, RevisionRow } from './registry-tables.js';
import { SqlRegistryWriter } from './registry-writer.js';
import type { SecretBox } from './secrets.js';
import { execute, rowsOf } from './sql.js';

const KEY_CHECK_TEXT = 'event-center';
const KEY_CHECK_CONTEXT = 'pub_registry.key_check:1';

/** A new `key_check`, sealed by the key that seals. */
export function sealKeyCheck(secrets: SecretBox): string {
  return secrets.seal(KEY_CHECK_TEXT, KEY_CHECK_CONTEXT);
}

export interface RegistryStoreDeps {
  database: Database;
  secrets: SecretBox;
  clock: Clock;
}

/**
 * The registry in the database. Everything but `pruneRevisions` throws CONFIG_INVALID when the key of this database is not
 * among the master keys; a single secret that does not open comes as unreadable. The key of the database is the one that
 * its `key_check` is sealed under: it seals whatever is written, also where a newer key is known, so that processes
 * without that one read it. `rotateMasterKey` changes it.
 */
export class SqlRegistryStore implements RegistryStore {
  readonly #deps: RegistryStoreDeps;

  constructor(deps: RegistryStoreDeps) {
    this.#deps = deps;
  }

  readVersion(): Promise<number> {
    return this.#deps.database.run(async (manager) => (await this.#readRow(manager)).version);
  }

  /** All of one moment: a change that is committed meanwhile is in it as a whole or not at all. */
  async load(): Promise<RegistryData> {
    const { database, secrets } = this.#deps;
    const { data, hasKeyCheck } = await database.snapshot(async (manager) => {
      const { version, key_check: keyCheck } = await this.#readRow(manager);
      const nodes = await manager.find<NodeRow>('pub_event_node', { order: { node_code: 'ASC' } });
      const eventTypes = await manager.find<EventTypeRow>('pub_eventtype', { order: { id: 'ASC' } });
      const listeners = await manager.find<ListenerRow>('pub_eventlistener', { order: { id: 'ASC' } });
      const revisions = await manager.find<RevisionRow>('pub_eventlistener_revision', {
        order: { from_version: 'ASC', listener_id: 'ASC' },
      });
      const data: RegistryData = {
        version,
        nodes: nodes.map((row) => nodeFromRow(row, secrets)),
        eventTypes: eventTypes.map(eventTypeFromRow),
        listeners: listeners.map((row) => listenerFromRow(row, secrets)),
        revisions: revisions.map(revisionFromRow),
      };
      return { data, hasKeyCheck: keyCheck !== null };
    });
    // From the first look on, so that no process with another key can begin to write.
    if (!hasKeyCheck) await database.transaction((manager) => this.#writeKeyCheck(manager));
    return data;
  }

  change<T>(actor: Actor, work: (writer: RegistryWriter) => Promise<T>): Promise<{ value: T; version: number }> {
    return this.#deps.database.transaction(async (manager) => {
      // Raising it first locks the row on both databases, so that changes run one after another.
      await execute(manager, 'UPDATE pub_registry SET version = version + 1 WHERE id = 1');
      const { version, key_check: keyCheck } = await this.#readRow(manager);
      if (keyCheck === null) await this.#writeKeyCheck(manager);
      const secrets = keyCheck === null ? this.#deps.secrets : this.#deps.secrets.sealingLike(keyCheck);
      const value = await work(new SqlRegistryWriter({ ...this.#deps, secrets, manager, version, actor }));
      return { value, version };
    });
  }

  pruneRevisions(closedBefore: number): Promise<ListenerRevision[]> {
    return this.#deps.database.transaction(async (manager) => {
      const rows = await manager
        .createQueryBuilder<RevisionRow>('pub_eventlistener_revision', 'revision')
        .where('revision.closed_at < :closedBefore', { closedBefore })
        .orderBy('revision.from_version')
        .getMany();
      for (const row of rows) {
        await execute(manager, 'DELETE FROM pub_eventlistener_revision WHERE listener_id = ? AND from_version = ?', [
          uuidToBytes(row.listener_id),
          row.from_version,
        ]);
      }
      return rows.map(revisionFromRow);
    });
  }

  /** @throws CONFIG_INVALID when another master key belongs to this database. */
  async #readRow(manager: EntityManager): Promise<Omit<RegistryRow, 'id'>> {
    const [row] = await rowsOf<Omit<RegistryRow, 'id'>>(
      manager,
      'SELECT version, key_check FROM pub_registry WHERE id = 1',
    );
    if (row === undefined)
      throw new EventCenterError('INTERNAL', 'pub_registry has lost its row: restore it with the last version');
    if (row.key_check !== null) expectSameKey(this.#deps.secrets, row.key_check);
    return row;
  }

  /** The first one writes; whoever comes later has to have the same key. */
  async #writeKeyCheck(manager: EntityManager): Promise<void> {
    const check = sealKeyCheck(this.#deps.secrets);
    await execute(manager, 'UPDATE pub_registry SET key_check = ? WHERE id = 1 AND key_check IS NULL', [check]);
    await this.#readRow(manager);
  }
}

/** @throws CONFIG_INVALID when the key of this `key_check` is not among the master keys. */
export function expectSameKey(secrets: SecretBox, keyCheck: string): void {
  try {
    secrets.open(keyCheck, KEY_CHECK_CONTEXT);
  } catch (error) {
    if (!hasCode(error, 'CONFIG_INVALID')) throw error;
    throw new EventCenterError(
      'CONFIG_INVALID',
      'this database was set up with another master key (EVENT_CENTER_MASTER_KEY): start with that one, ' +
        'or with that one as EVENT_CENTER_MASTER_KEY_PREVIOUS beside the one that replaces it. ' +
        'Where the variable is not set, the key is the file master.key in the data folder: put the former file back, ' +
        'or set the variable if a key of your own has replaced it. ' +
        `(${error.message})`,
    );
  }
}
