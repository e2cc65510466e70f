import type { Log } from '../core/ports.js';
import { messageOf } from './within.js';

/** Those who want to hear that the registry has a new version. */
export class VersionListeners {
  readonly #log: Log;
  readonly #listeners: ((version: number) => void)[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  add(listener: (version: number) => void): void {
    this.#listeners.push(listener);
  }

  /** Tells all; one that throws is logged and does not keep it from the others. */
  tell(version: number): void {
    for (const listener of this.#listeners) {
      try {
        listener(version);
      } catch (error) {
        this.#log.error('broker.announcement.failed', { version, error: messageOf(error) });
      }
    }
  }
}
