import type { JsonObject, JsonValue } from '../model.js';

/** Checks a JSON value; null when it satisfies the schema, else the first failing path (JSON pointer) and the rule. */
export type SchemaCheck = (value: JsonValue) => { path: string; message: string } | null;

export interface SchemaCompiler {
  /** @throws INVALID_PARAM when `schema` is not a valid JSON Schema (draft 2020-12, or draft-07 by `$schema`), or has a pattern that cannot run in linear time. */
  compile(schema: JsonObject): SchemaCheck;
  /** The same for a listener's filter. @throws INVALID_PARAM also when a part of it would be ignored and match everything. */
  compileFilter(filter: JsonObject): SchemaCheck;
}
