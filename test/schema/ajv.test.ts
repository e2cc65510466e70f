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
    ['a pattern that is no regular expression', { pattern: '(' }, 'schema/pattern'],
    ['look-ahead', { properties: { 'a/b': { pattern: '^(?!x)' } } }, 'schema/properties/a~1b/pattern'],
    ['look-behind', { items: { pattern: '(?<=x)y' } }, 'schema/items/pattern'],
    ['a back reference', { patternProperties: { '(a)\\1': {} } }, 'schema/patternProperties/(a)\\1'],
    ['a back reference by name', { pattern: '(?<n>a)\\k<n>' }, 'schema/pattern'],
    ['half a surrogate pair in a pattern', { pattern: '\\ud83d\\ude00' }, 'schema/pattern'],
    ['a pattern with too many repeats', { pattern: '^(?:a?){1000}(?:b?){1000}(?:c?){1000}$' }, 'schema/pattern'],
    ['another draft', { $schema: 'http://json-schema.org/draft-04/schema#' }, 'schema/$schema'],
    ['a draft that is no text', { $schema: 7 }, 'schema/$schema'],
    ['an asynchronous schema', { $async: true, type: 'object' }, 'schema/$async'],
  ])('is refused for %s, naming the place', (_name, schema, path) => {
    expect(() => compiler.compile(schema)).toThrow(
      expect.objectContaining({ code: 'INVALID_PARAM', fields: [expect.objectContaining({ path })] }),
    );
  });

  it.each<[string, JsonObject, JsonObject]>([
    ['itself', {}, { $ref: '#' }],
    ['itself by its $id', { $id: 'http://example.com/s' }, { $ref: 'http://example.com/s' }],
    ['a definition', { $defs: { n: { $ref: '#' } } }, { $ref: '#/$defs/n' }],
    ['an anchor', { $defs: { n: { $anchor: 'here', $ref: '#' } } }, { $ref: '#here' }],
  ])('may be recursive by a reference to %s', (_name, whole, reference) => {
    const check = compiler.compile({ ...whole, type: 'object', properties: { child: reference } });
    expect(check({ child: { child: {} } })).toBeNull();
    expect(check({ child: { child: 1 } })).toEqual({ path: '/child/child', message: 'must be object' });
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

  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty'])(
    'counts only fields that a payload has itself, not %s, which every object inherits',
    (name) => {
      const own = JSON.parse(`{"${name}":1}`) as JsonObject;
      const requires = compiler.compile({ required: [name] });
      expect([requires({})?.message, requires(own)]).toEqual([`must have required property '${name}'`, null]);
      expect(compiler.compile({ properties: { [name]: { const: 1 } } })({})).toBeNull();
      const alone = compiler.compile({ required: ['a'], additionalProperties: false, properties: { a: true } });
      expect(alone(JSON.parse(`{"a":1,"${name}":1}`) as JsonObject)).not.toBeNull();
    },
  );

  it('ignores keywords and formats that it does not know', () => {
    expect(compiler.compile({ format: 'colour', 'x-note': 1 })('a')).toBeNull();
  });
});

describe('a check of a hostile payload', () => {
  const takesMs = (work: () => unknown): number => {
    const startedAt = performance.now();
    work();
    return performance.now() - startedAt;
  };

  it.each([
    ['nested repeats', '^(a+)+$'],
    ['overlapping alternatives', '^(a|aa)+$'],
    ['three repeats in a row', 'a*a*a*b$'],
  ])('takes time by its length only, with a pattern of %s', (_name, pattern) => {
    const check = compiler.compile({ pattern, propertyNames: { pattern }, patternProperties: { [pattern]: {} } });
    const text = `${'a'.repeat(100_000)}!`;
    expect(takesMs(() => expect(check(text)).toMatchObject({ path: '' }))).toBeLessThan(2_000);
    expect(takesMs(() => expect(check({ [text]: 1 })).not.toBeNull())).toBeLessThan(2_000);
  });

  it.each([
    ['url', `http://${':'.repeat(200_000)}`],
    ['uri', `a://${'%41'.repeat(60_000)}\\`],
    ['uri-reference', `//${'a:'.repeat(100_000)}\\`],
    ['uri-template', '{a'.repeat(100_000)],
    ['email', `a@${'a-'.repeat(100_000)}`],
    ['duration', `P${'1'.repeat(200_000)}`],
    ['date-time', 'T'.repeat(200_000)],
  ])('takes time by its length only, with the format %s', (format, text) => {
    const check = compiler.compile({ format });
    expect(takesMs(() => expect(check(text)).not.toBeNull())).toBeLessThan(2_000);
  });

  it('takes time by its length only, with unique items', () => {
    const check = compiler.compile({ uniqueItems: true });
    const items = Array.from({ length: 100_000 }, (_, n) => [n]);
    expect(takesMs(() => expect(check(items)).toBeNull())).toBeLessThan(2_000);
  });
});

describe('unique items', () => {
  const check = compiler.compile({ uniqueItems: true });

  it.each([
    [[1, '1', true, null, [], {}, [1], { a: 1 }, { a: '1' }, 'null'], true],
    [[1, 2, 1.0], false],
    [[0, -0], false],
    [
      [
        { a: 1, b: [{ c: 1, d: 2 }] },
        { b: [{ d: 2, c: 1 }], a: 1 },
      ],
      false,
    ],
    [
      [
        [1, 2],
        [2, 1],
      ],
      true,
    ],
  ])('are those of %j: %p', (items, expected) => {
    expect(check(items) === null).toBe(expected);
  });

  it('are not asked for by false', () => {
    expect(compiler.compile({ uniqueItems: false })([1, 1])).toBeNull();
  });
});

describe('a pattern', () => {
  it.each([
    ['^[\\u4e00-\\u9fa5]{2}$', '测试', 'abc'],
    ['^\\d{4}-\\d{2}$', '2024-01', '2024-1'],
    ['^[^@\\s]+@[^@\\s]+\\.[a-z]+$', 'a@b.cn', 'a b'],
    ['^.$', '😀', 'ab'],
    ['^(?<year>\\d+)\\/$', '1/', '/'],
    ['^\\p{Lu}', 'Éa', 'éa'],
  ])('%s matches %s and not %s', (pattern, good, bad) => {
    const check = compiler.compile({ pattern });
    expect([check(good), check(bad)]).toEqual([null, { path: '', message: `must match pattern "${pattern}"` }]);
  });
});

describe('a filter', () => {
  it.each<[string, JsonObject]>([
    ['an equality', { a: 1 }],
    ['a path', { 'a.b': 1 }],
    ['a misspelt keyword deep inside', { properties: { a: { not: { anyOf: [{ cosnt: 1 }] } } } }],
    ['a misspelt keyword in a definition', { $ref: '#/$defs/x', $defs: { x: { minimun: 1 } } }],
    ['a keyword of another draft', { $schema: 'http://json-schema.org/draft-07/schema#', prefixItems: [] }],
    ['an unknown format', { format: 'colour' }],
  ])('is refused for %s, which would match everything', (_name, filter) => {
    expect(() => compiler.compileFilter(filter)).toThrow(expect.objectContaining({ code: 'INVALID_PARAM' }));
    expect(() => compiler.compile(filter)).not.toThrow();
  });

  it('may have every keyword of JSON Schema', () => {
    const filter = {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'http://example.com/filter',
      $comment: 'c',
      title: 't',
      description: 'd',
      examples: [{ a: 1 }],
      type: 'object',
      properties: { a: { $ref: '#/$defs/n' }, list: { type: 'array', items: true, uniqueItems: true }, cosnt: true },
      required: ['a'],
      if: { required: ['b'] },
      then: { minProperties: 2 },
      dependentRequired: { b: ['a'] },
      unevaluatedProperties: false,
      $defs: { n: { enum: [1, 2], default: 1, deprecated: true } },
    };
    expect(compiler.compileFilter(filter)({ a: 1 })).toBeNull();
    expect(compiler.compileFilter(filter)({ a: 3 })).not.toBeNull();
  });
});
