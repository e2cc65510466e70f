import { RefusedRowError } from './database-errors.js';

interface Waiting<Item> {
  item: Item;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export interface SharedWritesOptions<Item> {
  /** Writes all of them with one statement, or none. */
  write: (items: Item[]) => Promise<void>;
  /** Items of one statement at most. */
  most: number;
  /** Statements on their way at a time. */
  atATime: number;
}

/**
 * Lets writes share statements: what comes while others are on their way goes together with the next. A single write
 * waits for nothing. When the database refuses a row of several, each is written by itself, so that every caller learns
 * what became of its own.
 */
export class SharedWrites<Item> {
  readonly #options: SharedWritesOptions<Item>;
  #waiting: Waiting<Item>[] = [];
  #onTheirWay = 0;

  constructor(options: SharedWritesOptions<Item>) {
    this.#options = options;
  }

  /** Resolves when the item is committed. @throws what `write` throws for it. */
  add(item: Item): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#next();
    });
  }

  #next(): void {
    if (this.#waiting.length === 0 || this.#onTheirWay === this.#options.atATime) return;
    this.#onTheirWay += 1;
    const batch = this.#waiting.splice(0, this.#options.most);
    void this.#write(batch).then(() => {
      this.#onTheirWay -= 1;
      this.#next();
    });
  }

  /** Never rejects. */
  async #write(batch: Waiting<Item>[]): Promise<void> {
    try {
      await this.#options.write(batch.map(({ item }) => item));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      if (batch.length > 1 && error instanceof RefusedRowError) {
        for (const one of batch) await this.#write([one]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }
}
