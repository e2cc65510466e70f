import { InvalidOptionError } from '../errors.js';
import type { SdkLog } from '../log.js';
import type { Outbox } from './outbox.js';
import type { OutboxDatabase } from './recognize-database.js';
import type { DeadEvent } from './dead-events.js';
import { RETRY_REFUSALS, type RetryRules } from './verdict.js';

/** An event as the relay gives it to the client; absent fields are left out. */
export interface RelayedEvent {
  sourceId: string;
  eventType: string;
  /** The same at every try: a repeat is a duplicate at the centre. */
  uuid: string;
  tenantCode?: string;
  userObject?: string;
  /** Milliseconds since the epoch. */
  deliverAt?: number;
  traceparent?: string;
}

/**
 * What sends: an `EventCenterClient`, or anything of its form. Must settle in bounded time. A rejection whose `name` is
 * `RefusedError` or `InvalidOptionError` is a refusal with its `code`; every other one means that nobody knows.
 */
export interface OutboxClient {
  /** Takes a `RelayedEvent`; a client whose payloads are typed fits too, because its types end where the table begins. */
  send(event: never): Promise<{ eventId?: string | null } | undefined>;
}

export interface OutboxRelayOptions {
  outbox: Outbox;
  database: OutboxDatabase;
  client: OutboxClient;
  /** Events claimed at a time, 1..200; 50 by default. */
  batchSize?: number;
  /** Sends at a time, 1..200; 10 by default. */
  concurrency?: number;
  /** Time between two looks when there was nothing to do, in milliseconds; 500 by default. */
  pollMs?: number;
  /** After so many failed tries an event is dead; 20 by default. `Infinity` never gives up. */
  maxAttempts?: number;
  /** Delay after the first failed try, doubled after each further one, in milliseconds; 1000 by default. */
  firstDelayMs?: number;
  /** The longest delay between two tries, in milliseconds; 32000 by default. */
  maxDelayMs?: number;
  /**
   * How long a claim holds, in milliseconds, at least 1000; 60000 by default. It is renewed while its events are being
   * sent; after a crash another relay takes them when it has run out.
   */
  leaseMs?: number;
  /** How long published events stay in the table, in milliseconds; 7 days by default. */
  keepPublishedMs?: number;
  /** Codes of refusals that are tried again instead of being dead at once; `RETRY_REFUSALS` by default. */
  retryRefusals?: readonly string[];
  /**
   * Whether a dead event holds back the later ones of its aggregate until it is revived or discarded (`block`, the
   * default), or they are sent without it (`continue`). The same for all relays of a table.
   */
  afterDead?: 'block' | 'continue';
  /** Called once an event is dead. What it throws is logged. */
  onDead?: (event: DeadEvent) => void | Promise<void>;
  /** Told what happened, never a payload; nothing by default. */
  log?: SdkLog;
}

const DAY_MS = 86_400_000;

/** The options that are numbers and codes, with their defaults. */
export type RelaySettings = RetryRules & {
  batchSize: number;
  concurrency: number;
  pollMs: number;
  leaseMs: number;
  keepPublishedMs: number;
};

/** @throws InvalidOptionError that names the option. */
export function settingsOf(options: OutboxRelayOptions): RelaySettings {
  const { maxAttempts = 20 } = options;
  return {
    batchSize: whole('batchSize', options.batchSize ?? 50, { least: 1, most: 200 }),
    concurrency: whole('concurrency', options.concurrency ?? 10, { least: 1, most: 200 }),
    pollMs: whole('pollMs', options.pollMs ?? 500, { least: 1, most: DAY_MS }),
    maxAttempts: maxAttempts === Infinity ? maxAttempts : whole('maxAttempts', maxAttempts, { least: 1, most: 1e9 }),
    firstDelayMs: whole('firstDelayMs', options.firstDelayMs ?? 1_000, { least: 1, most: DAY_MS }),
    maxDelayMs: whole('maxDelayMs', options.maxDelayMs ?? 32_000, { least: 1, most: DAY_MS }),
    leaseMs: whole('leaseMs', options.leaseMs ?? 60_000, { least: 1_000, most: DAY_MS }),
    keepPublishedMs: whole('keepPublishedMs', options.keepPublishedMs ?? 7 * DAY_MS, { least: 0, most: 3650 * DAY_MS }),
    retryRefusals: options.retryRefusals ?? RETRY_REFUSALS,
  };
}

/** @throws InvalidOptionError unless `value` is a whole number of the range. */
export function whole(field: string, value: number, range: { least: number; most: number }): number {
  if (Number.isInteger(value) && value >= range.least && value <= range.most) return value;
  throw new InvalidOptionError(field, `expected a whole number from ${range.least} to ${range.most}, found ${value}`);
}
