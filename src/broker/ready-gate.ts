import { EventCenterError } from '../core/errors.js';

/** A gate that opens and shuts; others wait for it to be open. */
export class ReadyGate {
  #open = false;
  #closed = false;
  readonly #waiting = new Set<(error: EventCenterError | null) => void>();

  get isOpen(): boolean {
    return this.#open;
  }

  open(): void {
    if (this.#closed) return;
    this.#open = true;
    this.#settle(null);
  }

  shut(): void {
    this.#open = false;
  }

  /** Shuts for good; those who wait are told. */
  close(): void {
    this.#closed = true;
    this.#open = false;
    this.#settle(new EventCenterError('UNAVAILABLE', 'the broker was stopped'));
  }

  /** @throws UNAVAILABLE after `timeoutMs`, naming what `problem` says at that time. */
  wait(timeoutMs: number, problem: () => string | null): Promise<void> {
    if (this.#open) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const settle = (error: EventCenterError | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(settle);
        if (error === null) resolve();
        else reject(error);
      };
      const timer = setTimeout(() => {
        const why = problem() ?? 'it did not say why';
        settle(new EventCenterError('UNAVAILABLE', `the broker is not ready after ${timeoutMs} ms: ${why}`));
      }, timeoutMs);
      this.#waiting.add(settle);
    });
  }

  #settle(error: EventCenterError | null): void {
    for (const settle of [...this.#waiting]) settle(error);
  }
}
