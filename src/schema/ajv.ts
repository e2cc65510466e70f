import { Ajv, type Options } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormatsModule from 'ajv-formats';
import { EventCenterError } from '../core/errors.js';
import type { JsonObject, JsonValue } from '../core/model.js';
import type { SchemaCheck, SchemaCompiler } from '../core/ports.js';
import { linearRegExp, PatternError } from './linear-reg-exp.js';
import { addUniqueItems } from './unique-items.js';

/** Compiled checks that are kept; beyond, the oldest is compiled again when it is needed. */
const CACHE_SIZE = 2_000;

const DRAFTS = new Map([
  ['https://json-schema.org/draft/2020-12/schema', Ajv2020],
  ['http://json-schema.org/draft-07/schema', Ajv],
]);

// ajv-formats is CommonJS whose default export is a member for one module system and the module for the other.
const addFormats = 'default' in addFormatsModule ? addFormatsModule.default : addFormatsModule;

/**
 * JSON Schema by ajv: draft 2020-12, or draft-07 by `$schema`. Nothing is ever fetched: a `$ref` must stay within its
 * schema. Patterns run in linear time. Unknown keywords and formats of an event type's schema are ignored, as the
 * standard says; a filter may have none. Checks are kept by the schema's text.
 */
export class AjvSchemaCompiler implements SchemaCompiler {
  readonly #checks = new Map<string, SchemaCheck>();
  /** One validator of schemas per draft; made when first needed, because it costs 30 ms. */
  readonly #metaValidators = new Map<typeof Ajv | typeof Ajv2020, Ajv | Ajv2020>();

  /** @throws INVALID_PARAM naming the place in the schema (JSON pointer) and the rule. */
  compile(schema: JsonObject): SchemaCheck {
    const text = JSON.stringify(schema);
    const known = this.#checks.get(text);
    if (known !== undefined) return known;
    const check = this.#compile(schema);
    const oldest = this.#checks.size >= CACHE_SIZE ? this.#checks.keys().next() : undefined;
    if (oldest?.done === false) this.#checks.delete(oldest.value);
    this.#checks.set(text, check);
    return check;
  }

  /** @throws INVALID_PARAM as `compile` does, and for what would be ignored, such as a keyword that does not exist. */
  compileFilter(filter: JsonObject): SchemaCheck {
    return this.#compile(filter, { strictSchema: true });
  }

  #compile(schema: JsonObject, options: Options = {}): SchemaCheck {
    const Draft = draftOf(schema);
    // ajv would make the check asynchronous, and a promise counts as valid.
    if ('$async' in schema) throw invalidSchema('/$async', 'is not supported');
    this.#refuseInvalid(schema, Draft);
    // A fresh instance per schema, so that the `$id`s of two schemas cannot meet.
    const ajv = newValidator(Draft, { meta: false, validateSchema: false, ...options });
    try {
      const validate = ajv.compile(schema);
      return (value: JsonValue) => {
        try {
          return validate(value) ? null : describe(validate.errors?.[0]);
        } catch (error) {
          // A recursive schema on a payload of many thousand levels.
          if (error instanceof RangeError) return { path: '', message: 'is nested too deeply' };
          throw error;
        }
      };
    } catch (error) {
      if (error instanceof PatternError) throw invalidSchema(placeOf(error.pattern, schema) ?? '', error.message);
      throw invalidSchema('', compileProblem(error));
    }
  }

  #refuseInvalid(schema: JsonObject, Draft: typeof Ajv | typeof Ajv2020): void {
    let validator = this.#metaValidators.get(Draft);
    if (validator === undefined) {
      validator = newValidator(Draft);
      this.#metaValidators.set(Draft, validator);
    }
    if (validator.validateSchema(schema) === true) return;
    const error = validator.errors?.[0];
    throw invalidSchema(error?.instancePath ?? '', describe(error).message);
  }
}

function newValidator(Draft: typeof Ajv | typeof Ajv2020, options: Options = {}): Ajv | Ajv2020 {
  // Only a payload's own fields count: every object inherits a `constructor`.
  const ajv = new Draft({
    strict: false,
    logger: false,
    ownProperties: true,
    code: { regExp: linearRegExp },
    ...options,
  });
  addFormats(ajv);
  ajv.addFormat('url', isUrl);
  addUniqueItems(ajv);
  return ajv;
}

/** The expression of ajv-formats, the only one there whose time grows with the square of the length, took minutes. */
function isUrl(text: string): boolean {
  return /^(?:https?|ftp):\/\/\S+$/i.test(text) && isParsable(text);
}

/** `URL.canParse` is newer than Node 18.0, where the SDK runs this too. */
function isParsable(url: string): boolean {
  try {
    return new URL(url).href !== '';
  } catch {
    return false;
  }
}

function draftOf(schema: JsonObject): typeof Ajv | typeof Ajv2020 {
  const id = schema['$schema'];
  if (id === undefined) return Ajv2020;
  const draft = typeof id === 'string' ? DRAFTS.get(id.replace(/#$/, '')) : undefined;
  if (draft === undefined) throw invalidSchema('/$schema', `expected one of ${[...DRAFTS.keys()].join(', ')}`);
  return draft;
}

interface AjvError {
  instancePath: string;
  keyword: string;
  params: Record<string, unknown>;
  message?: string;
}

function describe(error: AjvError | undefined): { path: string; message: string } {
  if (error === undefined) return { path: '', message: 'does not satisfy the schema' };
  const detail = DETAIL_OF_KEYWORD[error.keyword];
  const suffix = detail === undefined ? '' : `: ${JSON.stringify(error.params[detail]).slice(0, DETAIL_LENGTH)}`;
  return { path: error.instancePath, message: `${error.message ?? error.keyword}${suffix}` };
}

/** How much of a detail a message repeats. */
const DETAIL_LENGTH = 200;

/** Parameters of ajv's errors without which its message leaves the question open. */
const DETAIL_OF_KEYWORD: Record<string, string> = {
  additionalProperties: 'additionalProperty',
  unevaluatedProperties: 'unevaluatedProperty',
  enum: 'allowedValues',
  const: 'allowedValue',
};

function compileProblem(error: unknown): string {
  if (!(error instanceof Error)) return 'cannot be compiled';
  if (error.constructor.name === 'MissingRefError')
    return `${error.message}: expected a $ref to a place within the schema`;
  return error.message.replace('strict mode: ', '');
}

/** JSON pointer of the first `pattern`, or name below `patternProperties`, that is `pattern`. */
function placeOf(pattern: string, value: JsonValue, path = ''): string | null {
  if (typeof value !== 'object' || value === null) return null;
  for (const [name, member] of Object.entries(value)) {
    const at = `${path}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const isHere =
      (name === 'pattern' && member === pattern) || (name === pattern && path.endsWith('/patternProperties'));
    const place = isHere ? at : placeOf(pattern, member, at);
    if (place !== null) return place;
  }
  return null;
}

function invalidSchema(path: string, rule: string): EventCenterError {
  const place = path === '' ? 'the schema' : `the schema at ${path}`;
  return new EventCenterError('INVALID_PARAM', `${place}: ${rule}`, {
    fields: [{ path: `schema${path}`, message: rule }],
  });
}
