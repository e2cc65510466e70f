import fc from 'fast-check';
import { eventsFile, type DescribedEventType } from '../../src/types/events-file.js';
import { compile } from './compile.js';

function aType(schema: unknown, fields: Partial<DescribedEventType> = {}): DescribedEventType {
  const names = { sourceName: null, eventTypeName: null, note: null };
  return { sourceId: 'ERP', eventTypeCode: 'ORDER', ...names, schema, ...fields };
}

/** The type of a schema on one line, as it stands behind its name. */
function typeOf(schema: unknown): string {
  const text = eventsFile([aType(schema)]);
  const found = /export (?:type ErpOrder =|interface ErpOrder) ([\s\S]*?);?\n(?:\n|$)/.exec(text)![1]!;
  return found.replace(/\s+/g, ' ');
}

/** What the compiler says of a use of `Events`, one line for each statement. */
function usesOf(types: DescribedEventType[], ...lines: string[]): string[] {
  const use = `import type { Events } from './events.js';\n${lines.join('\n')}\n`;
  return compile({ 'events.d.ts': eventsFile(types), 'use.ts': use });
}

describe('a type of a schema', () => {
  const CASES: [schema: unknown, type: string][] = [
    [null, 'unknown'],
    [true, 'unknown'],
    [false, 'never'],
    [{}, 'unknown'],
    [{ type: 'string' }, 'string'],
    [{ type: 'integer' }, 'number'],
    [{ type: ['string', 'null'] }, 'string | null'],
    [{ type: 'string', nullable: true }, 'string | null'],
    [{ type: 'nonsense' }, 'unknown'],
    [{ const: "it's" }, "'it\\'s'"],
    [{ enum: ['a', 1, -2.5, true, null] }, "'a' | 1 | -2.5 | true | null"],
    [{ const: { a: [1, 'x'] } }, "{ 'a': [1, 'x'] }"],
    [{ enum: [] }, 'never'],
    [{ type: 'array' }, 'unknown[]'],
    [{ type: 'array', items: { type: ['string', 'null'] } }, '(string | null)[]'],
    [{ prefixItems: [{ type: 'string' }, { type: 'number' }], items: false, minItems: 1 }, '[string, number?]'],
    [{ prefixItems: [{ type: 'string' }], minItems: 1 }, '[string, ...unknown[]]'],
    [{ items: [{ type: 'string' }], additionalItems: { type: 'number' }, minItems: 1 }, '[string, ...number[]]'],
    [{ items: [{ type: 'string' }], maxItems: 1, minItems: 1 }, '[string]'],
    [{ oneOf: [{ type: 'string' }, { type: 'number' }, { type: 'string' }] }, 'string | number'],
    [{ allOf: [{ $ref: '#/nowhere' }, { type: 'string' }] }, 'string'],
    [{ $ref: 'https://example.com/other.json' }, 'unknown'],
    [{ type: 'object' }, '{ [key: string]: unknown; }'],
    [{ type: 'object', additionalProperties: false }, '{ [key: string]: never; }'],
    [{ additionalProperties: { type: 'number' } }, '{ [key: string]: number; }'],
    [{ properties: { a: { type: 'string' } }, required: ['a', 'b'] }, '{ a: string; b: unknown; }'],
    [{ properties: { a: { type: 'string' } }, additionalProperties: true }, '{ a?: string; [key: string]: unknown; }'],
    [
      { properties: { a: { type: 'string' } }, additionalProperties: { type: 'number' } },
      '{ a?: string; [key: string]: number | string | undefined; }',
    ],
    [{ patternProperties: { '^x': { type: 'number' } }, additionalProperties: false }, '{ [key: string]: number; }'],
    [
      { properties: { a: { type: 'string' } }, anyOf: [{ required: ['a'] }, { required: ['b'] }] },
      '{ a?: string; } & ({ a: unknown; } | { b: unknown; })',
    ],
  ];

  it.each(CASES)('%j is %s', (schema, type) => {
    expect(typeOf(schema)).toBe(type);
  });

  it('is always one that the compiler takes', () => {
    const types = CASES.map(([schema], index) => aType(schema, { eventTypeCode: `T${index}` }));
    expect(compile({ 'events.d.ts': eventsFile(types) })).toEqual([]);
    expect(compile({ 'events.d.ts': 'export type Circle = Circle;' })).toEqual([expect.stringContaining('circular')]);
  });
});

describe('the file', () => {
  const ORDER = {
    type: 'object',
    description: 'An order that was placed.',
    properties: {
      orderId: { type: 'string', format: 'uuid' },
      state: { enum: ['new', 'paid'] },
      lines: { type: 'array', items: { $ref: '#/$defs/line' } },
      'ship-to': { $ref: '#/$defs/address' },
      parent: { $ref: '#' },
    },
    required: ['orderId', 'lines'],
    additionalProperties: false,
    $defs: {
      line: { type: 'object', properties: { sku: { type: 'string' }, count: { type: 'integer' } }, required: ['sku'] },
      address: { oneOf: [{ type: 'string' }, { $ref: '#address' }], $comment: 'either' },
      full: { $anchor: 'address', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  };

  it('names a type for each event type, and one for each definition that is used', () => {
    const types = [aType(ORDER, { sourceName: '企业资源', eventTypeName: '订单', note: 'Sent once.' })];
    expect(eventsFile(types))
      .toBe(`// Written by "event-center types" from the registry of the event centre. Do not edit: run it again.

/** Payloads by \`sourceId/eventType\`. */
export interface Events {
  'ERP/ORDER': ErpOrder;
}

/**
 * ERP/ORDER (企业资源: 订单)
 * Sent once.
 * An order that was placed.
 */
export interface ErpOrder {
  /** Format: uuid */
  orderId: string;
  state?: 'new' | 'paid';
  lines: ErpOrderLine[];
  'ship-to'?: ErpOrderAddress;
  parent?: ErpOrder;
}

export interface ErpOrderLine {
  sku: string;
  count?: number;
}

export type ErpOrderAddress = string | ErpOrderAddress2;

export interface ErpOrderAddress2 {
  city: string;
}
`);
  });

  it('lets a right use compile, and a wrong one not', () => {
    const errors = usesOf(
      [aType(ORDER)],
      `const order: Events['ERP/ORDER'] = { orderId: '1', state: 'paid', lines: [{ sku: 'a' }], 'ship-to': { city: 'x' } };`,
      `const id: string = order.orderId; const skus: string[] = order.lines.map((line) => line.sku);`,
      `order.totl;`,
      `const bad: Events['ERP/ORDER'] = { orderId: 1, lines: [] };`,
      `const worse: Events['ERP/ORDER'] = { orderId: '1', state: 'lost', lines: [] };`,
      `type None = Events['ERP/NONE'];`,
      `export { id, skus, bad, worse, type None };`,
    );
    expect(errors.map((error) => error.slice(0, 'use.ts:4 '.length))).toEqual([
      'use.ts:4 ',
      'use.ts:5 ',
      'use.ts:6 ',
      'use.ts:7 ',
    ]);
  });

  it('is the same whatever the order, and parts what would have the same name', () => {
    const types = [
      aType({ type: 'string' }, { sourceId: 'b', eventTypeCode: 'x-y' }),
      aType({ type: 'number' }, { sourceId: 'b', eventTypeCode: 'x.y' }),
      aType({ type: 'boolean' }, { sourceId: 'b/x', eventTypeCode: 'y' }),
      aType({ type: 'null' }, { sourceId: 'b', eventTypeCode: 'x/y' }),
      aType(null, { sourceId: '', eventTypeCode: 'events' }),
      aType(null, { sourceId: '1', eventTypeCode: '2' }),
      aType(null, { sourceId: '采购', eventTypeCode: '订单' }),
    ];
    const text = eventsFile(types);
    expect(eventsFile([...types].reverse())).toBe(text);
    expect(text).toContain(`export interface Events {
  '/events': Events2;
  '1/2': Event12;
  'b/x-y': BXY;
  'b/x.y': BXY2;
  'b/x/y': BXY3 | BXY4;
  '采购/订单': 采购订单;
}`);
    expect(compile({ 'events.d.ts': text })).toEqual([]);
  });

  it('compiles schemas that lead back to themselves', () => {
    const schemas: [how: string, schema: object][] = [
      ['to itself', { $ref: '#' }],
      ['through a union', { anyOf: [{ type: 'string' }, { $ref: '#' }] }],
      [
        'through a definition',
        { $ref: '#/$defs/a', $defs: { a: { allOf: [{ $ref: '#/$defs/b' }] }, b: { $ref: '#/$defs/a' } } },
      ],
      ['through an array', { type: 'array', items: { $ref: '#' } }],
      ['through a tuple', { prefixItems: [{ $ref: '#' }], items: { $ref: '#' } }],
      ['through any other property', { additionalProperties: { $ref: '#' } }],
      [
        'before and beside an object',
        {
          properties: { x: { $ref: '#/$defs/b' } },
          anyOf: [{ $ref: '#/$defs/b' }],
          $defs: { b: { anyOf: [{ $ref: '#' }, { type: 'number' }] } },
        },
      ],
    ];
    const types = schemas.map(([how, schema]) => aType(schema, { eventTypeCode: how }));
    expect(compile({ 'events.d.ts': eventsFile(types) })).toEqual([]);
  });

  it('lets no text out of its place', () => {
    const evil = [
      '*/ export const evil = 1; /*',
      "'; export const evil = 1; //",
      '\\',
      '"',
      'a\nexport const evil = 1;',
      '\u2028export const evil = 1;',
      '__proto__',
      'constructor',
      '${evil}',
      '`',
      '\u202e\u0000',
      '',
    ];
    const properties = JSON.parse(
      `{${evil.map((name) => `${JSON.stringify(name)}: {"type": "string"}`).join(',')}}`,
    ) as object;
    const schema = {
      title: evil.join(''),
      description: evil.join('\n'),
      properties: { ...properties, e: { enum: evil, description: evil[0], format: evil[0] } },
      required: evil,
      $defs: Object.fromEntries(evil.map((name) => [name, { const: name }])),
      anyOf: evil.map((name) => ({
        $ref: `#/$defs/${encodeURIComponent(name.replace(/~/g, '~0').replace(/\//g, '~1'))}`,
      })),
    };
    const types = evil.map((text, index) =>
      aType(schema, { sourceId: text, eventTypeCode: `${index}`, sourceName: text, eventTypeName: text, note: text }),
    );
    expect(
      usesOf(
        types,
        `import * as all from './events.js';`,
        `type Evil = typeof all.evil;`,
        `export type { Evil, Events };`,
      ),
    ).toEqual([expect.stringMatching(/^use\.ts:3 .*'evil' does not exist|^use\.ts:3 .*no exported member/)]);
  });

  it('compiles, whatever the schema', () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('a', 'b', '*/', "'"));
    const { schema } = fc.letrec((tie) => ({
      schema: fc.oneof(
        { maxDepth: 4, withCrossShrink: true },
        fc.boolean(),
        fc.record({ type: fc.constantFrom('string', 'null', 'integer'), description: text, nullable: fc.boolean() }),
        fc.record({ enum: fc.array(fc.jsonValue({ maxDepth: 1 }), { maxLength: 3 }) }),
        fc.record({ $ref: fc.constantFrom('#', '#/$defs/a', '#/$defs/b', '#/x', 'other.json') }),
        fc.record(
          {
            type: fc.constant('object'),
            properties: fc.dictionary(text, tie('schema'), { maxKeys: 3 }),
            required: fc.array(text, { maxLength: 2 }),
            additionalProperties: tie('schema'),
            patternProperties: fc.dictionary(text, tie('schema'), { maxKeys: 1 }),
          },
          { requiredKeys: [] },
        ),
        fc.record(
          { items: tie('schema'), prefixItems: fc.array(tie('schema'), { maxLength: 3 }), minItems: fc.nat(2) },
          { requiredKeys: [] },
        ),
        fc.record({
          anyOf: fc.array(tie('schema'), { maxLength: 3 }),
          allOf: fc.array(tie('schema'), { maxLength: 2 }),
        }),
      ),
    }));
    const root = fc
      .tuple(schema, schema, schema)
      .map(([of, a, b]) => ({ ...(typeof of === 'object' ? of : {}), $defs: { a, b } }));
    const types = fc.sample(fc.tuple(text, root), { numRuns: 300, seed: 7 });
    const file = eventsFile(types.map(([sourceId, of], index) => aType(of, { sourceId, eventTypeCode: `T${index}` })));
    expect(compile({ 'events.d.ts': file })).toEqual([]);
  });
});
