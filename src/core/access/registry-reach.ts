import { expectWithin, isWithin, type Caller } from './caller.js';
import { EventCenterError, hasCode } from '../errors.js';
import { BUILT_IN_NODE_CODE, type EventType, type Listener, type Node } from '../model.js';
import type { ListenerAnswer } from '../ports.js';
import {
  noSuchEventType,
  notOwnedBy,
  type EventTypeChanges,
  type EventTypeRef,
  type NewEventType,
} from '../registry/event-type-admin.js';
import {
  noSuchListener,
  type ListenerChanges,
  type ListenerRef,
  type NewListener,
} from '../registry/listener-admin.js';
import { testListener, type ListenerTestDeps, type Sample } from '../registry/listener-test.js';
import {
  noSuchNode,
  type KeyedNode,
  type NodeAdmin,
  type NodeChanges,
  type NodeRef,
  type SavedNode,
} from '../registry/node-admin.js';
import { listenerUse } from '../registry/registry-change.js';
import type { RegistryAdmin } from '../registry/registry-admin.js';

export interface RegistryReachDeps extends ListenerTestDeps {
  admin: RegistryAdmin;
}

/** What of a node protects the centre and the other nodes; only callers for the whole centre change it. */
const CENTRE_FIELDS = ['enabled', 'concurrency', 'sendRateLimit', 'deliverRateLimit'] as const;

/**
 * The registry as one caller reaches it. For a caller of one node, what is another's is not there (NOT_FOUND), except
 * event types: they are the catalogue, readable by all and changed by their owner.
 */
export class RegistryReach {
  readonly #deps: RegistryReachDeps;
  readonly #caller: Caller;

  constructor(deps: RegistryReachDeps, caller: Caller) {
    this.#deps = deps;
    this.#caller = caller;
  }

  async nodes(): Promise<Node[]> {
    const { nodes } = (await this.#deps.registry.refreshed()).data;
    return nodes.filter((node) => isWithin(this.#caller, node.nodeCode));
  }

  /** @throws NOT_FOUND. */
  async node(nodeCode: string): Promise<Node> {
    this.#expectNode(nodeCode);
    const node = (await this.#deps.registry.refreshed()).node(nodeCode);
    if (node === null) throw noSuchNode(nodeCode);
    return node;
  }

  /** @throws FORBIDDEN for limits of the node, asked for by a caller of the node; what `NodeAdmin.update` throws. */
  async updateNode(ref: NodeRef, changes: NodeChanges): Promise<SavedNode> {
    this.#expectNode(ref.nodeCode);
    const denied = CENTRE_FIELDS.filter((field) => changes[field] !== undefined);
    if (this.#caller.nodeCode !== null && denied.length > 0) {
      throw new EventCenterError(
        'FORBIDDEN',
        `${denied.join(', ')}: only a token of the whole centre changes what protects others from the node`,
      );
    }
    return this.#deps.admin.nodes.update(this.#caller.actor, ref, changes);
  }

  /** @throws what `NodeAdmin.rotateKey` throws. */
  async rotateKey(ref: NodeRef, request: Parameters<NodeAdmin['rotateKey']>[2]): Promise<KeyedNode> {
    this.#expectNode(ref.nodeCode);
    return this.#deps.admin.nodes.rotateKey(this.#caller.actor, ref, request);
  }

  async listeners(): Promise<Listener[]> {
    const { listeners } = (await this.#deps.registry.refreshed()).data;
    return listeners.filter((listener) => isWithin(this.#caller, listener.nodeCode));
  }

  /** @throws NOT_FOUND. */
  async listener(id: string): Promise<Listener> {
    const listener = (await this.#deps.registry.refreshed()).listener(id);
    if (listener === null || !isWithin(this.#caller, listener.nodeCode)) throw noSuchListener(id);
    return listener;
  }

  /**
   * @throws FORBIDDEN for another node than the caller's, and for the built-in event type, which tells of all nodes; what
   *   `ListenerAdmin.create` throws.
   */
  async createListener(input: NewListener): Promise<Listener> {
    expectWithin(this.#caller, 'nodeCode', input.nodeCode);
    if (this.#caller.nodeCode !== null && (await this.#namesBuiltIn(input))) {
      throw new EventCenterError(
        'FORBIDDEN',
        'the built-in event type tells of every node: only a token of the whole centre registers listeners of it',
      );
    }
    return this.#deps.admin.listeners.create(this.#caller.actor, input);
  }

  /** @throws what `ListenerAdmin.update` throws. */
  async updateListener(ref: ListenerRef, changes: ListenerChanges): Promise<Listener> {
    await this.#expectListener(ref.id);
    return this.#deps.admin.listeners.update(this.#caller.actor, ref, changes);
  }

  /** @throws what `ListenerAdmin.delete` throws. */
  async deleteListener(ref: ListenerRef): Promise<void> {
    await this.#expectListener(ref.id);
    await this.#deps.admin.listeners.delete(this.#caller.actor, ref);
  }

  /** @throws what `testListener` throws. */
  async testListener(listenerId: string, sample: Sample): Promise<ListenerAnswer> {
    await this.#expectListener(listenerId);
    return testListener(this.#deps, this.#caller.actor, { listenerId, sample });
  }

  async eventTypes(): Promise<EventType[]> {
    return (await this.#deps.registry.refreshed()).data.eventTypes;
  }

  /** @throws NOT_FOUND. */
  async eventType(id: string): Promise<EventType> {
    const type = (await this.#deps.registry.refreshed()).eventType(id);
    if (type === null) throw noSuchEventType(id);
    return type;
  }

  /** @throws FORBIDDEN unless the caller's node is named as the owner; what `EventTypeAdmin.create` throws. */
  async createEventType(input: NewEventType): Promise<EventType> {
    this.#expectOwner(input.owner);
    return this.#deps.admin.eventTypes.create(this.#caller.actor, input);
  }

  /** @throws FORBIDDEN when the caller's node does not own it, or gives it away; what `EventTypeAdmin.update` throws. */
  async updateEventType(ref: EventTypeRef, changes: EventTypeChanges): Promise<EventType> {
    if (changes.owner !== undefined) this.#expectOwner(changes.owner);
    return this.#deps.admin.eventTypes.update(this.#caller.actor, { ...ref, ownedBy: this.#caller.nodeCode }, changes);
  }

  /** @throws FORBIDDEN when the caller's node does not own it; what `EventTypeAdmin.delete` throws. */
  async deleteEventType(ref: EventTypeRef): Promise<void> {
    try {
      await this.#deps.admin.eventTypes.delete(this.#caller.actor, { ...ref, ownedBy: this.#caller.nodeCode });
    } catch (error) {
      throw this.#caller.nodeCode !== null && hasCode(error, 'IN_USE') ? await this.#usedByOthersToo(ref.id) : error;
    }
  }

  #expectNode(nodeCode: string): void {
    if (!isWithin(this.#caller, nodeCode)) throw noSuchNode(nodeCode);
  }

  async #expectListener(id: string): Promise<void> {
    if (this.#caller.nodeCode !== null) await this.listener(id);
  }

  #expectOwner(owner: string | undefined): void {
    const { nodeCode } = this.#caller;
    if (nodeCode !== null && owner !== nodeCode) throw notOwnedBy(nodeCode);
  }

  async #namesBuiltIn({ eventTypeId, sourceId, eventTypeCode }: NewListener): Promise<boolean> {
    const snapshot = await this.#deps.registry.refreshed();
    const named = [
      eventTypeId === undefined ? null : snapshot.eventType(eventTypeId),
      snapshot.eventTypeByCode(sourceId ?? '', eventTypeCode ?? ''),
    ];
    return named.some((type) => type?.owner === BUILT_IN_NODE_CODE);
  }

  /** The refusal of a deletion without the names of other nodes' listeners. */
  async #usedByOthersToo(eventTypeId: string): Promise<EventCenterError> {
    const own = (await this.listeners()).filter((listener) => listener.eventTypeId === eventTypeId);
    return new EventCenterError('IN_USE', `event type ${eventTypeId} is in use by listeners; delete them first`, {
      extra: { usedBy: own.map(listenerUse) },
    });
  }
}
