import type { JsonObject, JsonValue } from '../model.js';
import { MASK } from './registry-limits.js';

const SECRET_FIELDS = new Set(['appKey', 'clientKey', 'secret']);
const SECRET_HEADER = /auth|token|secret|passw|pwd|passphrase|sign|key|cookie|session|credential|cert|jwt|bearer/i;

/** The headers of a listener as an answer may show them: values of those that carry secrets become `***`. */
export function maskHeaders(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, SECRET_HEADER.test(name) ? MASK : value]),
  );
}

/**
 * What was asked of the registry as the audit log may keep it: JSON only, keys and secrets `***`.
 * Absent fields stay absent; null stays null, because it means that a key was taken away.
 */
export function maskSecrets(asked: object): JsonObject {
  const masked: JsonObject = {};
  for (const [field, value] of Object.entries(asked) as [string, JsonValue | undefined][]) {
    if (value === undefined) continue;
    if (value === null) masked[field] = null;
    else if (SECRET_FIELDS.has(field)) masked[field] = MASK;
    else if (field === 'headers') masked[field] = maskHeaders(value as Record<string, string>);
    else masked[field] = value;
  }
  return masked;
}
