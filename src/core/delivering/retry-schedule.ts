import type { RetryPolicy } from '../model.js';

/** What a failed attempt asks the schedule. */
export interface RetryQuestion {
  policy: RetryPolicy;
  /** The centre's default delays, at least one. */
  defaultDelaysMs: number[];
  /** Attempts made in this generation, the failed one included; 1 or more. */
  attemptsMade: number;
  /** What the listener asked for by `Retry-After`, or null. */
  retryAfterMs: number | null;
  /** All declared delays, ascending. */
  stepsMs: number[];
}

/**
 * The delay before the next attempt, or null when the listener is exhausted (protocol page, section 4). It is exactly the
 * policy's delay, unless `Retry-After` asks for more: then the next declared step that is not shorter, at most the
 * longest one.
 */
export function nextDelayMs(question: RetryQuestion): number | null {
  const { policy, defaultDelaysMs, attemptsMade, retryAfterMs, stepsMs } = question;
  if (attemptsMade >= maxAttempts(policy, defaultDelaysMs)) return null;
  const delayMs = scheduledDelayMs(policy, defaultDelaysMs, attemptsMade);
  if (retryAfterMs === null || retryAfterMs <= delayMs) return delayMs;
  const step = stepsMs.find((candidate) => candidate >= retryAfterMs) ?? stepsMs.at(-1) ?? delayMs;
  return Math.max(delayMs, step);
}

/** Attempts that the policy allows in all; infinite for `loop`. */
export function maxAttempts(policy: RetryPolicy, defaultDelaysMs: number[]): number {
  switch (policy.strategy) {
    case 'none':
      return 1;
    case 'loop':
      return Infinity;
    case 'default':
      return policy.maxAttempts ?? delaysOf(policy, defaultDelaysMs).length + 1;
  }
}

/** The delay that follows the attempt of this number in its generation; missing delays repeat the last. */
export function scheduledDelayMs(policy: RetryPolicy, defaultDelaysMs: number[], attempt: number): number {
  const delays = delaysOf(policy, defaultDelaysMs);
  return delays[Math.min(Math.max(attempt, 1), delays.length) - 1] as number;
}

/** The longest step that ends no later than `remainingMs` from now, or null when every step is longer. */
export function longestStepWithin(stepsMs: number[], remainingMs: number): number | null {
  return stepsMs.filter((step) => step <= remainingMs).at(-1) ?? null;
}

function delaysOf(policy: RetryPolicy, defaultDelaysMs: number[]): number[] {
  return policy.delaysMs === null || policy.delaysMs.length === 0 ? defaultDelaysMs : policy.delaysMs;
}
