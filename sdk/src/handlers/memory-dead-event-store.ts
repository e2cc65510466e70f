import { InvalidOptionError } from '../errors.js';
import type { DeadEvent, DeadEventPage, DeadEventStore } from './dead-event-store.js';
import { checkedPage } from './dead-event-page.js';

const DEFAULT_LIMIT = 1000;

/**
 * Dead events in this process's memory: for tests, and for applications that may look them up in the centre's event log
 * after a restart, which forgets them here.
 */
export class MemoryDeadEventStore implements DeadEventStore {
  readonly #dead = new Map<string, DeadEvent>();
  readonly #limit: number;

  /** @param options `limit`: how many it keeps, 1000 by default. */
  constructor({ limit = DEFAULT_LIMIT }: { limit?: number } = {}) {
    if (!Number.isInteger(limit) || limit < 1)
      throw new InvalidOptionError('limit', 'expected a whole number, 1 or more');
    this.#limit = limit;
  }

  /** @throws Error when it is full, so that the event is a failure, which the centre keeps and tries again. */
  async add(dead: DeadEvent): Promise<void> {
    const { eventId } = dead.event;
    if (this.#dead.size >= this.#limit && !this.#dead.has(eventId)) {
      throw new Error(`the list of dead events is full with ${this.#limit}: handle or remove some`);
    }
    this.#dead.set(eventId, dead);
  }

  async find(eventId: string): Promise<DeadEvent | null> {
    return this.#dead.get(eventId) ?? null;
  }

  async list(page: DeadEventPage = {}): Promise<DeadEvent[]> {
    const { limit, after } = checkedPage(page);
    const ids = [...this.#dead.keys()].filter((id) => after === null || id > after).sort();
    return ids.slice(0, limit).flatMap((id) => this.#dead.get(id) ?? []);
  }

  async remove(eventId: string): Promise<boolean> {
    return this.#dead.delete(eventId);
  }
}
