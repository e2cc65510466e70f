/** Ids of a while ago, in bounded memory. Times are milliseconds of any clock that does not go back. */
export class RecentIds {
  /** In the order of their expiry, because every id is kept for the same time. */
  readonly #expiryById = new Map<string, number>();
  readonly #ttlMs: number;
  readonly #maxIds: number;

  constructor({ ttlMs, maxIds }: { ttlMs: number; maxIds: number }) {
    this.#ttlMs = ttlMs;
    this.#maxIds = maxIds;
  }

  add(id: string, now: number): void {
    this.#expiryById.delete(id);
    this.#expiryById.set(id, now + this.#ttlMs);
    for (const [oldest, expiresAt] of this.#expiryById) {
      if (expiresAt > now && this.#expiryById.size <= this.#maxIds) return;
      this.#expiryById.delete(oldest);
    }
  }

  has(id: string, now: number): boolean {
    const expiresAt = this.#expiryById.get(id);
    return expiresAt !== undefined && expiresAt > now;
  }

  get size(): number {
    return this.#expiryById.size;
  }
}
