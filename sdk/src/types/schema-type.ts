import { isSchema, isSchemaObject, resolveRef } from './schema-pointer.js';
import type { Schema, SchemaObject } from './schema-pointer.js';
import { arrayOf, intersectionOf, NEVER, single, unionOf, UNKNOWN, valueType } from './type-expression.js';
import type { TypeExpression } from './type-expression.js';
import type { TypeNames } from './type-names.js';
import { comment, literalText, propertyName } from './type-text.js';

/** Where a type stands: how far it is indented, and whether what is named here is needed to know the type at all. */
interface Place {
  indent: string;
  /** The named type that begins here; null inside of an object or array, where it may refer to itself. */
  directlyIn: string | null;
}

const SCALARS: Record<string, string> = {
  string: 'string',
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
  null: 'null',
};
const OBJECT_WORDS = ['properties', 'required', 'additionalProperties', 'patternProperties', 'unevaluatedProperties'];
const ARRAY_WORDS = ['items', 'prefixItems', 'additionalItems'];

/**
 * The TypeScript types of one JSON Schema (draft 2020-12, and what draft-07 writes otherwise). What types cannot say
 * (patterns, ranges, `not`, `if`) is left to the centre, which checks every payload; what stands elsewhere is `unknown`.
 */
export class SchemaTypes {
  readonly #root: SchemaObject;
  readonly #rootName: string;
  readonly #names: TypeNames;
  readonly #nameOfRef = new Map<Schema, string>();
  /** Named types by name, in the order in which they were needed. */
  readonly #declarations = new Map<string, string>();
  /** Which named types a named type is made of, objects and arrays aside. */
  readonly #parts = new Map<string, Set<string>>();

  constructor(root: SchemaObject, rootName: string, names: TypeNames) {
    this.#root = root;
    this.#rootName = rootName;
    this.#names = names;
    this.#nameOfRef.set(root, rootName);
  }

  /** The declaration of the schema itself under its name, then those of what it refers to. */
  declarations(header: string[]): string[] {
    this.#declare(this.#rootName, this.#root, header);
    return [...this.#declarations.values()];
  }

  #declare(name: string, schema: Schema, header: string[]): void {
    this.#declarations.set(name, '');
    const type = this.#type(schema, { indent: '', directlyIn: name });
    const doc = comment([...header, ...notesOf(schema)], '');
    const isObject = type.kind === 'single' && type.text.startsWith('{\n') && type.text.endsWith('}');
    const text = isObject ? `export interface ${name} ${type.text}` : `export type ${name} = ${type.text};`;
    this.#declarations.set(name, `${doc}${text}\n`);
  }

  #type(schema: Schema, place: Place): TypeExpression {
    if (schema === true) return UNKNOWN;
    if (schema === false) return NEVER;
    const all: TypeExpression[] = [];
    if (typeof schema['$ref'] === 'string') all.push(this.#reference(schema['$ref'], place));
    if (Array.isArray(schema['enum'])) all.push(unionOf(schema['enum'].map((value) => valueType(value, literalText))));
    else if (Object.hasOwn(schema, 'const')) all.push(valueType(schema['const'], literalText));
    else all.push(this.#typed(schema, place));
    for (const word of ['anyOf', 'oneOf']) {
      const schemas = schemasIn(schema[word]);
      if (schemas.length > 0) all.push(unionOf(schemas.map((one) => this.#type(one, place))));
    }
    all.push(...schemasIn(schema['allOf']).map((one) => this.#type(one, place)));
    const type = intersectionOf(all);
    return schema['nullable'] === true && type !== UNKNOWN ? unionOf([type, single('null')]) : type;
  }

  #typed(schema: SchemaObject, place: Place): TypeExpression {
    const given = schema['type'];
    const types = Array.isArray(given) ? given : given === undefined ? impliedTypes(schema) : [given];
    if (types.length === 0) return UNKNOWN;
    return unionOf(
      types.map((type) => {
        if (type === 'object') return this.#object(schema, place);
        if (type === 'array') return this.#array(schema, place);
        const scalar = typeof type === 'string' && Object.hasOwn(SCALARS, type) ? SCALARS[type] : undefined;
        return scalar === undefined ? UNKNOWN : single(scalar);
      }),
    );
  }

  #reference(ref: string, place: Place): TypeExpression {
    const found = resolveRef(this.#root, ref);
    if (found === null) return UNKNOWN;
    if (typeof found.schema === 'boolean') return this.#type(found.schema, place);
    let name = this.#nameOfRef.get(found.schema);
    if (name === undefined) {
      name = this.#names.take(this.#rootName, found.name);
      this.#nameOfRef.set(found.schema, name);
    }
    // Before it is declared: what it is made of may lead back here.
    if (place.directlyIn !== null && !this.#noteParts(place.directlyIn, name)) return UNKNOWN;
    if (!this.#declarations.has(name)) this.#declare(name, found.schema, []);
    return single(name);
  }

  /** False when the type would be made of itself, which a schema may say and which means nothing. */
  #noteParts(whole: string, part: string): boolean {
    if (whole === part || this.#isMadeOf(part, whole)) return false;
    this.#parts.set(whole, (this.#parts.get(whole) ?? new Set()).add(part));
    return true;
  }

  #isMadeOf(whole: string, part: string, seen = new Set<string>()): boolean {
    if (seen.has(whole)) return false;
    seen.add(whole);
    const parts = [...(this.#parts.get(whole) ?? [])];
    return parts.some((name) => name === part || this.#isMadeOf(name, part, seen));
  }

  #object(schema: SchemaObject, { indent }: Place): TypeExpression {
    const inside = { indent: `${indent}  `, directlyIn: null };
    const properties = Object.entries(isSchemaObject(schema['properties']) ? schema['properties'] : {});
    const required = new Set(
      Array.isArray(schema['required']) ? schema['required'].filter((name) => typeof name === 'string') : [],
    );
    const named = new Set(properties.map(([name]) => name));
    for (const name of required) if (!named.has(name)) properties.push([name, true]);
    const someOptional = properties.some(([name]) => !required.has(name));
    const types: TypeExpression[] = [];
    const lines = properties.map(([name, given]) => {
      const member = isSchema(given) ? given : true;
      const type = this.#type(member, inside);
      const isOptional = !required.has(name);
      types.push(type);
      return `${comment(notesOf(member), inside.indent)}${inside.indent}${propertyName(name)}${isOptional ? '?' : ''}: ${type.text};\n`;
    });
    const others = this.#otherProperties(schema, { inside, isEmpty: lines.length === 0 });
    if (others !== null) {
      // An index type must allow what the named properties allow.
      const index = unionOf([others, ...types, ...(someOptional ? [single('undefined')] : [])]);
      lines.push(`${inside.indent}[key: string]: ${index.text};\n`);
    }
    return single(`{\n${lines.join('')}${indent}}`);
  }

  /** The type of the properties that are not named; null when the type says nothing of them. */
  #otherProperties(
    schema: SchemaObject,
    { inside, isEmpty }: { inside: Place; isEmpty: boolean },
  ): TypeExpression | null {
    const patterns = Object.values(isSchemaObject(schema['patternProperties']) ? schema['patternProperties'] : {});
    const others = schema['additionalProperties'] ?? schema['unevaluatedProperties'];
    const types = patterns.filter(isSchema).map((pattern) => this.#type(pattern, inside));
    if (isSchema(others) && others !== false) types.push(this.#type(others, inside));
    if (types.length > 0) return others === undefined && patterns.length > 0 ? UNKNOWN : unionOf(types);
    if (!isEmpty) return null;
    return others === false ? NEVER : UNKNOWN;
  }

  #array(schema: SchemaObject, { indent }: Place): TypeExpression {
    const inside = { indent, directlyIn: null };
    const isOld = Array.isArray(schema['items']);
    const items = isOld ? schemasIn(schema['items']) : schemasIn(schema['prefixItems']);
    const rest = isOld ? schema['additionalItems'] : schema['items'];
    const restType = isSchema(rest) ? this.#type(rest, inside) : UNKNOWN;
    if (items.length === 0) return arrayOf(restType);
    const fewest = typeof schema['minItems'] === 'number' ? schema['minItems'] : 0;
    const most = typeof schema['maxItems'] === 'number' ? schema['maxItems'] : Number.POSITIVE_INFINITY;
    const members = items.slice(0, most).map((item, index) => {
      const type = this.#type(item, inside);
      if (index < fewest) return type.text;
      return type.kind === 'single' ? `${type.text}?` : `(${type.text})?`;
    });
    if (most > items.length && restType.text !== 'never') members.push(`...${arrayOf(restType).text}`);
    return single(`[${members.join(', ')}]`);
  }
}

/** A schema without `type` that speaks of properties or items means objects or arrays. */
function impliedTypes(schema: SchemaObject): string[] {
  const speaksOf = (words: string[]): boolean => words.some((word) => Object.hasOwn(schema, word));
  return [...(speaksOf(OBJECT_WORDS) ? ['object'] : []), ...(speaksOf(ARRAY_WORDS) ? ['array'] : [])];
}

function schemasIn(value: unknown): Schema[] {
  return Array.isArray(value) ? value.filter(isSchema) : [];
}

/** What a schema says that a type cannot. */
function notesOf(schema: Schema): string[] {
  if (typeof schema === 'boolean') return [];
  const texts = [schema['title'], schema['description']].filter((text) => typeof text === 'string');
  if (typeof schema['format'] === 'string') texts.push(`Format: ${schema['format']}`);
  if (schema['deprecated'] === true) texts.push('@deprecated');
  return texts;
}
