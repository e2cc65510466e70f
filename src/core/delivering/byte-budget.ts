/**
 * Bounds the bytes of messages in hand, over all holders. Past the bound, a holder with more than its equal share is
 * told to pause: so one that is slow with large messages stops itself and not the others. All in all at most about
 * twice the bound is held, plus what was on its way when a pause began.
 */
export class ByteBudget<Holder> {
  readonly #maxBytes: number;
  readonly #held = new Map<Holder, number>();
  readonly #paused = new Set<Holder>();
  #total = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get total(): number {
    return this.#total;
  }

  /** Adds `bytes` in a holder's hand; returns the holders that must pause now. */
  take(holder: Holder, bytes: number): Holder[] {
    this.#total += bytes;
    this.#held.set(holder, (this.#held.get(holder) ?? 0) + bytes);
    if (this.#total <= this.#maxBytes) return [];
    const share = this.#maxBytes / this.#held.size;
    const pausing: Holder[] = [];
    for (const [candidate, held] of this.#held) {
      if (held < share || this.#paused.has(candidate)) continue;
      this.#paused.add(candidate);
      pausing.push(candidate);
    }
    return pausing;
  }

  /** Takes `bytes` out of a holder's hand; returns the holders that may go on. */
  give(holder: Holder, bytes: number): Holder[] {
    this.#total -= bytes;
    const left = (this.#held.get(holder) ?? 0) - bytes;
    if (left > 0) this.#held.set(holder, left);
    else this.#held.delete(holder);
    if (this.#paused.size === 0) return [];
    const calm = this.#total < this.#maxBytes / 2;
    const halfShare = this.#maxBytes / 2 / Math.max(1, this.#held.size);
    const resuming = [...this.#paused].filter((paused) => calm || (this.#held.get(paused) ?? 0) < halfShare);
    for (const resumed of resuming) this.#paused.delete(resumed);
    return resuming;
  }
}
