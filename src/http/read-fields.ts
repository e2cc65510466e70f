import type { z } from 'zod';
import type { FieldError } from '../core/errors.js';
import { ruleOfIssue } from '../core/schema-issue.js';

interface Reading {
  /** Gets what is wrong. */
  fields: FieldError[];
  /** The path of the whole. */
  root: string;
  fixedFields: Record<string, string>;
}

/** What `schema` makes of `value`, or null after what is wrong was added to `fields`, named as the caller wrote it. */
export function readFields<T extends z.ZodType>(schema: T, value: unknown, reading: Reading): z.output<T> | null {
  const parsed = schema.safeParse(value, { error: ruleOfIssue });
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) reading.fields.push(...fieldsOf(issue, reading));
  return null;
}

function fieldsOf(issue: z.core.$ZodIssue, { root, fixedFields }: Reading): FieldError[] {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: [...path, key].join('.'),
      message:
        (path.length === 0 && Object.hasOwn(fixedFields, key) ? fixedFields[key] : null) ?? 'there is no such field',
    }));
  }
  return [{ path: path.length === 0 ? root : path.join('.'), message: issue.message }];
}
