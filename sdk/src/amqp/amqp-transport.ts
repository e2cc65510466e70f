import { ApplicationUpkeep } from '../../../src/broker/rabbitmq/application-upkeep.js';
import { userOf } from '../../../src/broker/rabbitmq/connect.js';
import { RabbitmqBroker } from '../../../src/broker/rabbitmq/rabbitmq-broker.js';
import type { Broker, ParkedStore } from '../../../src/core/ports.js';
import { EventCenterError } from '../../../src/core/errors.js';
import { Worker } from '../../../src/core/delivering/worker.js';
import { InvalidOptionError } from '../errors.js';
import type { SdkLog } from '../log.js';
import { sentenceOf } from '../plugins/sentence.js';
import type { PluginTransport, TransportHost, TransportStatus } from '../plugins/transport.js';
import { checkedOptions, type AmqpTransportOptions, type CheckedOptions } from './amqp-options.js';
import { engineLog, noMetrics } from './engine-log.js';
import { HostRegistry } from './host-registry.js';
import { HttpClaims } from './http-claims.js';
import { PluginCaller } from './plugin-caller.js';

const CONNECT_TIMEOUT_MS = 5_000;
const CONFIRM_TIMEOUT_MS = 5_000;
/** `start` waits so long for the broker before it leaves the rest to the background. */
const START_WAIT_MS = 5_000;
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;
/** Below the 30 minutes after which RabbitMQ takes a message back, with a plugin's longest time-outs on top. */
const MAX_HOLD_MS = 600_000;

const clock = { now: (): number => Date.now() };

/** A host has no store of its own: what the broker does not take is held, and tried again. */
const nothingIsParked: Pick<ParkedStore, 'park'> = {
  park: () => Promise.reject(new EventCenterError('UNAVAILABLE', 'a plugin host has no store to keep messages in')),
};

/**
 * Takes a node's events from its own queue `<prefix>app.<nodeCode>` on RabbitMQ, by the centre's own delivery engine:
 * the same delays, claims and hold limits. Needs the package `amqplib`, and a user of the broker (operations page,
 * section "A node's user of the broker"). For use inside one trust border; across borders take `httpTransport`.
 * @throws InvalidOptionError naming the option.
 */
export function amqpTransport(options: AmqpTransportOptions): PluginTransport {
  return new AmqpTransport(checkedOptions(options));
}

interface Running {
  host: TransportHost;
  log: SdkLog;
  queue: string;
  broker: Broker;
  registry: HostRegistry;
  worker: Worker;
}

class AmqpTransport implements PluginTransport {
  readonly #options: CheckedOptions;
  #running: Running | null = null;
  #stopped: Promise<void> | null = null;

  constructor(options: CheckedOptions) {
    this.#options = options;
  }

  async start(host: TransportHost): Promise<void> {
    if (this.#running !== null) {
      throw new InvalidOptionError('transport', 'belongs to a host already, each needs its own');
    }
    const log = this.#options.log ?? host.log;
    this.#warnOfOtherUser(host.nodeCode, log);
    const running = this.#compose(host, log);
    this.#running = running;
    await running.broker.start();
    running.registry.start();
    running.worker.start();
    // What keeps it from being ready stands in `status`, and the broker goes on trying.
    await running.broker.waitUntilReady(START_WAIT_MS).catch(() => undefined);
  }

  stop(graceMs: number): Promise<void> {
    this.#stopped ??= this.#stop(graceMs);
    return this.#stopped;
  }

  status(): TransportStatus {
    const running = this.#running;
    if (running === null) return { connected: false, problem: 'not started', inHand: 0 };
    const { ready, problem, unconfirmedQueues } = running.broker.status();
    const { refusal } = running.registry;
    const shutOut = refusal === null ? null : `the centre shuts the node out, whose events wait: ${refusal}`;
    const missing = unconfirmedQueues.includes(running.queue)
      ? `there is no queue ${running.queue}: the centre declares it once it knows the node's plugins`
      : null;
    const stuck = running.worker.isStuck() ? 'the broker does not take what came of events, which are held' : null;
    return {
      connected: ready,
      problem: problem ?? shutOut ?? missing ?? stuck,
      inHand: running.worker.inHand().messages,
    };
  }

  #compose(host: TransportHost, hostLog: SdkLog): Running {
    const { nodeCode, runner, registrations, concurrency } = host;
    const { brokerPrefix, defaultDelaysMs } = registrations.current();
    const { addresses, heartbeatSeconds, prefetch, prefix: given } = this.#options;
    const prefix = given ?? brokerPrefix;
    const log = engineLog(hostLog);
    const broker = new RabbitmqBroker({
      addresses,
      prefix,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      confirmTimeoutMs: CONFIRM_TIMEOUT_MS,
      heartbeatSeconds,
      log,
      metrics: null,
      upkeep: () => new ApplicationUpkeep(),
      trustedUsers: [],
      label: `${prefix}app.${nodeCode} `,
    });
    const registry = new HostRegistry(registrations, { concurrency, log });
    const caller = new PluginCaller(runner);
    const worker = new Worker({
      kind: 'plugin',
      broker,
      registry,
      claims: new HttpClaims(host.caller, log),
      parked: nothingIsParked,
      caller,
      compensate: (failed) => caller.compensate(failed),
      // Only an answer of HTTP can say that a listener is gone.
      disableListener: () => Promise.resolve(),
      clock,
      log,
      metrics: noMetrics,
      options: {
        retryDelaysMs: defaultDelaysMs,
        breakerThreshold: Infinity,
        breakerProbeMs: Infinity,
        maxBufferedBytes: MAX_BUFFERED_BYTES,
        maxHoldMs: MAX_HOLD_MS,
        prefetchSlack: prefetch === null ? concurrency : Math.max(0, prefetch - concurrency),
      },
    });
    registry.onSnapshot((snapshot) => worker.onSnapshot(snapshot));
    return { host, log: hostLog, queue: `${prefix}app.${nodeCode}`, broker, registry, worker };
  }

  #warnOfOtherUser(nodeCode: string, log: SdkLog): void {
    const users = new Set(this.#options.addresses.map(userOf));
    for (const user of users) {
      if (user === nodeCode) continue;
      const rule = 'the centre takes its outcomes only if it trusts this user (broker.trustedUsers)';
      log.warn('amqp.user_not_the_node', { user, nodeCode, rule });
    }
  }

  async #stop(graceMs: number): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    const { host, log, broker, registry, worker } = running;
    try {
      await registry.stop();
      await worker.stop(graceMs);
      // Only now: the engine knows that what ends from here on was given back.
      host.runner.interrupt();
      await broker.stop();
    } catch (error) {
      log.warn('amqp.not_stopped', { error: sentenceOf(error) });
    }
  }
}
