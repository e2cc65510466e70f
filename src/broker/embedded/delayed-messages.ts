import type { Clock } from '../../core/ports.js';
import type { GroupCommit, Write } from './group-commit.js';
import type { NewMessage, QueueFile } from './queue-file.js';

const TAKEN_AT_A_TIME = 500;
/** Timers take no longer times, and a clock that was set back is noticed. */
const MAX_TIMER_MS = 60_000;

export interface DelayedMessagesDeps {
  file: QueueFile;
  commits: GroupCommit;
  clock: Clock;
  /** Puts a message that is due into its queue, inside the transaction; returns what to do once it is committed. */
  deliver: (queue: string, message: NewMessage) => () => void;
}

/** Messages that wait for their time, in the file; one timer for all of them. Never early. */
export class DelayedMessages {
  readonly #deps: DelayedMessagesDeps;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Infinity;
  #taking = false;

  constructor(deps: DelayedMessagesDeps) {
    this.#deps = deps;
  }

  /** Goes on with what the file holds. */
  start(): void {
    this.#wakeAt(this.#deps.file.nextDueAt());
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#taking = true;
  }

  /** Writes a message that comes to `queue` after `delayMs`, inside the transaction; returns what to do once committed. */
  insert(queue: string, message: NewMessage, delayMs: number): () => void {
    // A millisecond more, because the clock has cut off a part of one.
    const dueAt = this.#deps.clock.now() + delayMs + 1;
    this.#deps.file.insertDelayed(dueAt, queue, message);
    return () => {
      this.#wakeAt(dueAt);
    };
  }

  #wakeAt(dueAt: number | null): void {
    if (dueAt === null || this.#taking || dueAt >= this.#timerAt) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = dueAt;
    const waitMs = Math.max(0, dueAt - this.#deps.clock.now());
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#timerAt = Infinity;
        this.#takeDue();
      },
      Math.min(waitMs, MAX_TIMER_MS),
    );
  }

  #takeDue(): void {
    const { file, commits, clock, deliver } = this.#deps;
    this.#taking = true;
    let delivered: (() => void)[] = [];
    const write: Write = {
      apply: () => {
        const due = file.takeDue(clock.now(), TAKEN_AT_A_TIME);
        delivered = due.map(({ queue, messageId, wire }) => deliver(queue, { messageId: messageId ?? '', wire }));
      },
      committed: () => {
        this.#taking = false;
        for (const committed of delivered) committed();
        this.#wakeAt(file.nextDueAt());
      },
    };
    commits.add(write);
  }
}
