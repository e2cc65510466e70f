import { randomBytes } from 'node:crypto';
import type { FieldProblems } from '../field-problems.js';
import type { Node, PreviousKey } from '../model.js';
import { KEY_LENGTH, MASK } from './registry-limits.js';
import { isUnreadable } from './unreadable-secret.js';

const GENERATED_BYTES = 20;
/** A shorter key is accepted, because applications in the field have them, with a warning. */
const SAFE_BYTES = 16;

/** A new signing key: 20 random bytes in standard Base64 (protocol, section 1). */
export function generateKey(): string {
  return randomBytes(GENERATED_BYTES).toString('base64');
}

/**
 * How many bytes the vendor's lenient Base64 decoder makes of a key's text: letters, digits and `+/-_` count, every
 * other character is ignored, the first `=` ends it (protocol, section 1).
 */
export function decodedKeyLength(text: string): number {
  const [significant = ''] = text.split('=', 1);
  const digits = significant.replace(/[^A-Za-z0-9+/_-]/g, '').length;
  return Math.floor((digits * 6) / 8);
}

/** Notes it when a key that somebody brings along cannot sign. */
export function expectKey(problems: FieldProblems, path: string, key: string): void {
  if (key === MASK) {
    problems.add(path, `${MASK} stands for a key in answers; leave the field out to keep the key`);
    return;
  }
  problems.expect(key.length <= KEY_LENGTH, path, `expected at most ${KEY_LENGTH} characters, found ${key.length}`);
  problems.expect(decodedKeyLength(key) > 0, path, 'expected Base64 text that decodes to at least one byte');
}

/** The earlier keys of a node that are still good, the newest first; none when they cannot be read. */
export function livePreviousKeys({ previousKeys }: Pick<Node, 'previousKeys'>, now: number): PreviousKey[] {
  return isUnreadable(previousKeys) ? [] : previousKeys.filter(({ expiresAt }) => now < expiresAt);
}

/** A warning when a key is so short that it can be guessed, else null. Never tells the key. */
export function keyWarning(path: string, key: string): string | null {
  const bytes = decodedKeyLength(key);
  if (bytes >= SAFE_BYTES) return null;
  return `${path}: the key decodes to ${bytes} bytes only; a key of ${SAFE_BYTES} or more cannot be guessed`;
}
