import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { hasCode } from '../../src/core/errors.js';
import { parseForm, readFields } from '../../src/http/sending/body-fields.js';
import { readEventTexts } from '../../src/http/user-object-text.js';
import { bytes } from '../support/any-message.js';
import { fuzzIt } from '../support/fuzzing.js';
import { mutated, mutatedJson } from '../support/mutations.js';

const FORM = 'application/x-www-form-urlencoded';
const JSON_TYPE = 'application/json; charset=utf-8';
const text = fc.string({ unit: 'grapheme', maxLength: 10 });
const dice = fc.infiniteStream(fc.nat());

type Fields = readonly (readonly [name: string, value: string])[];

/** The fields, or null when the body was refused as INVALID_PARAM; anything else that is thrown breaks the test. */
function fieldsOf(contentType: string | undefined, body: Buffer): Fields | null {
  try {
    return readFields(contentType, body);
  } catch (error) {
    if (hasCode(error, 'INVALID_PARAM') && error.message !== '') return null;
    throw error;
  }
}

/** What a form says, read piece by piece instead of byte by byte; null when something in it is malformed. */
function naiveForm(body: Buffer): [string, string][] | null {
  const fields: [string, string][] = [];
  for (const piece of body.toString('latin1').split('&')) {
    if (piece === '') continue;
    const at = piece.includes('=') ? piece.indexOf('=') : piece.length;
    const name = naiveText(piece.slice(0, at));
    const value = naiveText(piece.slice(at + 1));
    if (name === null || value === null) return null;
    fields.push([name, value]);
  }
  return fields;
}

function naiveText(piece: string): string | null {
  if (/%(?![0-9a-f]{2})/i.test(piece)) return null;
  const latin1 = piece
    .replaceAll('+', ' ')
    .replace(/%(..)/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  const decoded = Buffer.from(latin1, 'latin1');
  return isUtf8(decoded) ? decoded.toString('utf8') : null;
}

/** A flat JSON object of strings as JSON.parse reads it; null for anything else. */
function naiveJson(body: Buffer): [string, string][] | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const entries = Object.entries(value) as [string, unknown][];
  const isText = (one: unknown): one is string => typeof one === 'string' && !/\p{Surrogate}/u.test(one);
  return entries.every(([name, member]) => isText(name) && isText(member)) ? (entries as [string, string][]) : null;
}

describe('a form body', () => {
  const written = fc
    .array(fc.tuple(text, text), { maxLength: 8 })
    .map((fields) => ({ fields, body: Buffer.from(new URLSearchParams(fields).toString()) }));

  fuzzIt('is read as it was written', written, ({ fields, body }) => {
    expect(parseForm(body)).toEqual(fields);
  });

  fuzzIt(
    'that was changed is read by the rule of forms, or refused where it is malformed',
    fc.tuple(written, dice),
    ([{ body }, stream]) => {
      const changed = mutated(body, stream);
      expect(fieldsOf(FORM, changed)).toEqual(naiveForm(changed));
    },
  );

  fuzzIt('of any bytes is read by the rule of forms, or refused where it is malformed', bytes, (body) => {
    expect(fieldsOf(FORM, body)).toEqual(naiveForm(body));
  });
});

describe('a JSON body of a send', () => {
  const written = fc.dictionary(text, text, { maxKeys: 8 }).map((fields) => JSON.stringify(fields));

  fuzzIt('is read as it was written', written, (json) => {
    expect(fieldsOf(JSON_TYPE, Buffer.from(json))).toEqual(Object.entries(JSON.parse(json) as object));
  });

  fuzzIt(
    'that was changed is read as JSON.parse does, or refused',
    fc.tuple(written, dice, fc.boolean()),
    ([json, stream, isValue]) => {
      const body = isValue ? Buffer.from(mutatedJson(json, stream)) : mutated(Buffer.from(json), stream);
      const fields = fieldsOf(JSON_TYPE, body);
      const expected = naiveJson(body);
      // A name that stands twice is refused, which JSON.parse passes over: then nothing may have been read.
      if (fields !== null) expect(fields).toEqual(expected);
      else if (expected !== null) expect(body.toString().match(/"/g)!.length).toBeGreaterThan(4 * expected.length);
    },
  );

  fuzzIt(
    'in which a name stands twice is always refused',
    fc.tuple(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 5 }), fc.nat(), text),
    ([members, pick, value]) => {
      const [name] = members[pick % members.length]!;
      const all = [...members, [name, value]].map(([one, other]) => `${JSON.stringify(one)}:${JSON.stringify(other)}`);
      expect(fieldsOf(JSON_TYPE, Buffer.from(`{${all.join(',')}}`))).toBeNull();
    },
  );

  fuzzIt('of any content type and any bytes is read or refused', fc.tuple(fc.string(), bytes), ([type, body]) => {
    const fields = fieldsOf(type, body);
    if (fields !== null) expect([naiveForm(body), naiveJson(body)]).toContainEqual(fields);
  });
});

describe('the payload of an event that is published with a token', () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  const event = fc.record({ sourceId: fc.string(), userObject: value, x: value }, { requiredKeys: [] });

  fuzzIt(
    'is taken out of the body as the text that it is there',
    fc.tuple(fc.oneof(event, fc.array(event, { maxLength: 3 })), fc.constantFrom(0, 1, 2)),
    ([body, indent]) => {
      const json = JSON.stringify(body, null, indent);
      const events = Array.isArray(body) ? body : [body];
      const texts = readEventTexts(json);
      expect(texts).toHaveLength(events.length);
      texts.forEach(({ userObject, repeated }, at) => {
        expect(repeated).toBeNull();
        const expected = events[at]!.userObject;
        if (userObject === null) expect(expected).toBeUndefined();
        else expect(JSON.stringify(JSON.parse(userObject))).toBe(JSON.stringify(expected));
      });
    },
  );
});
