import { InvalidOptionError } from '../errors.js';
import { noLog } from '../log.js';
import { messageOf } from '../message-of.js';
import { Claims } from './claims.js';
import { DeadEvents, type DeadEvent, type DeadFilter } from './dead-events.js';
import { recognizeDatabase } from './recognize-database.js';
import { settingsOf, whole, type OutboxClient, type OutboxRelayOptions } from './relay-options.js';
import { RelayStore, type OutboxStats } from './relay-store.js';
import { runRound, type RelayRound, type RoundParts } from './round.js';

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
  readonly #parts: RoundParts;
  readonly #deadEvents: DeadEvents;
  readonly #rounds = new Set<Promise<unknown>>();
  #loop: Promise<void> | null = null;
  #stopping = false;
  #endPause: (() => void) | null = null;
  #woken = false;
  #removedAt: number | null = null;

  /** @throws InvalidOptionError */
  constructor(options: OutboxRelayOptions) {
    const { outbox, client, afterDead = 'block', onDead = null, log = noLog } = options;
    if (typeof (client as OutboxClient | undefined)?.send !== 'function') {
      throw new InvalidOptionError('client', 'expected send(event)');
    }
    if (!['block', 'continue'].includes(afterDead)) {
      throw new InvalidOptionError('afterDead', 'expected block or continue');
    }
    const database = recognizeDatabase(outbox.dialect, options.database);
    const table = { outbox, database, deadBlocks: afterDead === 'block' };
    this.#deadEvents = new DeadEvents(table);
    this.#parts = {
      claims: new Claims(table),
      store: new RelayStore(table),
      client,
      settings: settingsOf(options),
      clock: outbox.clock,
      log,
      onDead,
      isStopping: () => this.#stopping,
    };
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
    const round = runRound(this.#parts);
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
    const count = await this.#deadEvents.revive(which);
    this.wake();
    return count;
  }

  /** Deletes dead events for good, so that what they hold back goes on. Returns how many. */
  discard(uuids: readonly string[]): Promise<number> {
    return this.#deadEvents.discard(uuids);
  }

  /** Dead events in the order of writing. @param page.limit 1..500, 50 by default. */
  async dead(page: { limit?: number; cursor?: string | null } = {}): Promise<{
    items: DeadEvent[];
    nextCursor: string | null;
  }> {
    const limit = whole('limit', page.limit ?? 50, { least: 1, most: MAX_PAGE });
    const cursor = page.cursor ?? '0';
    if (!/^\d{1,19}$/.test(cursor)) throw new InvalidOptionError('cursor', 'expected a nextCursor');
    const found = await this.#deadEvents.list(limit + 1, cursor);
    const items = found.slice(0, limit);
    return {
      items: items.map((one) => one.event),
      nextCursor: found.length > limit ? (items.at(-1)?.id ?? null) : null,
    };
  }

  stats(): Promise<OutboxStats> {
    return this.#parts.store.stats();
  }

  async #relay(): Promise<void> {
    let failures = 0;
    let announced = false;
    while (!this.#stopping) {
      let pauseMs = this.#parts.settings.pollMs;
      try {
        if (!announced) this.#parts.log.info('outbox.relay.started', { claim: await this.#parts.claims.kind() });
        announced = true;
        const round = await this.runOnce();
        failures = 0;
        if (round.claimed > 0) pauseMs = 0;
        else await this.#removeOld();
      } catch (error) {
        failures += 1;
        pauseMs = Math.min(this.#parts.settings.pollMs * 2 ** Math.min(failures, 10), MAX_PAUSE_MS);
        this.#parts.log.warn('outbox.database.failed', { error: messageOf(error), retryInMs: pauseMs });
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

  async #removeOld(): Promise<void> {
    const now = this.#parts.clock.now();
    if (this.#removedAt !== null && now - this.#removedAt < REMOVE_EVERY_MS) return;
    while (!this.#stopping) {
      if ((await this.#parts.store.removePublished(now - this.#parts.settings.keepPublishedMs)) < REMOVE_PORTION) break;
    }
    this.#removedAt = now;
  }
}
