import type { Clock, ListenerAnswer } from '../ports.js';

export interface CircuitBreakerOptions {
  clock: Clock;
  /** Connection errors and time-outs in a row that open a circuit. */
  threshold: number;
  /** While open, one call is let through per this time. */
  probeMs: number;
}

interface Circuit {
  unreachableInARow: number;
  /** When it opened or the last probe was let through; null while closed. */
  probedAt: number | null;
}

/**
 * Keeps deliveries from waiting for dead listeners: one circuit per listener, in memory of this worker. It opens after
 * `threshold` unreachable answers in a row and closes on any complete answer. A listener that answers has no entry.
 */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  readonly #circuits = new Map<string, Circuit>();
  #open = 0;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  openCount(): number {
    return this.#open;
  }

  isOpen(listenerId: string): boolean {
    return (this.#circuits.get(listenerId)?.probedAt ?? null) !== null;
  }

  /** Whether a call would be refused now; asks without using up the probe. */
  refuses(listenerId: string): boolean {
    const probedAt = this.#circuits.get(listenerId)?.probedAt ?? null;
    return probedAt !== null && this.#options.clock.now() - probedAt < this.#options.probeMs;
  }

  /** Whether the listener may be called now. While open this lets one probe through per `probeMs`. */
  admits(listenerId: string): boolean {
    if (this.refuses(listenerId)) return false;
    const circuit = this.#circuits.get(listenerId);
    if (circuit !== undefined && circuit.probedAt !== null) circuit.probedAt = this.#options.clock.now();
    return true;
  }

  /** What came of a call; returns whether the circuit opened or closed by it. */
  record(listenerId: string, kind: ListenerAnswer['kind']): 'opened' | 'closed' | 'unchanged' {
    const circuit = this.#circuits.get(listenerId);
    if (kind !== 'unreachable') return this.#forget(listenerId) ? 'closed' : 'unchanged';
    if (circuit === undefined) {
      const opens = this.#options.threshold <= 1;
      this.#circuits.set(listenerId, { unreachableInARow: 1, probedAt: opens ? this.#options.clock.now() : null });
      if (opens) this.#open += 1;
      return opens ? 'opened' : 'unchanged';
    }
    circuit.unreachableInARow += 1;
    if (circuit.probedAt !== null || circuit.unreachableInARow < this.#options.threshold) return 'unchanged';
    circuit.probedAt = this.#options.clock.now();
    this.#open += 1;
    return 'opened';
  }

  /** Forgets listeners that are not registered any more. */
  retain(isRegistered: (listenerId: string) => boolean): void {
    for (const listenerId of this.#circuits.keys()) {
      if (!isRegistered(listenerId)) this.#forget(listenerId);
    }
  }

  /** Returns whether the circuit was open. */
  #forget(listenerId: string): boolean {
    const wasOpen = this.isOpen(listenerId);
    this.#circuits.delete(listenerId);
    if (wasOpen) this.#open -= 1;
    return wasOpen;
  }
}
