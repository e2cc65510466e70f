import { unavailable } from './database-errors.js';

interface Waiting {
  enter: () => void;
}

/**
 * Lets one piece of work in at a time, in the order of asking. TypeORM keeps a single query runner per SQLite file, so
 * statements of concurrent transactions would otherwise mix.
 */
export class Gate {
  readonly #waiting: Waiting[] = [];
  readonly #maxWaitMs: number;
  #taken = false;

  constructor(maxWaitMs: number) {
    this.#maxWaitMs = maxWaitMs;
  }

  /** @throws UNAVAILABLE when the turn does not come in time, as when work waits for work behind it. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#taken) await this.#turn();
    this.#taken = true;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#taken = false;
      else next.enter();
    }
  }

  #turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        enter: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(unavailable(`the database was busy for ${this.#maxWaitMs} ms`));
      }, this.#maxWaitMs);
      this.#waiting.push(waiting);
    });
  }
}
