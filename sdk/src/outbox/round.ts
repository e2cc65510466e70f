import type { SdkLog } from '../log.js';
import type { SqlRow } from '../sql/answer.js';
import { messageOf } from '../message-of.js';
import type { Run } from './claim.js';
import type { Claimed, Claims } from './claims.js';
import { deadEventOf, type DeadEvent } from './dead-events.js';
import type { OutboxClient, RelayedEvent, RelaySettings } from './relay-options.js';
import type { RelayStore } from './relay-store.js';
import { verdictOn, type Verdict } from './verdict.js';

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

/** What rounds work with. */
export interface RoundParts {
  claims: Claims;
  store: RelayStore;
  client: OutboxClient;
  settings: RelaySettings;
  clock: { now(): number };
  log: SdkLog;
  onDead: ((event: DeadEvent) => void | Promise<void>) | null;
  /** Whether nothing more is to be begun. */
  isStopping: () => boolean;
}

/**
 * Claims one batch and sends it. Resolves when everything of it is marked or given back.
 * @throws what the database says when it cannot be asked for a claim.
 */
export async function runRound(parts: RoundParts): Promise<RelayRound> {
  const { batchSize, leaseMs } = parts.settings;
  return new Round(parts, await parts.claims.claim(batchSize, leaseMs)).run();
}

class Round {
  readonly #parts: RoundParts;
  readonly #claimed: Claimed;
  readonly #did: RelayRound;
  /** A mark could not be written: nothing more of the batch is sent. */
  #lost = false;

  constructor(parts: RoundParts, claimed: Claimed) {
    this.#parts = parts;
    this.#claimed = claimed;
    this.#did = { claimed: claimed.runs.flat().length, published: 0, retried: 0, dead: 0, released: 0 };
  }

  async run(): Promise<RelayRound> {
    const did = this.#did;
    if (did.claimed === 0) return did;
    const { leaseMs, concurrency } = this.#parts.settings;
    const renewal = setInterval(() => void this.#renew(), leaseMs / 3);
    renewal.unref();
    try {
      const runs = this.#claimed.runs.values();
      const work = async (): Promise<void> => {
        for (const run of runs) await this.#sendRun(run);
      };
      await Promise.all(Array.from({ length: concurrency }, work));
    } finally {
      clearInterval(renewal);
    }
    did.released = did.claimed - did.published - did.retried - did.dead;
    if (did.released > 0) await this.#giveBack();
    return did;
  }

  /** Sends the events of a run one after another, up to the first that is not published. */
  async #sendRun(run: Run): Promise<void> {
    for (const row of run) {
      const held = !this.#lost && this.#parts.clock.now() < this.#claimed.until;
      if (this.#parts.isStopping() || !held) return;
      if (!(await this.#sendRow(row))) return;
    }
  }

  /** True when the later events of its run may follow. */
  async #sendRow(row: SqlRow): Promise<boolean> {
    let eventId: string | null;
    try {
      eventId = (await this.#parts.client.send(relayedEvent(row) as never))?.eventId ?? null;
    } catch (error) {
      await this.#mark(row, () => this.#failed(row, error));
      return false;
    }
    return this.#mark(row, async () => {
      await this.#parts.store.published(row, eventId);
      this.#did.published += 1;
    });
  }

  async #failed(row: SqlRow, error: unknown): Promise<void> {
    const { settings, store, log } = this.#parts;
    const attempts = Number(row['attempts']) + 1;
    const verdict = verdictOn(error, attempts, settings);
    await store.failed(row, { token: this.#claimed.token, attempts, verdict });
    const fields = { ...nameOf(row), attempts, code: verdict.code, reason: verdict.reason };
    if (verdict.state === 'pending') {
      this.#did.retried += 1;
      log.warn('outbox.event.failed', { ...fields, retryInMs: verdict.delayMs });
      return;
    }
    this.#did.dead += 1;
    log.error('outbox.event.died', fields);
    await this.#tellDead(row, { attempts, verdict });
  }

  async #tellDead(row: SqlRow, { attempts, verdict }: { attempts: number; verdict: Verdict }): Promise<void> {
    const { code, reason } = verdict;
    const last = { attempts, last_code: code, last_error: reason, died_at: this.#parts.clock.now() };
    try {
      await this.#parts.onDead?.(deadEventOf({ ...row, ...last }));
    } catch (error) {
      this.#parts.log.error('outbox.on-dead.failed', { uuid: row['uuid'], error: messageOf(error) });
    }
  }

  /** A mark that cannot be written ends the batch: its claim runs out, and the event is sent again under its uuid. */
  async #mark(row: SqlRow, write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      this.#lost = true;
      this.#parts.log.warn('outbox.mark.failed', { ...nameOf(row), error: messageOf(error) });
      return false;
    }
  }

  async #renew(): Promise<void> {
    const until = this.#parts.clock.now() + this.#parts.settings.leaseMs;
    try {
      if (await this.#parts.claims.renew(this.#claimed.token, until)) this.#claimed.until = until;
    } catch (error) {
      this.#parts.log.warn('outbox.renewal.failed', { error: messageOf(error) });
    }
  }

  async #giveBack(): Promise<void> {
    try {
      await this.#parts.claims.release(this.#claimed.token);
    } catch (error) {
      this.#parts.log.warn('outbox.release.failed', { error: messageOf(error) });
    }
  }
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
