import type { EntityManager, FindOptionsWhere, ObjectLiteral } from 'typeorm';
import type { EventType, Listener, ListenerRevision, Node } from '../core/model.js';
import type { Actor, AuditEntry, Clock, RegistryWriter } from '../core/ports.js';
import { insertAudit } from './audit-store.js';
import { uuidToBytes } from './columns.js';
import {
  eventTypeFromRow,
  eventTypeToRow,
  listenerFromRow,
  listenerToRow,
  nodeFromRow,
  nodeToRow,
  revisionToRow,
} from './registry-rows.js';
import type { EventTypeRow, ListenerRow, NodeRow, RevisionRow } from './registry-tables.js';
import type { SecretBox } from './secrets.js';
import { execute } from './sql.js';

interface RegistryWriterDeps {
  manager: EntityManager;
  secrets: SecretBox;
  clock: Clock;
  actor: Actor;
  version: number;
}

/** The registry inside the transaction of one change, which holds its lock. */
export class SqlRegistryWriter implements RegistryWriter {
  readonly version: number;
  readonly #deps: RegistryWriterDeps;
  readonly #manager: EntityManager;

  constructor(deps: RegistryWriterDeps) {
    this.version = deps.version;
    this.#deps = deps;
    this.#manager = deps.manager;
  }

  async findNode(nodeCode: string): Promise<Node | null> {
    const row = await this.#manager.findOneBy<NodeRow>('pub_event_node', { node_code: nodeCode });
    return row === null ? null : nodeFromRow(row, this.#deps.secrets);
  }

  findEventType(id: string): Promise<EventType | null> {
    return this.#eventType({ id });
  }

  findEventTypeByCode(sourceId: string, eventTypeCode: string): Promise<EventType | null> {
    return this.#eventType({ sourceid: sourceId, eventtypecode: eventTypeCode });
  }

  async findListener(id: string): Promise<Listener | null> {
    const row = await this.#manager.findOneBy<ListenerRow>('pub_eventlistener', { id });
    return row === null ? null : listenerFromRow(row, this.#deps.secrets);
  }

  async eventTypesOwnedBy(nodeCode: string): Promise<EventType[]> {
    const rows = await this.#manager.find<EventTypeRow>('pub_eventtype', {
      where: { owner: nodeCode },
      order: { sourceid: 'ASC', eventtypecode: 'ASC' },
    });
    return rows.map(eventTypeFromRow);
  }

  listenersOfNode(nodeCode: string): Promise<Listener[]> {
    return this.#listeners({ node_code: nodeCode });
  }

  listenersOfEventType(eventTypeId: string): Promise<Listener[]> {
    return this.#listeners({ event_type_id: eventTypeId });
  }

  async listenerDelaysMs(): Promise<number[]> {
    const rows = await this.#manager.find<Pick<ListenerRow, 'retry'>>('pub_eventlistener', { select: { retry: true } });
    return [...new Set(rows.flatMap((row) => row.retry.delaysMs ?? []))].sort((a, b) => a - b);
  }

  saveNode(node: Node): Promise<void> {
    return this.#save('pub_event_node', { node_code: node.nodeCode }, nodeToRow(node, this.#deps.secrets));
  }

  async deleteNode(nodeCode: string): Promise<void> {
    await execute(this.#manager, 'DELETE FROM pub_event_node WHERE node_code = ?', [nodeCode]);
  }

  revokeTokensOf(nodeCode: string): Promise<number> {
    const sql = 'UPDATE pub_api_token SET revoked_at = ?, live_name = NULL WHERE node_code = ? AND revoked_at IS NULL';
    return execute(this.#manager, sql, [this.#deps.clock.now(), nodeCode]);
  }

  saveEventType(eventType: EventType): Promise<void> {
    return this.#save('pub_eventtype', { id: eventType.id }, eventTypeToRow(eventType));
  }

  async deleteEventType(id: string): Promise<void> {
    await execute(this.#manager, 'DELETE FROM pub_eventtype WHERE id = ?', [uuidToBytes(id)]);
  }

  saveListener(listener: Listener): Promise<void> {
    return this.#save('pub_eventlistener', { id: listener.id }, listenerToRow(listener, this.#deps.secrets));
  }

  async deleteListener(id: string): Promise<void> {
    await execute(this.#manager, 'DELETE FROM pub_eventlistener WHERE id = ?', [uuidToBytes(id)]);
  }

  openRevision(revision: ListenerRevision): Promise<void> {
    const key = { listener_id: revision.listenerId, from_version: revision.fromVersion };
    return this.#save('pub_eventlistener_revision', key, revisionToRow(revision));
  }

  async closeRevision(listenerId: string, closedAt: number): Promise<void> {
    await execute(
      this.#manager,
      'UPDATE pub_eventlistener_revision SET to_version = ?, closed_at = ? WHERE listener_id = ? AND to_version IS NULL',
      [this.version, closedAt, uuidToBytes(listenerId)],
    );
  }

  audit(entry: AuditEntry): Promise<void> {
    return insertAudit(this.#manager, { actor: this.#deps.actor, entry, at: this.#deps.clock.now() });
  }

  async #eventType(where: FindOptionsWhere<EventTypeRow>): Promise<EventType | null> {
    const row = await this.#manager.findOneBy<EventTypeRow>('pub_eventtype', where);
    return row === null ? null : eventTypeFromRow(row);
  }

  async #listeners(where: FindOptionsWhere<ListenerRow>): Promise<Listener[]> {
    const rows = await this.#manager.find<ListenerRow>('pub_eventlistener', {
      where,
      order: { node_code: 'ASC', event_type_id: 'ASC', operindex: 'ASC' },
    });
    return rows.map((row) => listenerFromRow(row, this.#deps.secrets));
  }

  /** Not an upsert: MySQL's would overwrite another row that holds one of the unique codes. */
  async #save<Row extends NodeRow | EventTypeRow | ListenerRow | RevisionRow>(
    table: string,
    key: FindOptionsWhere<Row>,
    row: Row,
  ): Promise<void> {
    const repository = this.#manager.getRepository<ObjectLiteral>(table);
    const { affected } = await repository.update(key, row);
    if (affected === 0) await repository.insert(row);
  }
}
