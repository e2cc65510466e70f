import type { EnsureOptions, NodeQueue, Topology } from '../../core/ports.js';
import { listenForAnnouncements } from './control.js';
import type { Session } from './link.js';
import { probe } from './probe.js';
import type { RpcChannels } from './rpc-channels.js';
import { StuckQueues } from './stuck-queues.js';
import { TopologyKeeper } from './topology-keeper.js';
import type { Upkeep, UpkeepContext } from './upkeep.js';

/** The upkeep of the centre's own processes: they declare everything, mend it, and hear of registry versions. */
export class CentreUpkeep implements Upkeep {
  readonly #context: UpkeepContext;
  readonly #keeper: TopologyKeeper;
  readonly #stuck: StuckQueues;

  constructor(context: UpkeepContext) {
    const { names, log, metrics, connected, apart, onDeclared } = context;
    this.#context = context;
    this.#keeper = new TopologyKeeper({
      names,
      log,
      onQueueFailed: (queue) => {
        this.#stuck.suspectQueue(queue);
      },
      onDeclared,
    });
    const probeApart = (queue: string): Promise<void> =>
      apart(`the probe of ${queue}`, (channel) => probe(channel, { exchange: '', routingKey: queue }));
    this.#stuck = new StuckQueues({
      probe: probeApart,
      probeOwn: () => probeApart(names.outcomes),
      connected,
      boundTo: (eventTypeId) => this.#keeper.boundTo(eventTypeId),
      recreate: async (queue) => {
        await apart(`deleting ${queue}`, (channel) => channel.deleteQueue(queue));
        // Its death may take the connection along; the next one declares everything anyway.
        await this.#keeper.declareAnew(queue).catch(() => undefined);
      },
      log,
      metrics,
    });
  }

  async attach(channels: RpcChannels): Promise<{ created: boolean }> {
    this.#keeper.attach(channels);
    const { created } = await this.#keeper.declareOwn();
    // On a broker that lost everything no event may be accepted before its node queues are back.
    if (created) await this.#keeper.declareRemembered();
    else void this.#keeper.declareRemembered();
    return { created };
  }

  listen(session: Session): Promise<void> {
    const { names, log, rpcTimeoutMs: timeoutMs, onVersion } = this.#context;
    return listenForAnnouncements(session, { exchange: names.control, timeoutMs, log, onVersion });
  }

  detach(): void {
    this.#keeper.detach();
  }

  stop(): Promise<void> {
    return this.#stuck.stop();
  }

  repair(): Promise<{ created: boolean }> {
    return this.#keeper.repair();
  }

  ensure(topology: Topology, options: EnsureOptions): Promise<void> {
    return this.#keeper.ensure(topology, options);
  }

  unbind(queue: NodeQueue, eventTypeId: string): Promise<void> {
    return this.#keeper.unbind(queue, eventTypeId);
  }

  deleteNodeQueue(queue: NodeQueue): Promise<boolean> {
    return this.#keeper.deleteNodeQueue(queue);
  }

  ensureDelay(delayMs: number): Promise<void> {
    return this.#keeper.ensureDelay(delayMs);
  }

  remember(queue: NodeQueue): void {
    this.#keeper.remember(queue);
  }

  ensureForConsumer(queue: string): Promise<void> {
    return this.#keeper.ensureForConsumer(queue);
  }

  doubt(queue: string): void {
    this.#keeper.doubt(queue);
  }

  suspectQueue(queue: string): void {
    this.#stuck.suspectQueue(queue);
  }

  suspectQueuesOf(eventTypeId: string): void {
    this.#stuck.suspectQueuesOf(eventTypeId);
  }

  unusable(): string[] {
    return this.#stuck.unconfirmed();
  }
}
