import type { Ajv } from 'ajv';
import type { JsonValue } from '../core/model.js';

/**
 * Replaces ajv's `uniqueItems`, which compares each item with each other (minutes for a payload of 1 MiB), by one that
 * looks each item up by its text with sorted names. Its time and memory are bounded by the size of the payload.
 */
export function addUniqueItems(ajv: Pick<Ajv, 'removeKeyword' | 'addKeyword'>): void {
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: (isWanted: boolean, items: JsonValue[]) => !isWanted || areUnique(items),
    errors: false,
    error: { message: 'must NOT have duplicate items' },
  });
}

function areUnique(items: JsonValue[]): boolean {
  const seen = new Set<string>();
  for (const item of items) {
    const text = JSON.stringify(item, withSortedNames);
    if (seen.has(text)) return false;
    seen.add(text);
  }
  return true;
}

function withSortedNames(_name: string, value: JsonValue): JsonValue {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
