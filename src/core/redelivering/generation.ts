import { EventCenterError } from '../errors.js';
import { kindOf } from '../registry/listener-kind.js';
import type { Delivery, EventMessage, ListenerKind, OwedListener } from '../model.js';
import type { DeliveryChange, NodeQueue, RecordedChain } from '../ports.js';
import type { RegistrySnapshot } from '../registry/registry.js';

/** What is to become of a chain. */
export interface ChainPlan {
  /** Its new generation; null when only deliveries are closed and the chain goes on as it is. */
  generation: number | null;
  deliveries: DeliveryChange[];
  /** Where the message of the new generation goes; null when nothing is left to run. */
  send: { queue: NodeQueue; message: EventMessage } | null;
}

/** Whether the chain still has to do something about the delivery. */
export function isUnsettled(delivery: Pick<Delivery, 'state'>): boolean {
  return delivery.state === 'pending' || delivery.state === 'retrying';
}

/**
 * A new generation of a chain: it runs the wanted listeners and, so that the message of the old generation can be
 * acked unseen, the chain's other unsettled ones, but those in `without`. Listeners that were deleted meanwhile are
 * closed as `cancelled`. The message carries the registry version of `snapshot`, because the targets are named.
 */
export function raiseGeneration(
  chain: RecordedChain,
  plan: { wanted: OwedListener[]; without?: DeliveryChange[]; snapshot: RegistrySnapshot },
): ChainPlan {
  const { snapshot, wanted } = plan;
  const generation = chain.generation + 1;
  const closed = (plan.without ?? []).map((change) => ({ ...change, generation }));
  const members = new Map<string, OwedListener>();
  for (const listener of [...chain.deliveries.filter(isUnsettled), ...wanted])
    members.set(listener.listenerId, listener);
  for (const change of closed) members.delete(change.listenerId);

  const targets: OwedListener[] = [];
  let kind: ListenerKind | null = null;
  for (const member of [...members.values()].sort(byOrder)) {
    const kindNow = kindAtNode(snapshot, member);
    if (kindNow === null)
      closed.push({ ...owedOf(member), state: 'cancelled', reason: 'listener-deleted', generation });
    else targets.push(owedOf(member));
    kind ??= kindNow;
  }
  const pending = targets.map((target): DeliveryChange => ({ ...target, state: 'pending', reason: null, generation }));
  const send =
    kind === null
      ? null
      : {
          queue: { kind, nodeCode: chain.nodeCode },
          message: messageOf(chain, { generation, targets, registryVersion: snapshot.version }),
        };
  return { generation, deliveries: [...pending, ...closed], send };
}

/**
 * What a manual retry runs besides the listener itself: the later ones that were skipped because the chain stopped,
 * up to the next one that is exhausted itself and so holds back those behind it.
 * @throws NOT_FOUND; NOT_RETRYABLE while it is `pending` or an earlier listener is unsettled (protocol page, section 4).
 */
export function retryTargets(chain: RecordedChain, listenerId: string): OwedListener[] {
  const at = chain.deliveries.findIndex((delivery) => delivery.listenerId === listenerId);
  const delivery = chain.deliveries[at];
  if (delivery === undefined) throw noSuchDelivery(chain.event.eventId, listenerId);
  if (delivery.state === 'pending') {
    throw new EventCenterError('NOT_RETRYABLE', 'the delivery is pending: it is already going to be tried');
  }
  const earlier = chain.deliveries.slice(0, at).find(isUnsettled);
  if (earlier !== undefined) {
    throw new EventCenterError(
      'NOT_RETRYABLE',
      `listener ${earlier.listenerId} comes before it and is ${earlier.state}: wait for it, or retry or cancel that one`,
    );
  }
  const targets: OwedListener[] = [delivery];
  for (const later of chain.deliveries.slice(at + 1)) {
    if (later.state === 'failed' && later.reason === 'exhausted') break;
    if (later.state === 'skipped' && later.reason === 'chain-stopped') targets.push(later);
  }
  return targets;
}

/**
 * Whether a chain has something to do and has shown no sign of life since `before`. Every delivery counts: while one
 * waits for its next attempt, or has just come to an end, those behind it are only waiting for their turn.
 */
export function isOverdue(chain: RecordedChain, before: number): boolean {
  return (
    chain.deliveries.some(isUnsettled) &&
    chain.deliveries.every((delivery) => Math.max(delivery.updatedAt, delivery.expectedAt ?? 0) < before)
  );
}

/** The kind of a node's listener, null when it was deleted or belongs to another node now. */
export function kindAtNode(snapshot: RegistrySnapshot, { listenerId, nodeCode }: OwedListener): ListenerKind | null {
  const listener = snapshot.listener(listenerId);
  if (listener === null || listener.nodeCode !== nodeCode) return null;
  return kindOf(listener);
}

/** The `NOT_FOUND` of a delivery. */
export function noSuchDelivery(eventId: string, listenerId: string): EventCenterError {
  return new EventCenterError('NOT_FOUND', `there is no delivery of event ${eventId} to listener ${listenerId}`);
}

function messageOf(
  chain: RecordedChain,
  of: { generation: number; targets: OwedListener[]; registryVersion: number },
): EventMessage {
  const targetIds = of.targets.map((target) => target.listenerId);
  const made = chain.deliveries.filter((delivery) => delivery.attempts > 0 && targetIds.includes(delivery.listenerId));
  return {
    event: { ...chain.event, registryVersion: Math.max(of.registryVersion, chain.event.registryVersion) },
    chain: {
      nodeCode: chain.nodeCode,
      generation: of.generation,
      sequence: 0,
      targets: targetIds,
      settled: [],
      listenerId: null,
      attempt: 1,
      attemptsBefore: Object.fromEntries(made.map((delivery) => [delivery.listenerId, delivery.attempts])),
      dueAt: null,
    },
    claimSteps: true,
  };
}

function owedOf({ listenerId, nodeCode, operIndex }: OwedListener): OwedListener {
  return { listenerId, nodeCode, operIndex };
}

function byOrder(a: OwedListener, b: OwedListener): number {
  if (a.operIndex !== b.operIndex) return a.operIndex - b.operIndex;
  return a.listenerId < b.listenerId ? -1 : 1;
}
