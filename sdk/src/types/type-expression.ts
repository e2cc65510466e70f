/** A TypeScript type as text, and how it binds. */
export interface TypeExpression {
  text: string;
  kind: 'single' | 'union' | 'intersection';
}

export const UNKNOWN: TypeExpression = { text: 'unknown', kind: 'single' };
export const NEVER: TypeExpression = { text: 'never', kind: 'single' };

export function single(text: string): TypeExpression {
  return { text, kind: 'single' };
}

/** One of the types, each named once. */
export function unionOf(types: TypeExpression[]): TypeExpression {
  if (types.some(({ text }) => text === 'unknown')) return UNKNOWN;
  const members = distinct(types.filter(({ text }) => text !== 'never'));
  const [first] = members;
  if (first === undefined) return NEVER;
  if (members.length === 1) return first;
  const text = members.map((type) => (type.kind === 'intersection' ? `(${type.text})` : type.text)).join(' | ');
  return { text, kind: 'union' };
}

/** All of the types at once. */
export function intersectionOf(types: TypeExpression[]): TypeExpression {
  if (types.some(({ text }) => text === 'never')) return NEVER;
  const members = distinct(types.filter(({ text }) => text !== 'unknown'));
  const [first] = members;
  if (first === undefined) return UNKNOWN;
  if (members.length === 1) return first;
  return {
    text: members.map((type) => (type.kind === 'union' ? `(${type.text})` : type.text)).join(' & '),
    kind: 'intersection',
  };
}

export function arrayOf(item: TypeExpression): TypeExpression {
  return single(item.kind === 'single' ? `${item.text}[]` : `(${item.text})[]`);
}

/** A JSON value as the type that allows it alone. */
export function valueType(value: unknown, literalText: (text: string) => string): TypeExpression {
  if (typeof value === 'string') return single(literalText(value));
  if (Array.isArray(value)) return single(`[${value.map((item) => valueType(item, literalText).text).join(', ')}]`);
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(
      ([name, member]) => `${literalText(name)}: ${valueType(member, literalText).text}`,
    );
    return single(members.length === 0 ? '{ [key: string]: never }' : `{ ${members.join('; ')} }`);
  }
  return typeof value === 'number' || typeof value === 'boolean' || value === null ? single(String(value)) : UNKNOWN;
}

function distinct(types: TypeExpression[]): TypeExpression[] {
  const seen = new Set<string>();
  return types.filter(({ text }) => !seen.has(text) && seen.add(text));
}
