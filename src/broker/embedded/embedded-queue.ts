import type { QueueFile, QueueRow, StoredMessage } from './queue-file.js';

/** Messages that are read at a time; the next turn of the event loop reads on. */
const READ_AT_A_TIME = 100;
/** The mark of what was handed out is written ahead by this many ids, so that it costs one write per so many. */
const MARK_AHEAD = 1000;
const AFTER_FAILED_READ_MS = 1000;

/** A message that was handed out. */
export interface Taken {
  stored: StoredMessage;
  redelivered: boolean;
}

/** Whoever takes messages of a queue. */
export interface Consumer {
  /** How many messages it takes now. */
  room(): number;
  take(taken: Taken): void;
}

/**
 * One queue: what of its messages in the file was handed out to whom. Gives messages out in the order of their ids,
 * returned ones first.
 */
export class EmbeddedQueue {
  readonly id: number;
  readonly name: string;
  readonly #file: QueueFile;
  readonly #onTrouble: (error: unknown) => void;
  readonly #consumers: Consumer[] = [];
  /** Ids up to this one may have been handed out by a former process. */
  readonly #takenBefore: number;
  /** Ids up to this one are marked in the file as perhaps handed out. */
  #marked: number;
  #cursor = 0;
  #messages: number;
  readonly #unsettled = new Set<number>();
  /** Ids before the cursor that are to be handed out again, ascending, and how often each message came back. */
  readonly #returned: number[] = [];
  readonly #returns = new Map<number, number>();
  #waking: NodeJS.Immediate | NodeJS.Timeout | null = null;
  #closed = false;

  constructor(row: QueueRow, { file, onTrouble }: { file: QueueFile; onTrouble: (error: unknown) => void }) {
    this.id = row.id;
    this.name = row.name;
    this.#file = file;
    this.#onTrouble = onTrouble;
    this.#takenBefore = row.takenUpTo;
    this.#marked = row.takenUpTo;
    this.#messages = row.messages;
  }

  /** Messages that are not handed out. */
  get ready(): number {
    return this.#messages - this.#unsettled.size;
  }

  /** Whether it holds no message, handed out or not, and nobody consumes it. */
  get idle(): boolean {
    return this.#messages === 0 && this.#consumers.length === 0;
  }

  addConsumer(consumer: Consumer): void {
    this.#consumers.push(consumer);
    this.wake();
  }

  removeConsumer(consumer: Consumer): void {
    const index = this.#consumers.indexOf(consumer);
    if (index >= 0) this.#consumers.splice(index, 1);
  }

  /** A message was committed to the file. */
  added(): void {
    this.#messages += 1;
    this.wake();
  }

  /** A message that was handed out is gone from the file. */
  removed(id: number): void {
    this.#messages -= 1;
    this.#unsettled.delete(id);
    this.#returns.delete(id);
  }

  /** A message that was handed out comes back, to be handed out before all later ones. Says how often it came back. */
  giveBack(id: number): number {
    const times = (this.#returns.get(id) ?? 0) + 1;
    this.#returns.set(id, times);
    this.#unsettled.delete(id);
    this.#putFirst(id);
    this.wake();
    return times;
  }

  /** Takes a message that came back out of the line, as if it were handed out; false when it was handed out already. */
  takeBack(id: number): boolean {
    const place = this.#returned.indexOf(id);
    if (place < 0) return false;
    this.#returned.splice(place, 1);
    this.#unsettled.add(id);
    return true;
  }

  /** Hands out in the next turn of the event loop what consumers have room for. */
  wake(): void {
    if (this.#closed || this.#waking !== null || this.#consumers.length === 0) return;
    this.#waking = setImmediate(() => {
      this.#waking = null;
      this.#handOut();
    });
  }

  close(): void {
    this.#closed = true;
    if (this.#waking !== null) {
      clearImmediate(this.#waking as NodeJS.Immediate);
      clearTimeout(this.#waking as NodeJS.Timeout);
    }
  }

  #handOut(): void {
    const room = this.#consumers.reduce((sum, consumer) => sum + consumer.room(), 0);
    if (room === 0) return;
    try {
      const messages = this.#readNext(Math.min(room, READ_AT_A_TIME));
      for (const stored of messages) this.#give(stored);
      if (messages.length > 0) this.wake();
    } catch (error) {
      this.#onTrouble(error);
      this.#waking = setTimeout(() => {
        this.#waking = null;
        this.wake();
      }, AFTER_FAILED_READ_MS);
    }
  }

  #readNext(limit: number): StoredMessage[] {
    const [returned] = this.#returned;
    if (returned !== undefined) {
      const message = this.#file.read(returned);
      this.#returned.shift();
      return message === null ? [] : [message];
    }
    const messages = this.#file.readAfter(this.id, this.#cursor, limit);
    const last = messages.at(-1)?.id ?? this.#cursor;
    if (last > this.#marked) {
      this.#file.setTakenUpTo(this.id, last + MARK_AHEAD);
      this.#marked = last + MARK_AHEAD;
    }
    this.#cursor = last;
    return messages;
  }

  #give(stored: StoredMessage): void {
    const consumer = this.#consumers.find((candidate) => candidate.room() > 0);
    if (consumer === undefined) {
      // The one before has paused it while it was being read.
      this.#putFirst(stored.id);
      return;
    }
    // The next message is for the next consumer.
    this.#consumers.push(...this.#consumers.splice(this.#consumers.indexOf(consumer), 1));
    this.#unsettled.add(stored.id);
    const redelivered = stored.id <= this.#takenBefore || this.#returns.has(stored.id);
    consumer.take({ stored, redelivered });
  }

  /** Puts a message among those that are handed out before all that were not read yet. */
  #putFirst(id: number): void {
    const place = this.#returned.findIndex((other) => other > id);
    this.#returned.splice(place < 0 ? this.#returned.length : place, 0, id);
  }
}
