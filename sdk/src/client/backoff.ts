import { doubledDelayMs } from '../doubled-delay.js';
import type { UnavailableError } from '../errors.js';

/** How often and after what time a call is repeated. */
export interface RepeatRules {
  /** Attempts in all. */
  maxAttempts: number;
  /** The most before the first repeat, in milliseconds; doubled before each further one. */
  retryDelayMs: number;
  /** No wait is longer than twice this. */
  maxRetryDelayMs: number;
}

/** Statuses after which a repeat can help: over the rate, a gateway that lost the centre, the centre not ready. */
const REPEATABLE_STATUSES = new Set([429, 502, 503, 504]);

/** Whether a repeat under the same uuid is safe and can help. */
export function isRepeatable({ status, code }: UnavailableError): boolean {
  if (status === null) return code !== 'ABORTED';
  return REPEATABLE_STATUSES.has(status);
}

/**
 * Milliseconds until the next attempt: a random part of the doubled delay, so that senders that failed together do not
 * come back together, and never before `Retry-After`, of which at most `maxRetryDelayMs` counts.
 * @param attempt the one that failed, 1-based.
 */
export function delayBeforeRepeat(attempt: number, rules: RepeatRules, retryAfterMs: number | null): number {
  const most = doubledDelayMs(attempt, rules.retryDelayMs, rules.maxRetryDelayMs);
  const asked = Math.min(rules.maxRetryDelayMs, retryAfterMs ?? 0);
  return Math.ceil(asked + Math.random() * most);
}

/** Waits, or returns early when the signal says so. */
export function waitMs(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, delayMs);
    signal?.addEventListener('abort', end, { once: true });
  });
}
