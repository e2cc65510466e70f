import fc from 'fast-check';
import { formBody } from '../../src/callback/form-encoding.js';
import { asciiText, jsonHeader } from '../../src/callback/header-text.js';

describe('the form body', () => {
  it('escapes as the URL standard does, for any text', () => {
    const field = fc.tuple(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }));
    fc.assert(
      fc.property(fc.array(field), (fields) => {
        expect(formBody(fields).toString()).toBe(new URLSearchParams(fields).toString());
      }),
    );
  });

  it('carries bytes as they are, UTF-8 or not', () => {
    expect(formBody([['a', Buffer.from([0xff, 0x41, 0x00])]]).toString()).toBe('a=%FFA%00');
  });
});

describe('texts as headers', () => {
  it('escapes everything but printable ASCII', () => {
    expect(asciiText('USER 测\r\n\x7f')).toBe('USER \\u6d4b\\u000d\\u000a\\u007f');
  });

  it('carries JSON as one line of ASCII that parses to the same', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 3 }), fc.constantFrom(undefined, 2, '\t'), (json, indent) => {
        const payload = JSON.stringify(JSON.parse(json), null, indent);
        const header = jsonHeader(Buffer.from(payload));
        expect(header).toMatch(/^[\x20-\x7e]*$/);
        expect(JSON.parse(header as string)).toEqual(JSON.parse(payload));
      }),
    );
  });

  it('leaves out what is no JSON, or too long', () => {
    expect(jsonHeader(Buffer.from('hello'))).toBeNull();
    expect(jsonHeader(Buffer.from(`"${'x'.repeat(8190)}"`))).not.toBeNull();
    expect(jsonHeader(Buffer.from(`"${'x'.repeat(8191)}"`))).toBeNull();
  });

  it('measures JSON before it is escaped, in bytes of UTF-8', () => {
    const longest = `"${'测'.repeat(2730)}"`;
    expect(Buffer.byteLength(longest)).toBe(8192);
    expect(JSON.parse(jsonHeader(Buffer.from(longest)) as string)).toBe('测'.repeat(2730));
    expect(jsonHeader(Buffer.from(`"${'测'.repeat(2730)}x"`))).toBeNull();
  });
});
