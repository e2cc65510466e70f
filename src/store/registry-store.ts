import type { EntityManager } from 'typeorm';
import { EventCenterError } from '../core/errors.js';
import type { ListenerRevision, RegistryData } from '../core/model.js';
import type { Actor, Clock, RegistryStore, RegistryWriter } from '../core/ports.js';
import { uuidToBytes } from './columns.js';
import type { Database } from './database.js';
import { eventTypeFromRow, listenerFromRow, nodeFromRow, revisionFromRow } from './registry-rows.js';
import type { EventTypeRow, ListenerRow, NodeRow, RevisionRow } from './registry-tables.js';
import { SqlRegistryWriter } from './registry-writer.js';
import type { SecretBox } from './secrets.js';
import { execute, rowsOf } from './sql.js';

export interface RegistryStoreDeps {
  database: Database;
  secrets: SecretBox;
  clock: Clock;
}

/** The registry in the database. Reading fails with CONFIG_INVALID when the master key is not the one that sealed it. */
export class SqlRegistryStore implements RegistryStore {
  readonly #deps: RegistryStoreDeps;

  constructor(deps: RegistryStoreDeps) {
    this.#deps = deps;
  }

  readVersion(): Promise<number> {
    return this.#deps.database.run(readVersion);
  }

  /** All of one moment: a change that is committed meanwhile is in it as a whole or not at all. */
  load(): Promise<RegistryData> {
    const { database, secrets } = this.#deps;
    return database.snapshot(async (manager) => {
      const nodes = await manager.find<NodeRow>('pub_event_node', { order: { node_code: 'ASC' } });
      const eventTypes = await manager.find<EventTypeRow>('pub_eventtype', { order: { id: 'ASC' } });
      const listeners = await manager.find<ListenerRow>('pub_eventlistener', { order: { id: 'ASC' } });
      const revisions = await manager.find<RevisionRow>('pub_eventlistener_revision', {
        order: { from_version: 'ASC', listener_id: 'ASC' },
      });
      return {
        version: await readVersion(manager),
        nodes: nodes.map((row) => nodeFromRow(row, secrets)),
        eventTypes: eventTypes.map(eventTypeFromRow),
        listeners: listeners.map((row) => listenerFromRow(row, secrets)),
        revisions: revisions.map(revisionFromRow),
      };
    });
  }

  change<T>(actor: Actor, work: (writer: RegistryWriter) => Promise<T>): Promise<{ value: T; version: number }> {
    return this.#deps.database.transaction(async (manager) => {
      // Raising it first locks the row on both databases, so that changes run one after another.
      await execute(manager, 'UPDATE pub_registry SET version = version + 1 WHERE id = 1');
      const version = await readVersion(manager);
      const value = await work(new SqlRegistryWriter({ ...this.#deps, manager, version, actor }));
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
}

async function readVersion(manager: EntityManager): Promise<number> {
  const [row] = await rowsOf<{ version: number }>(manager, 'SELECT version FROM pub_registry WHERE id = 1');
  if (row === undefined)
    throw new EventCenterError('INTERNAL', 'pub_registry has lost its row: restore it with the last version');
  return row.version;
}
