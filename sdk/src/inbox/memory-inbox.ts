import { InvalidOptionError } from '../errors.js';
import { checkKey } from './inbox.js';
import type { Inbox, InboxKey, InboxResult } from './inbox.js';

/** How much a MemoryInbox remembers. */
export interface MemoryInboxOptions {
  /** The most events; the oldest is forgotten first. 100000 by default. */
  maxEntries?: number;
  /** For how many milliseconds; 24 hours by default. */
  ttlMs?: number;
}

/**
 * Remembers events in this process: two copies never act at the same time, and a copy that comes after a success does not
 * act, as long as process, `ttlMs` and `maxEntries` last. A restart forgets everything, and other processes know nothing.
 */
export class MemoryInbox implements Inbox {
  readonly #maxEntries: number;
  readonly #ttlMs: number;
  readonly #running = new Set<string>();
  /** When each was acted on, oldest first. */
  readonly #done = new Map<string, number>();

  /** @throws InvalidOptionError naming the option. */
  constructor({ maxEntries = 100_000, ttlMs = 86_400_000 }: MemoryInboxOptions = {}) {
    if (!Number.isInteger(maxEntries) || maxEntries < 1) {
      throw new InvalidOptionError('maxEntries', 'expected a whole number from 1 on');
    }
    if (!Number.isInteger(ttlMs) || ttlMs < 1) throw new InvalidOptionError('ttlMs', 'expected whole milliseconds');
    this.#maxEntries = maxEntries;
    this.#ttlMs = ttlMs;
  }

  /** How many events it remembers. */
  get size(): number {
    return this.#done.size;
  }

  async run(key: InboxKey, act: () => Promise<void>): Promise<InboxResult> {
    const id = idOf(key);
    this.#forgetOld();
    if (this.#done.has(id)) return 'repeated';
    if (this.#running.has(id)) return 'busy';
    this.#running.add(id);
    try {
      await act();
    } finally {
      this.#running.delete(id);
    }
    this.#done.set(id, Date.now());
    this.#forgetOld();
    return 'done';
  }

  /** Lets the event be acted on again, for a replay that is meant to repeat. */
  forget(key: InboxKey): void {
    this.#done.delete(idOf(key));
  }

  #forgetOld(): void {
    const before = Date.now() - this.#ttlMs;
    for (const [id, doneAt] of this.#done) {
      if (doneAt > before && this.#done.size <= this.#maxEntries) return;
      this.#done.delete(id);
    }
  }
}

function idOf(key: InboxKey): string {
  const { eventId, listenerId } = checkKey(key);
  // Neither part has a space.
  return `${eventId} ${listenerId}`;
}
