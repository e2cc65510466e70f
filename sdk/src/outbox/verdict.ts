import { doubledDelayMs } from '../doubled-delay.js';

/** What becomes of an event that could not be sent. */
export type Verdict =
  { state: 'pending'; code: string; reason: string; delayMs: number } | { state: 'dead'; code: string; reason: string };

export interface RetryRules {
  maxAttempts: number;
  firstDelayMs: number;
  maxDelayMs: number;
  retryRefusals: readonly string[];
}

/**
 * Refusals that are not about the event but about what stands around it: a registration that is missing, a key, a
 * clock, a limit. They can be mended while the event waits, so they are tried again.
 */
export const RETRY_REFUSALS: readonly string[] = [
  'UNKNOWN_APP',
  'BAD_SIGNATURE',
  'TIMESTAMP_EXPIRED',
  'UNKNOWN_EVENT_TYPE',
  'NOT_OWNER',
  'IN_PROGRESS',
  'RATE_LIMITED',
  'UNAVAILABLE',
];

const MAX_CODE = 64;
const MAX_REASON = 1_000;

/**
 * A refusal of the event itself is dead at once, as is the last try that fails. Everything else is tried again, not
 * before the centre's `Retry-After`, of which at most `maxDelayMs` counts.
 * @param attempts tries made, this one included.
 */
export function verdictOn(error: unknown, attempts: number, rules: RetryRules): Verdict {
  const { name, code, reason, retryAfterMs } = described(error);
  const refused = name === 'InvalidOptionError' || (name === 'RefusedError' && !rules.retryRefusals.includes(code));
  if (refused) return { state: 'dead', code, reason };
  if (attempts >= rules.maxAttempts) return { state: 'dead', code, reason };
  const asked = Math.min(retryAfterMs, rules.maxDelayMs);
  return {
    state: 'pending',
    code,
    reason,
    delayMs: Math.max(asked, doubledDelayMs(attempts, rules.firstDelayMs, rules.maxDelayMs)),
  };
}

interface Described {
  name: string;
  code: string;
  reason: string;
  retryAfterMs: number;
}

/** Read by structure, so that any client will do. */
function described(error: unknown): Described {
  const given = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>;
  const name = typeof given['name'] === 'string' ? given['name'] : 'Error';
  const code = typeof given['code'] === 'string' && given['code'] !== '' ? given['code'] : name;
  const reason = typeof given['message'] === 'string' ? given['message'] : String(error);
  const retryAfterMs = typeof given['retryAfterMs'] === 'number' ? given['retryAfterMs'] : 0;
  return { name, code: code.slice(0, MAX_CODE), reason: [...reason].slice(0, MAX_REASON).join(''), retryAfterMs };
}
