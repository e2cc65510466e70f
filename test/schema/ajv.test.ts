import type { JsonObject } from '../../src/core/model.js';
import { AjvSchemaCompiler } from '../../src/schema/ajv.js';

const compiler = new AjvSchemaCompiler();

describe('a JSON Schema', () => {
  it('says the first failing path and its rule', () => {
    const check = compiler.compile({
      type: 'object',
      required: ['id'],
      properties: { id: { type: 'string', format: 'uuid' }, lines: { items: { properties: { n: { minimum: 1 } } } } },
      additionalProperties: false,
    });
    expect(check({ id: '00000000-0000-4000-8000-000000000001', lines: [{ n: 1 }] })).toBeNull();
    expect(check({ id: '00000000-0000-4000-8000-000000000001', lines: [{ n: 1 }, { n: 0 }] })).toEqual({
      path: '/lines/1/n',
      message: 'must be >= 1',
    });
    expect(check({})).toEqual({ path: '', message: "must have required property 'id'" });
    expect(check({ id: 'x' })?.path).toBe('/id');
    expect(check({ id: '00000000-0000-4000-8000-000000000001', other: 1 })?.message).toContain('"other"');
    expect(check(null)).toEqual({ path: '', message: 'must be object' });
  });

  it('is draft 2020-12, and draft-07 by $schema', () => {
    const tuple = { prefixItems: [{ type: 'string' }] };
    expect(compiler.compile(tuple)([1])).not.toBeNull();
    for (const $schema of ['http://json-schema.org/draft-07/schema#', 'http://json-schema.org/draft-07/schema']) {
      expect(compiler.compile({ $schema, ...tuple })([1])).toBeNull();
      expect(compiler.compile({ $schema, items: [{ type: 'string' }] })([1])).not.toBeNull();
    }
    expect(compiler.compile({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...tuple })([1])).not.toBeNull();
  });

  it.each<[string, JsonObject, string]>([
    ['a wrong type', { properties: { a: { type: 'strin' } } }, 'schema/properties/a/type'],
    ['a wrong keyword value', { minLength: -1 }, 'schema/minLength'],
    ['a remote reference', { $ref: 'http://127.0.0.1:1/schema.json' }, 'schema'],
    ['a reference into nothing', { $ref: '#/$defs/nothing' }, 'schema'],
    ['a pattern that is no regular expression', { pattern: '(' }, 'schema'],
    ['another draft', { $schema: 'http://json-schema.org/draft-04/schema#' }, 'schema/$schema'],
    ['a draft that is no text', { $schema: 7 }, 'schema/$schema'],
    ['an asynchronous schema', { $async: true, type: 'object' }, 'schema/$async'],
  ])('is refused for %s, naming the place', (_name, schema, path) => {
    expect(() => compiler.compile(schema)).toThrow(
      expect.objectContaining({ code: 'INVALID_PARAM', fields: [expect.objectContaining({ path })] }),
    );
  });

  it('does not meet another schema with the same $id', () => {
    const one = compiler.compile({
      $id: 'http://example.com/a',
      $defs: { x: { $id: 'x', type: 'string' } },
      $ref: 'x',
    });
    const two = compiler.compile({
      $id: 'http://example.com/a',
      $defs: { x: { $id: 'x', type: 'number' } },
      $ref: 'x',
    });
    expect([one('a'), one(1), two('a'), two(1)].map((failure) => failure === null)).toEqual([true, false, false, true]);
  });

  it('is compiled once per text', () => {
    expect(compiler.compile({ type: 'string', minLength: 3 })).toBe(compiler.compile({ type: 'string', minLength: 3 }));
  });

  it('refuses a payload that is nested too deeply instead of breaking', () => {
    const check = compiler.compile({
      $defs: { node: { properties: { c: { $ref: '#/$defs/node' } } } },
      $ref: '#/$defs/node',
    });
    let deep: JsonObject = {};
    for (let i = 0; i < 200_000; i += 1) deep = { c: deep };
    expect(check(deep)).toEqual({ path: '', message: 'is nested too deeply' });
  });

  it('ignores keywords and formats that it does not know', () => {
    expect(compiler.compile({ format: 'colour', 'x-note': 1 })('a')).toBeNull();
  });
});
