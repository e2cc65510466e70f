/** A JSON Schema: an object, or a boolean that allows everything or nothing. */
export type Schema = boolean | SchemaObject;
export type SchemaObject = Readonly<Record<string, unknown>>;

export function isSchema(value: unknown): value is Schema {
  return typeof value === 'boolean' || isSchemaObject(value);
}

export function isSchemaObject(value: unknown): value is SchemaObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * What a `$ref` within its own document means: `#`, `#/a/json/pointer` (RFC 6901) or `#anchor`.
 * @returns null for anything else, such as a reference to another document.
 */
export function resolveRef(root: SchemaObject, ref: string): { schema: Schema; name: string } | null {
  if (!ref.startsWith('#')) return null;
  const fragment = decoded(ref.slice(1));
  if (fragment === null) return null;
  if (fragment === '') return { schema: root, name: '' };
  if (!fragment.startsWith('/')) {
    const anchored = findAnchor(root, fragment, 0);
    return anchored === null ? null : { schema: anchored, name: fragment };
  }
  const keys = fragment
    .slice(1)
    .split('/')
    .map((key) => key.replace(/~1/g, '/').replace(/~0/g, '~'));
  let at: unknown = root;
  for (const key of keys) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return null;
    at = (at as Record<string, unknown>)[key];
  }
  return isSchema(at) ? { schema: at, name: keys.at(-1) ?? '' } : null;
}

const DEEPEST = 100;

function findAnchor(value: unknown, anchor: string, depth: number): SchemaObject | null {
  if (typeof value !== 'object' || value === null || depth > DEEPEST) return null;
  if (isSchemaObject(value) && value['$anchor'] === anchor) return value;
  for (const member of Object.values(value)) {
    const found = findAnchor(member, anchor, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
