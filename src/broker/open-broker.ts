import type { Broker, Clock, Log, Metrics } from '../core/ports.js';
import { EmbeddedBroker } from './embedded/embedded-broker.js';
import { CentreUpkeep } from './rabbitmq/centre-upkeep.js';
import { RabbitmqBroker } from './rabbitmq/rabbitmq-broker.js';

export interface OpenBrokerOptions {
  /** `embedded:`, or `amqp://` / `amqps://` urls, several separated by commas and tried in turn. */
  url: string;
  /** Put in front of every queue and exchange name. */
  prefix: string;
  connectTimeoutMs: number;
  /** A publish that is not confirmed by then rejects with UNAVAILABLE. */
  confirmTimeoutMs: number;
  heartbeatSeconds: number;
  /** Users of RabbitMQ, beside those of `url`, whose outcomes may be about every node; none by default. */
  trustedUsers?: string[];
  /** Where the embedded broker keeps its file. */
  dataDir: string;
  log: Log;
  /** Only the embedded broker takes the time from it; the system's by default. */
  clock?: Clock;
  metrics?: Metrics;
  /** How long newly declared queues rest before RabbitMQ counts as ready; 2000 by default. */
  settleMs?: number;
}

/** The broker that `url` names. Does nothing until it is started. */
export function openBroker(options: OpenBrokerOptions): Broker {
  const { url, prefix, log, clock = { now: () => Date.now() }, metrics = null } = options;
  if (url === 'embedded:') return new EmbeddedBroker({ dataDir: options.dataDir, prefix, clock, log, metrics });
  const { connectTimeoutMs, confirmTimeoutMs, heartbeatSeconds, trustedUsers = [], settleMs } = options;
  return new RabbitmqBroker({
    addresses: url.split(',').map((address) => address.trim()),
    prefix,
    connectTimeoutMs,
    confirmTimeoutMs,
    heartbeatSeconds,
    upkeep: (context) => new CentreUpkeep(context),
    trustedUsers,
    log,
    metrics,
    ...(settleMs === undefined ? {} : { settleMs }),
  });
}
