import { z } from 'zod';
import { invalidField, invalidFields, type FieldError } from '../../core/errors.js';
import { ruleOfIssue } from '../../core/registry/schema-issue.js';

/** Leases in a call. */
export const MAX_LEASES = 100;

const MAX_PROBLEMS = 20;

/** The id of something of ours, as JSON text carries it. */
export const uuid = z
  .string('expected a UUID')
  .regex(/^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/, 'expected a UUID')
  .toLowerCase();

/**
 * A whole number in a field; `absent` when it is not there.
 * @throws INVALID_PARAM naming the field and its bounds.
 */
export function wholeNumber<T>(
  fields: ReadonlyMap<string, string>,
  name: string,
  of: { min: number; max: number; absent: T },
): number | T {
  const text = fields.get(name);
  if (text === undefined) return of.absent;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  if (value >= of.min && value <= of.max) return value;
  throw invalidField(name, `expected a whole number from ${String(of.min)} to ${String(of.max)}`);
}

/** @throws INVALID_PARAM naming the field when it is absent. */
export function required<T>(name: string, value: T | null): T {
  if (value === null) throw invalidField(name, 'is required');
  return value;
}

/**
 * What a field's JSON text holds.
 * @throws INVALID_PARAM naming what is wrong, such as `leases[3].results[0].listenerId`.
 */
export function jsonField<T extends z.ZodType>(
  fields: ReadonlyMap<string, string>,
  name: string,
  schema: T,
): z.output<T> {
  const parsed = schema.safeParse(parse(name, required(name, fields.get(name) ?? null)), { error: ruleOfIssue });
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue): FieldError => ({
    path: name + issue.path.map(pathPart).join(''),
    message: issue.message,
  }));
  throw invalidFields(problems.slice(0, MAX_PROBLEMS));
}

/** @throws INVALID_PARAM at the first id that stands twice. */
export function expectEachOnce(ids: string[], pathOf: (index: number) => string): void {
  const seen = new Set<string>();
  ids.forEach((id, index) => {
    if (seen.has(id)) throw invalidField(pathOf(index), 'expected each lease once');
    seen.add(id);
  });
}

function parse(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidField(name, 'expected JSON text');
  }
}

function pathPart(part: PropertyKey): string {
  return typeof part === 'number' ? `[${String(part)}]` : `.${String(part)}`;
}
