import type { z } from 'zod';
import { MOST_FIELDS, type FieldError } from '../core/errors.js';
import { ruleOfIssue } from '../core/registry/schema-issue.js';

/** Of the name of a field that nobody knows, so much is repeated. */
const MOST_NAME_CHARACTERS = 200;

interface Reading {
  /** Gets what is wrong. */
  fields: FieldError[];
  /** The path of the whole. */
  root: string;
  fixedFields: Record<string, string>;
}

/**
 * What of a refused `value` is right by `schema`: unknown fields are left out, and what is wrong is undefined, an array as
 * a whole. Null when the value is no object.
 */
export function rightFields(schema: z.ZodType, value: unknown): Record<string, unknown> | null {
  if (!isObject(value)) return null;
  const right = structuredClone(value);
  for (const { path, ...issue } of schema.safeParse(value).error?.issues ?? []) {
    if (issue.code === 'unrecognized_keys') removeAt(right, path, issue.keys);
    else clearAt(right, path);
  }
  return right;
}

function removeAt(right: Record<string, unknown>, path: PropertyKey[], keys: string[]): void {
  const parent = path.reduce<unknown>((at, name) => (isObject(at) ? at[String(name)] : undefined), right);
  if (isObject(parent)) for (const key of keys) Reflect.deleteProperty(parent, key);
  else clearAt(right, path);
}

/** Clears the innermost field on the way to `path`. */
function clearAt(right: Record<string, unknown>, path: PropertyKey[]): void {
  let parent = right;
  for (const [index, name] of path.map(String).entries()) {
    const next = parent[name];
    if (index === path.length - 1 || !isObject(next)) {
      parent[name] = undefined;
      return;
    }
    parent = next;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * What `schema` makes of `value`, or null after what is wrong was added to `fields`, named as the caller wrote it; not much
 * more than an answer names.
 */
export function readFields<T extends z.ZodType>(schema: T, value: unknown, reading: Reading): z.output<T> | null {
  const parsed = schema.safeParse(value, { error: ruleOfIssue });
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    if (reading.fields.length > MOST_FIELDS) break;
    reading.fields.push(...fieldsOf(issue, reading));
  }
  return null;
}

function fieldsOf(issue: z.core.$ZodIssue, { root, fixedFields }: Reading): FieldError[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MOST_FIELDS + 1).map((key) => ({
      path: [...path, shortened(key)].join('.'),
      message:
        (path.length === 0 && Object.hasOwn(fixedFields, key) ? fixedFields[key] : null) ?? 'there is no such field',
    }));
  }
  return [{ path: path.length === 0 ? root : path.join('.'), message: issue.message }];
}

function shortened(name: string): string {
  return name.length <= MOST_NAME_CHARACTERS ? name : `${name.slice(0, MOST_NAME_CHARACTERS)}…`;
}
