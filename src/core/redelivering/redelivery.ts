import { EventCenterError } from '../errors.js';
import { isUnsettled, noSuchDelivery, raiseGeneration, retryTargets, type ChainPlan } from './generation.js';
import type { OwedListener } from '../model.js';
import type {
  Broker,
  ChainChange,
  ChainKey,
  Clock,
  DeliveryChange,
  Metrics,
  RecordedChain,
  RedeliveryStore,
} from '../ports.js';
import type { RegistrySnapshot, RegistryView } from '../registry/registry.js';

export interface RedeliveryDeps {
  store: RedeliveryStore;
  broker: Pick<Broker, 'status' | 'publishToNode'>;
  registry: RegistryView;
  metrics: Metrics;
  clock: Clock;
}

/**
 * Sends what was recorded out again. Each action is one transaction over the chain of (event, node): lock, choose,
 * write, publish, commit. The message is published and confirmed before the commit, so nothing can be marked `pending`
 * without a message: a broker that is away leaves everything as it was, and a crash in between can only repeat a
 * call. Of two messages that come to carry the same generation, workers let only the first that claims go on.
 */
export class Redelivery {
  readonly #deps: RedeliveryDeps;

  constructor(deps: RedeliveryDeps) {
    this.#deps = deps;
  }

  /**
   * Tries one delivery again at once, with a fresh schedule; a `retrying` one does not wait for its time any more.
   * @throws NOT_FOUND; NOT_RETRYABLE by the rules of the protocol page, section 4, and when the listener was deleted or is
   * disabled; UNAVAILABLE when nothing was changed.
   */
  async retry(eventId: string, listenerId: string): Promise<void> {
    const nodeCode = await this.#nodeOf(eventId, listenerId);
    const snapshot = await this.#deps.registry.refreshed();
    const listener = snapshot.listener(listenerId);
    if (listener?.nodeCode !== nodeCode)
      throw notRetryable(`listener ${listenerId} was deleted: replay the event for those that are registered now`);
    if (!listener.enabled) throw notRetryable(`listener ${listenerId} is disabled: enable it first`);
    const found = await this.raise({ eventId, nodeCode }, snapshot, (chain) => retryTargets(chain, listenerId));
    if (!found) throw noSuchDelivery(eventId, listenerId);
  }

  /**
   * Stops an unsettled delivery. The message of a `retrying` one waits for its time, so the rest of the chain goes on
   * at once under a new generation. That of a `pending` one is on its way through the chain already: it finds the
   * delivery settled when it claims. Only a fresh first message, which is called without asking, may still make one
   * call; if that succeeds, the delivery is recorded as succeeded.
   * @throws NOT_FOUND; CONFLICT when it is settled already; UNAVAILABLE when nothing was changed.
   */
  async cancel(eventId: string, listenerId: string): Promise<void> {
    const nodeCode = await this.#nodeOf(eventId, listenerId);
    const snapshot = await this.#deps.registry.refreshed();
    const found = await this.#change({ eventId, nodeCode }, (chain) => {
      const delivery = chain.deliveries.find((candidate) => candidate.listenerId === listenerId);
      if (delivery === undefined) throw noSuchDelivery(eventId, listenerId);
      if (!isUnsettled(delivery)) {
        throw new EventCenterError(
          'CONFLICT',
          `the delivery is ${delivery.state}: only a pending or retrying one can be cancelled`,
        );
      }
      const cancelled: DeliveryChange = {
        listenerId,
        nodeCode,
        operIndex: delivery.operIndex,
        state: 'cancelled',
        reason: 'cancelled',
        generation: chain.generation,
      };
      if (delivery.state === 'pending') return { generation: null, deliveries: [cancelled], send: null };
      return raiseGeneration(chain, { wanted: [], without: [cancelled], snapshot });
    });
    if (!found) throw noSuchDelivery(eventId, listenerId);
  }

  /**
   * Raises the generation of a chain for the listeners that `choose` names, and for those that are unsettled anyway;
   * an empty choice changes nothing. Returns whether anything was changed. `choose` may be called more than once.
   * @throws what `choose` throws; UNAVAILABLE when nothing was changed.
   */
  raise(key: ChainKey, snapshot: RegistrySnapshot, choose: (chain: RecordedChain) => OwedListener[]): Promise<boolean> {
    return this.#change(key, (chain) => {
      const wanted = choose(chain);
      return wanted.length === 0 ? null : raiseGeneration(chain, { wanted, snapshot });
    });
  }

  async #change(key: ChainKey, decide: (chain: RecordedChain) => ChainPlan | null): Promise<boolean> {
    const { store, broker, metrics, clock } = this.#deps;
    const { ready, problem } = broker.status();
    // Asked first, so that no lock is held until a broker that is known to be away does not confirm.
    if (!ready) throw new EventCenterError('UNAVAILABLE', `the broker is away: ${problem ?? 'not ready'}`);
    let cancelled = 0;
    const changed = await store.changeChain(key, clock.now(), (chain): ChainChange | null => {
      const plan = decide(chain);
      if (plan === null) return null;
      const { generation, deliveries, send } = plan;
      cancelled = deliveries.filter((change) => change.state === 'cancelled').length;
      return {
        generation,
        deliveries,
        publish: send === null ? null : () => broker.publishToNode(send.queue, send.message, 0),
      };
    });
    for (let i = 0; i < cancelled; i += 1) metrics.delivered('cancelled', null);
    return changed;
  }

  async #nodeOf(eventId: string, listenerId: string): Promise<string> {
    const nodeCode = await this.#deps.store.nodeOf(eventId, listenerId);
    if (nodeCode === null) throw noSuchDelivery(eventId, listenerId);
    return nodeCode;
  }
}

function notRetryable(message: string): EventCenterError {
  return new EventCenterError('NOT_RETRYABLE', message);
}
