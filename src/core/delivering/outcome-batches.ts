import type { Outcome } from '../model.js';

export interface OutcomeBatchesDeps {
  /** Resolves when the outcomes are safe; may keep trying until `giveUpAt`. */
  publish(outcomes: Outcome[], giveUpAt: number): Promise<void>;
  /** How long the first outcome of a batch waits for others. */
  lingerMs: number;
  /** A batch of this many outcomes, or of this many characters of answers, goes out at once. */
  maxOutcomes: number;
  maxCharacters: number;
}

interface Batch {
  outcomes: Outcome[];
  characters: number;
  giveUpAt: number;
  timer: NodeJS.Timeout;
  published: Promise<void>;
  resolve: (published: Promise<void>) => void;
}

/** Puts the outcomes of many deliveries into one message; every caller learns when its own is safe. */
export class OutcomeBatches {
  readonly #deps: OutcomeBatchesDeps;
  readonly #inFlight = new Set<Promise<void>>();
  #open: Batch | null = null;

  constructor(deps: OutcomeBatchesDeps) {
    this.#deps = deps;
  }

  /** Resolves when the batch with this outcome is safe; rejects when that was given up, at `giveUpAt` or earlier. */
  add(outcome: Outcome, giveUpAt: number): Promise<void> {
    const batch = (this.#open ??= this.#begin());
    batch.outcomes.push(outcome);
    batch.characters += (outcome.response?.length ?? 0) + (outcome.error?.length ?? 0);
    batch.giveUpAt = Math.min(batch.giveUpAt, giveUpAt);
    const full = batch.outcomes.length >= this.#deps.maxOutcomes || batch.characters >= this.#deps.maxCharacters;
    if (full) this.#send(batch);
    return batch.published;
  }

  /** Sends what waits, and resolves when nothing is on its way any more. */
  async flush(): Promise<void> {
    if (this.#open !== null) this.#send(this.#open);
    await Promise.allSettled(this.#inFlight);
  }

  #begin(): Batch {
    let resolve!: (published: Promise<void>) => void;
    const published = new Promise<void>((resolvePublished) => {
      resolve = resolvePublished;
    });
    const batch: Batch = {
      outcomes: [],
      characters: 0,
      giveUpAt: Infinity,
      published,
      resolve,
      timer: setTimeout(() => {
        this.#send(batch);
      }, this.#deps.lingerMs),
    };
    return batch;
  }

  #send(batch: Batch): void {
    clearTimeout(batch.timer);
    if (this.#open === batch) this.#open = null;
    const publishing = this.#deps.publish(batch.outcomes, batch.giveUpAt);
    this.#inFlight.add(publishing);
    const done = (): void => {
      this.#inFlight.delete(publishing);
    };
    publishing.then(done, done);
    batch.resolve(publishing);
  }
}
