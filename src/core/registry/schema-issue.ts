/** What is read of what zod has against a value; which members there are depends on `code`. */
interface SchemaIssue {
  code?: string;
  /** The value; absent in the issues of a union's choices. */
  input?: unknown;
  message?: string;
  expected?: string;
  values?: readonly unknown[];
  origin?: string;
  minimum?: number | bigint;
  maximum?: number | bigint;
  pattern?: string;
  divisor?: number;
  /** The issues of each choice of a union. */
  errors?: readonly (readonly SchemaIssue[])[];
}

/** What zod calls otherwise than people who write JSON. */
const PLAIN_WORDS: Record<string, string> = { record: 'object', int: 'whole number' };
const UNITS: Record<string, string> = { string: 'characters', array: 'items' };
const SHOWN_CHARACTERS = 40;

/**
 * The rule that a value breaks, in the words of this house: "expected …, found …", or "is required". It is the `error`
 * of every parse whose caller is told what is wrong, and speaks where a schema brings no words of its own. The value is
 * told by its kind or size; itself only where a number or one of some words was expected.
 * @param given an issue of zod, as it is raised.
 */
export function ruleOfIssue(given: object): string {
  const issue: SchemaIssue = given;
  if (issue.input === undefined) return `is required (expected ${expectedBy(issue)})`;
  // One choice of a union takes this kind of value and says what else is wrong.
  const said = issue.errors?.find((choice) => choice.every(({ code }) => !KIND_CODES.has(code)))?.[0]?.message;
  return said ?? `expected ${expectedBy(issue)}, found ${foundBy(issue)}`;
}

/** Another kind of value was expected, or another one of some. */
const KIND_CODES = new Set<string | undefined>(['invalid_type', 'invalid_value']);

function expectedBy(issue: SchemaIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return plainWord(issue.expected);
    case 'invalid_value':
      return issue.values?.length === 1 ? String(issue.values[0]) : `one of ${issue.values?.join(', ')}`;
    case 'too_small':
      return `at least ${String(issue.minimum)}${unitOf(issue)}`;
    case 'too_big':
      return `at most ${String(issue.maximum)}${unitOf(issue)}`;
    case 'not_multiple_of':
      return `a multiple of ${String(issue.divisor)}`;
    case 'invalid_format':
      return issue.pattern === undefined ? 'another form' : `text of the form ${issue.pattern}`;
    case 'invalid_union': {
      const choices = issue.errors?.flatMap(([first]) => (first === undefined ? [] : [expectedBy(first)])) ?? [];
      return [...new Set(choices)].join(' or ') || 'another value';
    }
    default:
      return 'another value';
  }
}

function foundBy({ code, input, expected, origin }: SchemaIssue): string {
  if (typeof input === 'number') {
    const isKindEnough = code === 'invalid_type' && expected !== 'int' && !Number.isNaN(input);
    return isKindEnough ? 'number' : String(input);
  }
  if (code === 'invalid_value' && typeof input === 'string') return JSON.stringify(input.slice(0, SHOWN_CHARACTERS));
  if (origin === 'string' && typeof input === 'string') return String(input.length);
  if (origin === 'array' && Array.isArray(input)) return String(input.length);
  return kindOf(input);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function plainWord(kind: string | undefined): string {
  return kind === undefined ? 'another kind of value' : (PLAIN_WORDS[kind] ?? kind);
}

function unitOf({ origin }: SchemaIssue): string {
  const unit = UNITS[origin ?? ''];
  return unit === undefined ? '' : ` ${unit}`;
}
