import type { Log, Settlement } from '../ports.js';
import { Intake } from './intake.js';

/** The consumers of one queue, which pause while too many bytes of its messages are in hand, too. */
export class BoundedIntake<Reason extends string> extends Intake<Reason | 'bytes'> {
  readonly #mostBytes: number;
  #bytes = 0;

  constructor(log: Log, mostBytes: number) {
    super(log);
    this.#mostBytes = mostBytes;
  }

  /** Handles a message, which is in hand until it is settled. */
  async take(bytes: number, handle: () => Promise<Settlement>): Promise<Settlement> {
    this.#bytes += bytes;
    if (this.#bytes > this.#mostBytes) this.pause('bytes');
    try {
      return await handle();
    } finally {
      this.#bytes -= bytes;
      if (this.#bytes <= this.#mostBytes / 2) this.resume('bytes');
    }
  }
}
