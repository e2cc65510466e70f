import { EmbeddedQueue } from './embedded-queue.js';
import type { QueueFile } from './queue-file.js';

/** All queues and bindings, in memory as they are in the file. */
export class QueueSet {
  readonly #file: QueueFile;
  readonly #onTrouble: (error: unknown) => void;
  readonly #queues = new Map<string, EmbeddedQueue>();
  readonly #bound = new Map<string, Set<EmbeddedQueue>>();

  constructor(file: QueueFile, onTrouble: (error: unknown) => void) {
    this.#file = file;
    this.#onTrouble = onTrouble;
    const byId = new Map<number, EmbeddedQueue>();
    for (const row of file.queues()) {
      const queue = new EmbeddedQueue(row, { file, onTrouble });
      this.#queues.set(row.name, queue);
      byId.set(row.id, queue);
    }
    for (const { eventTypeId, queueId } of file.bindings()) {
      const queue = byId.get(queueId);
      if (queue !== undefined) this.#remember(eventTypeId, queue);
    }
  }

  find(name: string): EmbeddedQueue | null {
    return this.#queues.get(name) ?? null;
  }

  /** The queues that take events of a type. */
  boundTo(eventTypeId: string): Iterable<EmbeddedQueue> {
    return this.#bound.get(eventTypeId) ?? [];
  }

  /** Makes what is missing of these queues and bindings, in one transaction. */
  ensure(wanted: { name: string; eventTypeIds: string[] }[]): void {
    const missing = wanted.filter(({ name, eventTypeIds }) => {
      const queue = this.find(name);
      return queue === null || eventTypeIds.some((id) => this.#bound.get(id)?.has(queue) !== true);
    });
    if (missing.length === 0) return;
    const made: { eventTypeIds: string[]; queue: EmbeddedQueue }[] = [];
    this.#file.transaction(() => {
      for (const { name, eventTypeIds } of missing) {
        const known = this.find(name) ?? made.find(({ queue }) => queue.name === name)?.queue;
        const queue = known ?? this.#make(name);
        for (const id of eventTypeIds) this.#file.bind(id, queue.id);
        made.push({ eventTypeIds, queue });
      }
    });
    for (const { eventTypeIds, queue } of made) {
      this.#queues.set(queue.name, queue);
      for (const id of eventTypeIds) this.#remember(id, queue);
    }
  }

  unbind(name: string, eventTypeId: string): void {
    const queue = this.find(name);
    if (queue === null) return;
    this.#file.unbind(eventTypeId, queue.id);
    this.#bound.get(eventTypeId)?.delete(queue);
  }

  /** Deletes a queue that is idle; true when it is not there (any more). */
  deleteIdle(name: string): boolean {
    const queue = this.find(name);
    if (queue === null) return true;
    if (!queue.idle) return false;
    this.#file.transaction(() => {
      this.#file.deleteQueue(queue.id);
    });
    queue.close();
    this.#queues.delete(name);
    for (const queues of this.#bound.values()) queues.delete(queue);
    return true;
  }

  close(): void {
    for (const queue of this.#queues.values()) queue.close();
  }

  #make(name: string): EmbeddedQueue {
    return new EmbeddedQueue(this.#file.createQueue(name), { file: this.#file, onTrouble: this.#onTrouble });
  }

  #remember(eventTypeId: string, queue: EmbeddedQueue): void {
    const queues = this.#bound.get(eventTypeId);
    if (queues === undefined) this.#bound.set(eventTypeId, new Set([queue]));
    else queues.add(queue);
  }
}
