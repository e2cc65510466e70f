import type { ConfirmChannel } from 'amqplib';
import { EventCenterError } from '../../core/errors.js';
import type { BrokerStatus, Log, Metrics } from '../../core/ports.js';
import { forEachLimited } from '../for-each-limited.js';
import type { WireMessage } from '../message-format.js';
import { namesUnder, type Names } from '../names.js';
import { VersionListeners } from '../version-listeners.js';
import { messageOf, pause, within } from '../within.js';
import { Link, type Session } from './link.js';
import { onConnectionOfItsOwn } from './one-off.js';
import { probe } from './probe.js';
import type { Destination, PublishOptions } from './publish-lane.js';
import { Publisher } from './publisher.js';
import { Readiness } from './readiness.js';
import { closeChannel, openChannel, RpcChannels } from './rpc-channels.js';
import type { RabbitmqSubscription } from './subscription.js';
import type { Upkeep, UpkeepContext } from './upkeep.js';

const SETTLE_MS = 2000;
const REPAIR_EVERY_MS = 10 * 60_000;
const REPAIR_PAUSE_MS = 1000;
const SUBSCRIPTIONS_AT_A_TIME = 8;
const STOP_TIMEOUT_MS = 30_000;
/** Declaring is slower than a confirm on a loaded broker. */
const MIN_RPC_TIMEOUT_MS = 10_000;

export interface RabbitmqBrokerOptions {
  /** `amqp://` or `amqps://` urls, tried in turn. */
  addresses: string[];
  prefix: string;
  connectTimeoutMs: number;
  confirmTimeoutMs: number;
  heartbeatSeconds: number;
  log: Log;
  metrics: Metrics | null;
  /** What the process does for the queues and exchanges that it uses. */
  upkeep: (context: UpkeepContext) => Upkeep;
  /** Users of the broker, beside those of `addresses`, whose outcomes may be about every node. */
  trustedUsers: string[];
  /** Begins the names of the connections, as the broker shows them; the prefix by default. */
  label?: string;
  /** How long newly declared queues rest before the broker counts as ready; 2000 by default. */
  settleMs?: number;
}

/** What is done with consumers, whatever they carry. */
type AnySubscription = Pick<RabbitmqSubscription<unknown>, 'attach' | 'detach' | 'poke' | 'stop'>;

/**
 * The connections of one process and what is done with each: publishing and consuming apart, so that an alarm that
 * blocks publishers does not block acknowledgements; declaring goes with consuming, for the same reason.
 */
export class Connections {
  readonly #options: RabbitmqBrokerOptions;
  readonly names: Names;
  readonly upkeep: Upkeep;
  readonly #publisher: Publisher;
  readonly #publishLink: Link;
  /** For destinations that stop a connection; opened when there is one. */
  readonly #asideLink: Link;
  readonly #consumeLink: Link;
  readonly #readiness: Readiness;
  readonly #subscriptions = new Set<AnySubscription>();
  readonly versionListeners: VersionListeners;
  readonly #stopping = new AbortController();
  readonly rpcTimeoutMs: number;
  /** The connections once they are set up. */
  #publishing: Session | null = null;
  #consuming: { session: Session; channels: RpcChannels } | null = null;
  #blocked = false;
  #repairing: Promise<void> | null = null;
  /** Something was found missing and is not declared again yet. */
  #broken = false;
  #repairTimer: NodeJS.Timeout | null = null;

  constructor(options: RabbitmqBrokerOptions) {
    const { log, metrics, prefix, connectTimeoutMs, confirmTimeoutMs, heartbeatSeconds, addresses } = options;
    const { label = prefix } = options;
    this.#options = options;
    this.names = namesUnder(prefix);
    this.versionListeners = new VersionListeners(log);
    this.rpcTimeoutMs = Math.max(MIN_RPC_TIMEOUT_MS, connectTimeoutMs);
    const connected = (): boolean => this.#consuming !== null && this.#publisher.problem === null;
    this.upkeep = options.upkeep({
      names: this.names,
      log,
      metrics,
      rpcTimeoutMs: this.rpcTimeoutMs,
      connected,
      apart: (what, work) => this.#apart(what, work),
      onDeclared: () => {
        for (const subscription of this.#subscriptions) subscription.poke();
      },
      onVersion: (version) => {
        this.versionListeners.tell(version);
      },
    });
    this.#publisher = new Publisher({
      confirmTimeoutMs,
      channelTimeoutMs: this.rpcTimeoutMs,
      log,
      metrics,
      onTopologyBroken: () => {
        this.#broken = true;
        this.repairSoon();
      },
      onSetAside: () => {
        this.#asideLink.start();
      },
    });
    this.#readiness = new Readiness({
      settleMs: options.settleMs ?? SETTLE_MS,
      probe: () => this.#probeOwn(),
      connected,
      log,
    });
    const link = { addresses, connectTimeoutMs, heartbeatSeconds, log };
    this.#publishLink = new Link(
      { ...link, name: `event-center ${label}publish` },
      {
        up: (session) => this.#publishUp(session),
        down: (reason) => {
          this.#publishing = null;
          this.#publisher.main.detach(reason);
          this.#lost('publish');
        },
        blocked: (reason) => {
          this.#setBlocked(reason);
        },
      },
    );
    const { aside } = this.#publisher;
    this.#asideLink = new Link(
      { ...link, name: `event-center ${label}publish aside` },
      {
        up: (session) => aside.attach(session),
        down: (reason) => {
          aside.detach(reason);
        },
        blocked: (reason) => {
          aside.setBlocked(reason);
        },
      },
    );
    this.#consumeLink = new Link(
      { ...link, name: `event-center ${label}consume` },
      {
        up: (session) => this.#consumeUp(session),
        down: () => {
          this.#consumeDown();
          this.#lost('consume');
        },
        // Only connections that publish are blocked.
        blocked: () => undefined,
      },
    );
  }

  start(): void {
    this.#publishLink.start();
    this.#consumeLink.start();
    this.#repairTimer ??= setInterval(() => {
      this.repairSoon();
    }, REPAIR_EVERY_MS);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#repairTimer !== null) clearInterval(this.#repairTimer);
    const stopped = forEachLimited([...this.#subscriptions], Infinity, (subscription) => subscription.stop());
    await within(STOP_TIMEOUT_MS, 'stopping the consumers', stopped).catch((error: unknown) => {
      this.#options.log.warn('broker.stop.cut_short', { error: messageOf(error) });
    });
    await Promise.all([this.#consumeLink.stop(), this.#publishLink.stop(), this.#asideLink.stop()]);
    await Promise.all([this.#readiness.stop(), this.upkeep.stop(), this.#repairing]);
  }

  status(): BrokerStatus {
    const problem = this.#publishLink.problem ?? this.#consumeLink.problem ?? this.#publisher.problem;
    const ready = this.#readiness.gate.isOpen && problem === null;
    return {
      ready,
      blocked: this.#blocked,
      problem: problem ?? (ready ? null : 'waiting for a confirmed probe'),
      unconfirmedQueues: this.upkeep.unusable(),
    };
  }

  waitUntilReady(timeoutMs: number): Promise<void> {
    return this.#readiness.gate.wait(timeoutMs, () => this.status().problem);
  }

  /** @throws UNAVAILABLE before publishing is safe, and when the message is not confirmed. */
  async publish(destination: Destination, wire: WireMessage, options?: PublishOptions): Promise<void> {
    if (!this.#readiness.safe) {
      throw new EventCenterError('UNAVAILABLE', `the broker is not ready: ${this.status().problem ?? 'not started'}`);
    }
    // An exchange is back before its bindings are: in between it would confirm what reaches only some of its queues.
    if (this.#broken) throw new EventCenterError('UNAVAILABLE', 'queues and exchanges are being declared again');
    await this.#publisher.publish(destination, wire, options);
  }

  /** Channels for declaring and asking. @throws UNAVAILABLE while not connected. */
  channels(): RpcChannels {
    if (this.#consuming === null) throw new EventCenterError('UNAVAILABLE', 'the broker is not connected');
    return this.#consuming.channels;
  }

  /** Lets a subscription consume on this connection and all later ones; resolves after the first try. */
  async add(subscription: AnySubscription): Promise<void> {
    this.#subscriptions.add(subscription);
    if (this.#consuming !== null) await subscription.attach(this.#consuming.session);
  }

  remove(subscription: AnySubscription): void {
    this.#subscriptions.delete(subscription);
  }

  async #publishUp(session: Session): Promise<void> {
    await this.#publisher.main.attach(session);
    this.#publishing = session;
    this.#readiness.probeSoon();
  }

  async #consumeUp(session: Session): Promise<void> {
    const channels = new RpcChannels(session, this.rpcTimeoutMs);
    const { created } = await this.upkeep.attach(channels);
    this.#readiness.declared(created);
    this.#consuming = { session, channels };
    await this.upkeep.listen(session);
    // Not awaited: one queue that does not answer must not keep the others waiting.
    void forEachLimited([...this.#subscriptions], SUBSCRIPTIONS_AT_A_TIME, (subscription) =>
      subscription.attach(session),
    );
    this.#readiness.probeSoon();
    if (this.#broken) this.repairSoon();
  }

  #consumeDown(): void {
    this.#consuming = null;
    this.upkeep.detach();
    for (const subscription of this.#subscriptions) subscription.detach();
  }

  #lost(connection: string): void {
    this.#readiness.lost();
    if (!this.#stopping.signal.aborted) this.#options.metrics?.incident(`broker-${connection}-connection-lost`);
  }

  #setBlocked(reason: string | null): void {
    if (this.#blocked === (reason !== null)) return;
    this.#blocked = reason !== null;
    this.#publisher.main.setBlocked(reason);
    if (reason === null) {
      this.#options.log.info('broker.unblocked');
    } else {
      this.#options.log.error('broker.blocked', { reason });
      this.#options.metrics?.incident('broker-blocked');
    }
  }

  /** Not apart: that the connection which publishes takes it is the point. */
  async #probeOwn(): Promise<void> {
    const session = this.#publishing;
    if (session === null) throw new EventCenterError('UNAVAILABLE', 'the broker is not connected');
    const { confirmTimeoutMs } = this.#options;
    const channel = await openChannel(session, confirmTimeoutMs, ({ model }) => model.createConfirmChannel());
    try {
      await within(confirmTimeoutMs, 'the probe', probe(channel, outcomesUnder(this.names)));
    } finally {
      closeChannel(channel);
    }
  }

  #apart(what: string, work: (channel: ConfirmChannel) => Promise<unknown>): Promise<void> {
    const { addresses, connectTimeoutMs, heartbeatSeconds, prefix, label = prefix } = this.#options;
    const name = `event-center ${label}check`;
    const options = { addresses, connectTimeoutMs, heartbeatSeconds, name, timeoutMs: this.rpcTimeoutMs };
    return onConnectionOfItsOwn(options, what, work);
  }

  /** Declares everything again, because something was found missing. */
  repairSoon(): void {
    this.#repairing ??= this.#repair();
  }

  /** Declares everything again; at most one run per pause, however many messages were returned. */
  async #repair(): Promise<void> {
    try {
      if (this.#consuming === null) return;
      const { created } = await this.upkeep.repair();
      this.#broken = false;
      this.#readiness.declared(created);
      this.#readiness.probeSoon();
      await pause(REPAIR_PAUSE_MS, this.#stopping.signal);
    } catch (error) {
      this.#options.log.warn('broker.repair.failed', { error: messageOf(error) });
      await pause(REPAIR_PAUSE_MS, this.#stopping.signal);
    } finally {
      this.#repairing = null;
      // Found missing again since, or not repaired; without a connection everything is declared when it comes back.
      if (this.#broken && this.#consuming !== null && !this.#stopping.signal.aborted) this.repairSoon();
    }
  }
}

/** Where outcomes are published: an exchange of their own, so that an application needs no right to every queue. */
export function outcomesUnder(names: Names): Destination {
  return { exchange: names.outcomes, routingKey: '' };
}
