import { hasCode } from './errors.js';
import type { FieldProblems } from './field-problems.js';
import type { JsonObject } from './model.js';
import type { SchemaCompiler } from './ports.js';
import { SCHEMA_LENGTH } from './registry-limits.js';

/** Notes it when a JSON Schema is too long or does not compile; null is always right. */
export function expectSchema(
  problems: FieldProblems,
  field: { path: string; schema: JsonObject | null },
  compiler: SchemaCompiler,
): void {
  const { path, schema } = field;
  if (schema === null) return;
  try {
    const { length } = JSON.stringify(schema);
    problems.expect(
      length <= SCHEMA_LENGTH,
      path,
      `expected at most ${SCHEMA_LENGTH} characters of JSON, found ${length}`,
    );
    if (length <= SCHEMA_LENGTH) compiler.compile(schema);
  } catch (error) {
    if (error instanceof RangeError) problems.add(path, 'it is nested too deeply');
    else if (hasCode(error, 'INVALID_PARAM')) problems.add(path, `expected a valid JSON Schema: ${error.message}`);
    else throw error;
  }
}
