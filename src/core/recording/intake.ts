import type { Log, Subscription } from '../ports.js';

/** Consumers that are paused together, for as long as there is at least one reason. */
export class Intake<Reason extends string> {
  readonly #reasons = new Set<Reason>();
  readonly #log: Log;
  #subscriptions: Subscription[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** Adds a consumer; it is paused at once when there is a reason. */
  add(subscription: Subscription): void {
    this.#subscriptions.push(subscription);
    if (this.#reasons.size > 0) this.#tell(subscription, 'pause');
  }

  /** Begins to pause before it returns, so that what is put back right afterwards does not come again. */
  pause(reason: Reason): void {
    const wasRunning = this.#reasons.size === 0;
    this.#reasons.add(reason);
    if (wasRunning) for (const subscription of this.#subscriptions) this.#tell(subscription, 'pause');
  }

  resume(reason: Reason): void {
    if (!this.#reasons.delete(reason) || this.#reasons.size > 0) return;
    for (const subscription of this.#subscriptions) this.#tell(subscription, 'resume');
  }

  /** Resolves when the consumers have ended and none of their handlers is running. */
  async stop(): Promise<void> {
    const subscriptions = this.#subscriptions;
    this.#subscriptions = [];
    await Promise.all(subscriptions.map((subscription) => subscription.stop()));
  }

  #tell(subscription: Subscription, what: 'pause' | 'resume'): void {
    subscription[what]().catch((error: unknown) => {
      this.#log.error(`intake.${what}-failed`, { error });
    });
  }
}
