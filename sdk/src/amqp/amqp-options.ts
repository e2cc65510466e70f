import { InvalidOptionError } from '../errors.js';
import type { SdkLog } from '../log.js';

/** How a host takes its events from RabbitMQ. */
export interface AmqpTransportOptions {
  /**
   * `amqp://user:password@host:port/vhost` or `amqps://`. The user is named like the node code: the centre takes what a
   * user reports for the node of its name only, unless `broker.trustedUsers` there names it. Either this or `urls`.
   */
  url?: string | undefined;
  /** Several of one cluster, tried in turn. */
  urls?: readonly string[] | undefined;
  /** Events taken from the queue at a time, 1 to 2000; by default twice the host's `concurrency`. */
  prefetch?: number | undefined;
  /** Begins the names of the centre's queues; by default what the centre says. */
  prefix?: string | undefined;
  /** How soon a silent broker is noticed, 1 to 300 seconds; 5 by default. */
  heartbeatSeconds?: number | undefined;
  /** Where the transport tells what it sees; the host's by default. */
  log?: SdkLog | undefined;
}

/** The options with their defaults, but for those that the host and the centre give. */
export interface CheckedOptions {
  addresses: string[];
  prefetch: number | null;
  prefix: string | null;
  heartbeatSeconds: number;
  log: SdkLog | null;
}

/** @throws InvalidOptionError naming the option. */
export function checkedOptions(options: AmqpTransportOptions): CheckedOptions {
  const { url, urls, prefetch, prefix, heartbeatSeconds = 5, log } = options;
  if ((url === undefined) === (urls === undefined)) throw new InvalidOptionError('url', 'expected either url or urls');
  if (urls?.length === 0) throw new InvalidOptionError('urls', 'expected at least one address');
  const addresses = urls === undefined ? [checkedUrl('url', url)] : urls.map((each) => checkedUrl('urls', each));
  if (prefix !== undefined && !/^[A-Za-z0-9._-]{1,40}$/.test(prefix)) {
    throw new InvalidOptionError('prefix', 'expected 1 to 40 of A-Z a-z 0-9 . _ -, as broker.prefix of the centre');
  }
  return {
    addresses,
    prefetch: prefetch === undefined ? null : whole('prefetch', prefetch, 2_000),
    prefix: prefix ?? null,
    heartbeatSeconds: whole('heartbeatSeconds', heartbeatSeconds, 300),
    log: log ?? null,
  };
}

function checkedUrl(field: string, text: unknown): string {
  const rule = 'expected amqp://user:password@host:port/vhost or amqps://';
  try {
    if (typeof text === 'string' && /^amqps?:$/.test(new URL(text).protocol)) return text;
  } catch {
    // Said below, without the text: it may hold a password.
  }
  throw new InvalidOptionError(field, rule);
}

function whole(field: string, value: number, most: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new InvalidOptionError(field, `expected a whole number, 1 to ${String(most)}`);
}
