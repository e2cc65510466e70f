import { InvalidOptionError } from '../errors.js';
import { noLog, type SdkLog } from '../log.js';
import type { SqlRow } from '../sql/answer.js';
import type { Run } from './claim.js';
import type { Outbox } from './outbox.js';
import { recognizeDatabase } from './recognize-database.js';
import {
  settingsOf,
  whole,
  type OutboxClient,
  type OutboxRelayOptions,
  type RelayedEvent,
  type RelaySettings,
} from './relay-options.js';
import { RelayStore, type Claimed, type DeadEvent, type DeadFilter, type OutboxStats } from './relay-store.js';
import { verdictOn } from './verdict.js';

/** What one round did with the events that it claimed. */
export interface RelayRound {
  claimed: number;
  published: number;
  /** To be tried again. */
  retried: number;
  dead: number;
  /** Not tried: given back, because one before them failed, the relay stops, or the database went away. */
  released: number;
}

const MAX_PAUSE_MS = 10_000;
const REMOVE_EVERY_MS = 60_000;
const REMOVE_PORTION = 500;
const MAX_PAGE = 500;

/**
 * Sends what stands in the outbox, at least once and under the event's own uuid, so that it arrives once. Any number of
 * relays may share a table. Events are claimed in a short transaction, sent without one, and then marked, so that a
 * crash anywhere leads to a repeat and never to a loss.
 */
export class OutboxRelay {
  readonly #outbox: Outbox;
  readonly #client: OutboxClient;
  readonly #settings: RelaySettings;
  readonly #store: RelayStore;
  readonly #onDead: ((event: DeadEvent) => void | Promise<void>) | null;
  readonly #log: SdkLog;
  readonly #rounds = new Set<Promise<unknown>>();
  #loop: Promise<void> | null = null;
  #stopping = false;
  #endPause: (() => void) | null = null;
  #woken = false;
  #removedAt: number | null = null;

  /** @throws InvalidOptionError */
  constructor(options: OutboxRelayOptions) {
    const { outbox, database, client, afterDead = 'block' } = options;
    if (typeof (client as OutboxClient | undefined)?.send !== 'function') {
      throw new InvalidOptionError('client', 'must have send(event)');
    }
    if (!['block', 'continue'].includes(afterDead)) {
      throw new InvalidOptionError('afterDead', 'must be block or continue');
    }
    this.#outbox = outbox;
    this.#client = client;
    this.#settings = settingsOf(options);
    this.#onDead = options.onDead ?? null;
    this.#log = options.log ?? noLog;
    this.#store = new RelayStore({
      outbox,
      database: recognizeDatabase(outbox.dialect, database),
      deadBlocks: afterDead === 'block',
    });
  }

  /** Begins to relay, in the background, and goes on until `stop`, over outages of the database and the centre. */
  start(): void {
    if (this.#loop !== null) return;
    this.#loop = this.#relay();
  }

  /** Claims nothing more, lets the sends on their way end and marks them, gives back the rest of what is claimed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.wake();
    await this.#loop;
    await Promise.allSettled(this.#rounds);
    this.#loop = null;
    this.#stopping = false;
  }

  /** Looks at once instead of after `pollMs`; for callers that have just committed. */
  wake(): void {
    this.#woken = true;
    this.#endPause?.();
  }

  /**
   * Claims one batch and sends it. Resolves when everything of it is marked or given back.
   * @throws what the database says when it cannot be asked for a claim.
   */
  runOnce(): Promise<RelayRound> {
    const round = this.#round();
    this.#rounds.add(round);
    const forget = (): void => void this.#rounds.delete(round);
    round.then(forget, forget);
    return round;
  }

  /**
   * Makes dead events pending again, with all their tries before them: by uuid, or all that satisfy a filter; `{}` is
   * all. Returns how many.
   */
  async revive(which: readonly string[] | DeadFilter): Promise<number> {
    if (typeof which !== 'object' || (which as unknown) === null) {
      throw new InvalidOptionError('revive', 'expected uuids or a filter');
    }
    const count = await this.#store.revive(which);
    this.wake();
    return count;
  }

  /** Deletes dead events for good, so that what they hold back goes on. Returns how many. */
  discard(uuids: readonly string[]): Promise<number> {
    return this.#store.discard(uuids);
  }

  /** Dead events in the order of writing. @param page.limit 1..500, 50 by default. */
  async dead(page: { limit?: number; cursor?: string | null } = {}): Promise<{
    items: DeadEvent[];
    nextCursor: string | null;
  }> {
    const limit = whole('limit', page.limit ?? 50, { least: 1, most: MAX_PAGE });
    const cursor = page.cursor ?? '0';
    if (!/^\d{1,19}$/.test(cursor)) throw new InvalidOptionError('cursor', 'must be a nextCursor');
    const found = await this.#store.dead(limit + 1, cursor);
    const items = found.slice(0, limit);
    return {
      items: items.map((one) => one.event),
      nextCursor: found.length > limit ? (items.at(-1)?.id ?? null) : null,
    };
  }

  stats(): Promise<OutboxStats> {
    return this.#store.stats();
  }

  async #relay(): Promise<void> {
    let failures = 0;
    let announced = false;
    while (!this.#stopping) {
      let pauseMs = this.#settings.pollMs;
      try {
        if (!announced) this.#log.info('outbox.relay.started', { claim: await this.#store.claimKind() });
        announced = true;
        const round = await this.runOnce();
        failures = 0;
        if (round.claimed > 0) pauseMs = 0;
        else await this.#removeOld();
      } catch (error) {
        failures += 1;
        pauseMs = Math.min(this.#settings.pollMs * 2 ** Math.min(failures, 10), MAX_PAUSE_MS);
        this.#log.warn('outbox.database.failed', { error: messageOf(error), retryInMs: pauseMs });
      }
      if (pauseMs > 0) await this.#pause(pauseMs);
    }
  }

  async #pause(pauseMs: number): Promise<void> {
    if (!this.#woken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pauseMs);
        this.#endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#endPause = null;
    this.#woken = false;
  }

  async #round(): Promise<RelayRound> {
    const claimed = await this.#store.claim(this.#settings.batchSize, this.#settings.leaseMs);
    const round: RelayRound = { claimed: claimed.runs.flat().length, published: 0, retried: 0, dead: 0, released: 0 };
    if (round.claimed === 0) return round;
    const batch = { claimed, round, lost: false };
    const renewal = setInterval(() => void this.#renew(batch), this.#settings.leaseMs / 3);
    renewal.unref();
    try {
      const runs = claimed.runs.values();
      const work = async (): Promise<void> => {
        for (const run of runs) await this.#sendRun(batch, run);
      };
      await Promise.all(Array.from({ length: this.#settings.concurrency }, work));
    } finally {
      clearInterval(renewal);
    }
    round.released = round.claimed - round.published - round.retried - round.dead;
    if (round.released > 0) await this.#giveBack(batch);
    return round;
  }

  /** Sends the events of a run one after another, up to the first that is not published. */
  async #sendRun(batch: Batch, run: Run): Promise<void> {
    for (const row of run) {
      const held = !batch.lost && this.#outbox.clock.now() < batch.claimed.until;
      if (this.#stopping || !held) return;
      if (!(await this.#sendRow(batch, row))) return;
    }
  }

  /** True when the later events of its run may follow. */
  async #sendRow(batch: Batch, row: SqlRow): Promise<boolean> {
    let eventId: string | null;
    try {
      eventId = (await this.#client.send(relayedEvent(row)))?.eventId ?? null;
    } catch (error) {
      await this.#mark(batch, row, () => this.#failed(batch, row, error));
      return false;
    }
    return this.#mark(batch, row, async () => {
      await this.#store.published(row, eventId);
      batch.round.published += 1;
    });
  }

  async #failed(batch: Batch, row: SqlRow, error: unknown): Promise<void> {
    const attempts = Number(row['attempts']) + 1;
    const verdict = verdictOn(error, attempts, this.#settings);
    await this.#store.failed(row, { token: batch.claimed.token, attempts, verdict });
    const fields = { ...nameOf(row), attempts, code: verdict.code, reason: verdict.reason };
    if (verdict.state === 'pending') {
      batch.round.retried += 1;
      this.#log.warn('outbox.event.failed', { ...fields, retryInMs: verdict.delayMs });
      return;
    }
    batch.round.dead += 1;
    this.#log.error('outbox.event.died', fields);
    await this.#tellDead({
      uuid: String(row['uuid']),
      sourceId: String(row['source_id']),
      eventType: String(row['event_type']),
      tenantCode: row['tenant_code'] as string | null,
      aggregate: row['aggregate_key'] as string | null,
      attempts,
      code: verdict.code,
      reason: verdict.reason,
      createdAt: Number(row['created_at']),
      diedAt: this.#outbox.clock.now(),
    });
  }

  /** A mark that cannot be written ends the batch: its claim runs out, and the event is sent again under its uuid. */
  async #mark(batch: Batch, row: SqlRow, write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      batch.lost = true;
      this.#log.warn('outbox.mark.failed', { ...nameOf(row), error: messageOf(error) });
      return false;
    }
  }

  async #tellDead(event: DeadEvent): Promise<void> {
    try {
      await this.#onDead?.(event);
    } catch (error) {
      this.#log.error('outbox.on-dead.failed', { uuid: event.uuid, error: messageOf(error) });
    }
  }

  async #renew(batch: Batch): Promise<void> {
    const until = this.#outbox.clock.now() + this.#settings.leaseMs;
    try {
      if (await this.#store.renew(batch.claimed.token, until)) batch.claimed.until = until;
    } catch (error) {
      this.#log.warn('outbox.renewal.failed', { error: messageOf(error) });
    }
  }

  async #giveBack(batch: Batch): Promise<void> {
    try {
      await this.#store.release(batch.claimed.token);
    } catch (error) {
      this.#log.warn('outbox.release.failed', { error: messageOf(error) });
    }
  }

  async #removeOld(): Promise<void> {
    const now = this.#outbox.clock.now();
    if (this.#removedAt !== null && now - this.#removedAt < REMOVE_EVERY_MS) return;
    while (!this.#stopping) {
      if ((await this.#store.removePublished(now - this.#settings.keepPublishedMs)) < REMOVE_PORTION) break;
    }
    this.#removedAt = now;
  }
}

interface Batch {
  claimed: Claimed;
  round: RelayRound;
  /** A mark could not be written: nothing more of the batch is sent. */
  lost: boolean;
}

function relayedEvent(row: SqlRow): RelayedEvent {
  const event: RelayedEvent = {
    sourceId: String(row['source_id']),
    eventType: String(row['event_type']),
    uuid: String(row['uuid']),
  };
  if (typeof row['tenant_code'] === 'string') event.tenantCode = row['tenant_code'];
  if (typeof row['user_object'] === 'string') event.userObject = row['user_object'];
  if (row['deliver_at'] !== null) event.deliverAt = Number(row['deliver_at']);
  if (typeof row['traceparent'] === 'string') event.traceparent = row['traceparent'];
  return event;
}

function nameOf(row: SqlRow): Record<string, unknown> {
  return { uuid: row['uuid'], sourceId: row['source_id'], eventType: row['event_type'] };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
