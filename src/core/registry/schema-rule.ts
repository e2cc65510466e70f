import { hasCode } from '../errors.js';
import type { FieldProblems } from '../field-problems.js';
import type { JsonObject } from '../model.js';
import type { SchemaCompiler } from '../ports.js';
import { SCHEMA_LENGTH } from './registry-limits.js';

interface SchemaField {
  path: string;
  schema: JsonObject | null;
}

/** Notes it when the JSON Schema of an event type is too long or does not compile; null is always right. */
export function expectSchema(problems: FieldProblems, field: SchemaField, compiler: SchemaCompiler): void {
  expectCompiling(problems, field, {
    compile: (schema) => compiler.compile(schema),
    expected: 'a valid JSON Schema',
  });
}

/** The same for a listener's filter, of which every part must count: one that is ignored would match every event. */
export function expectFilter(problems: FieldProblems, field: SchemaField, compiler: SchemaCompiler): void {
  expectCompiling(problems, field, {
    compile: (schema) => compiler.compileFilter(schema),
    expected: `a JSON Schema such as {"type":"object","required":["a"],"properties":{"a":{"const":1}}}`,
  });
}

interface SchemaUse {
  compile: (schema: JsonObject) => unknown;
  expected: string;
}

function expectCompiling(
  problems: FieldProblems,
  { path, schema }: SchemaField,
  { compile, expected }: SchemaUse,
): void {
  if (schema === null) return;
  try {
    const { length } = JSON.stringify(schema);
    problems.expect(
      length <= SCHEMA_LENGTH,
      path,
      `expected at most ${SCHEMA_LENGTH} characters of JSON, found ${length}`,
    );
    if (length <= SCHEMA_LENGTH) compile(schema);
  } catch (error) {
    if (error instanceof RangeError) problems.add(path, 'it is nested too deeply');
    else if (hasCode(error, 'INVALID_PARAM')) problems.add(path, `expected ${expected}: ${error.message}`);
    else throw error;
  }
}
