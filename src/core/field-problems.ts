import { hasCode, invalidFields, type FieldError } from './errors.js';

/** Collects all fields that are wrong, so that one answer names them all. */
export class FieldProblems {
  readonly #fields: FieldError[] = [];

  /** Notes that the field at `path` does not satisfy `rule`. */
  add(path: string, rule: string): void {
    this.#fields.push({ path, message: rule });
  }

  /** Notes `rule` unless it is satisfied. */
  expect(satisfied: boolean, path: string, rule: string): void {
    if (!satisfied) this.add(path, rule);
  }

  /** @throws INVALID_PARAM naming every field noted so far. */
  throwIfAny(): void {
    if (this.#fields.length > 0) throw invalidFields(this.#fields);
  }
}

/** The fields that `check` refuses; none when it passes. Other errors than INVALID_PARAM are thrown on. */
export function rulesBrokenIn(check: () => void): FieldError[] {
  try {
    check();
    return [];
  } catch (error) {
    if (hasCode(error, 'INVALID_PARAM')) return error.fields;
    throw error;
  }
}

/** What a text must be; lengths are in characters (code points), as in the columns of the database. */
export interface TextRule {
  min?: number;
  max: number;
  /** Line breaks and tabs are allowed. */
  multiline?: boolean;
  /** Neither begins nor ends with white space, because it is compared with what senders write. */
  code?: boolean;
}

// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f]/;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL_BUT_LINES = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/;

/** Notes it when `text` does not satisfy `rule`; null is always right. */
export function expectText(
  problems: FieldProblems,
  field: { path: string; text: string | null },
  rule: TextRule,
): void {
  const { path, text } = field;
  if (text === null) return;
  const { min = 1, max } = rule;
  const length = text.length > 2 * max ? text.length : [...text].length;
  problems.expect(length >= min && length <= max, path, `expected ${min} to ${max} characters, found ${length}`);
  problems.expect(
    !(rule.multiline === true ? CONTROL_BUT_LINES : CONTROL).test(text),
    path,
    'expected no control characters',
  );
  if (rule.code === true)
    problems.expect(text === text.trim(), path, 'expected no white space at its beginning or end');
}

/** Notes it when `value` is no whole number of `min` to `max`; null is always right. */
export function expectWhole(
  problems: FieldProblems,
  field: { path: string; value: number | null },
  range: { min: number; max: number },
): void {
  const { path, value } = field;
  if (value === null) return;
  const { min, max } = range;
  const satisfied = Number.isSafeInteger(value) && value >= min && value <= max;
  problems.expect(satisfied, path, `expected a whole number from ${min} to ${max}, found ${value}`);
}
