import type { Log, Settlement, Subscription } from '../ports.js';
import { Intake } from './intake.js';

/** The consumers of one queue, which pause while too many bytes of its messages are in hand, too. */
export class BoundedIntake<Reason extends string> {
  readonly #intake: Intake<Reason | 'bytes'>;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(log: Log, mostBytes: number) {
    this.#intake = new Intake(log);
    this.#mostBytes = mostBytes;
  }

  add(subscription: Subscription): void {
    this.#intake.add(subscription);
  }

  /** Handles a message, which is in hand until it is settled. */
  async take(bytes: number, handle: () => Promise<Settlement>): Promise<Settlement> {
    this.#bytes += bytes;
    if (this.#bytes > this.#mostBytes) this.#intake.pause('bytes');
    try {
      return await handle();
    } finally {
      this.#bytes -= bytes;
      if (this.#bytes <= this.#mostBytes / 2) this.#intake.resume('bytes');
    }
  }

  pause(reason: Reason): void {
    this.#intake.pause(reason);
  }

  resume(reason: Reason): void {
    this.#intake.resume(reason);
  }

  stop(): Promise<void> {
    return this.#intake.stop();
  }
}
