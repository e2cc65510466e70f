/** A counted number of places; who finds none waits in line. */
export class Places {
  readonly #size: number;
  readonly #line: { enter: () => void; refuse: (error: Error) => void; eventId: string }[] = [];
  #taken = 0;

  constructor(size: number) {
    this.#size = size;
  }

  get isFull(): boolean {
    return this.#taken >= this.#size || this.#line.length > 0;
  }

  /** Takes a place, now or in turn, and calls `enter` in the same moment. */
  take(eventId: string, enter: () => void): Promise<void> {
    if (!this.isFull) {
      this.#taken += 1;
      enter();
      return Promise.resolve();
    }
    return new Promise((resolve, refuse) => {
      this.#line.push({
        eventId,
        refuse,
        enter: () => {
          enter();
          resolve();
        },
      });
    });
  }

  /** Gives a place back; the next in line has it. */
  free(): void {
    const next = this.#line.shift();
    if (next === undefined) this.#taken -= 1;
    else next.enter();
  }

  /** Sends away whoever waits. */
  refuseAll(errorFor: (eventId: string) => Error): void {
    for (const { refuse, eventId } of this.#line.splice(0)) refuse(errorFor(eventId));
  }
}
