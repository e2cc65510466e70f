import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  CHUNKED,
  decodeKey,
  formText,
  parseQuery,
  signCall,
  splitUrl,
  stringToSign,
  verifySignature,
  type FormField,
  type SignatureAlgorithm,
} from '@event-center/sdk';

interface Vector {
  id: string;
  url: string;
  params: Record<string, string> | null;
  contentLength: number;
  key: string;
  algorithm: SignatureAlgorithm;
  stringToSign?: string;
  sign: string;
}

const { vectors } = JSON.parse(readFileSync(join(__dirname, '../support/vectors/iuap-signature.json'), 'utf8')) as {
  vectors: Vector[];
};

describe('the signatures made by the vendor library', () => {
  it.each(vectors)('$id: signs and verifies the same', (vector) => {
    const fields = vector.params === null ? null : Object.entries(vector.params);
    const { path, query: rawQuery } = splitUrl(vector.url);
    const parts = {
      path,
      query: parseQuery(rawQuery),
      contentLength: vector.contentLength,
      form: fields === null ? null : formText(fields),
    };
    if (vector.stringToSign !== undefined) expect(stringToSign(parts)).toBe(vector.stringToSign);
    expect(signCall({ ...vector, fields })).toBe(vector.sign);
    const secret = { key: decodeKey(vector.key) as Uint8Array, algorithm: vector.algorithm };
    expect(verifySignature(vector.sign, parts, secret)).toBe(true);
    expect(verifySignature(vector.sign.toUpperCase(), parts, secret)).toBe(false);
    expect(verifySignature(` ${vector.sign}`, parts, secret)).toBe(false);
    expect(verifySignature('', parts, secret)).toBe(false);
    expect(verifySignature('测'.repeat(vector.sign.length), parts, secret)).toBe(false);
  });

  it('accepts a length signed as 0 beside the true one, and no other', () => {
    const light = vectors.find((vector) => vector.id === 'S') as Vector;
    const { path, query } = splitUrl(light.url);
    const parts = { path, query: parseQuery(query), form: formText(Object.entries(light.params ?? {})) };
    const secret = { key: decodeKey(light.key) as Uint8Array, algorithm: light.algorithm };
    expect(verifySignature(light.sign, { ...parts, contentLength: 124 }, secret)).toBe(true);
    expect(verifySignature(light.sign, { ...parts, contentLength: CHUNKED }, secret)).toBe(true);
    const wrong = signCall({ ...light, fields: Object.entries(light.params ?? {}), contentLength: 123 });
    expect(verifySignature(wrong, { ...parts, contentLength: 124 }, secret)).toBe(false);
    expect(verifySignature(wrong, { ...parts, contentLength: CHUNKED }, secret)).toBe(false);
  });
});

describe('the key', () => {
  const hex = (text: string): string | null => {
    const key = decodeKey(text);
    return key === null ? null : Buffer.from(key).toString('hex');
  };

  it.each([
    ['test', 'b5eb2d'],
    ['pap', 'a5aa'],
    ['pa', 'a5'],
    ['te st\n', 'b5eb2d'],
    ['test=test', 'b5eb2d'],
    ['-_-_', 'fbffbf'],
    ['+/+/', 'fbffbf'],
    ['测te试st', 'b5eb2d'],
    ['', null],
    ['p', null],
    ['=test', null],
    ['测试!', null],
  ])('%j decodes to %s', (text, expected) => {
    expect(hex(text)).toBe(expected);
  });

  it('decodes what standard Base64 encodes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (bytes) => {
        expect(hex(Buffer.from(bytes).toString('base64'))).toBe(Buffer.from(bytes).toString('hex'));
        expect(hex(Buffer.from(bytes).toString('base64url'))).toBe(Buffer.from(bytes).toString('hex'));
      }),
    );
  });

  it('is refused when it decodes to nothing', () => {
    expect(() => signCall({ url: '/a', fields: null, contentLength: 0, key: '!!', algorithm: 'HmacSHA1' })).toThrow(
      /key/,
    );
  });
});

describe('the query', () => {
  it.each([
    ['', ''],
    ['k', ''],
    ['k=', ''],
    ['k==', ''],
    ['a=b=c', ''],
    ['a==b', ''],
    ['a=b=', 'ab'],
    ['a=b&', 'ab'],
    ['&&a=b&&', 'ab'],
    ['=v', 'v'],
    ['b=1&a=2', 'b1a2'],
    ['b=1&a=2&b=3', 'b3a2'],
    ['b=1&b=', 'b1'],
    ['a=x+y', 'ax y'],
    ['a=x%20y%2B', 'ax y+'],
    ['%61=b', '%61b'],
    ['a=%E6%B5%8B', 'a测'],
    ['a=%E6%B5', 'a\uFFFD'],
    ['appId=1&sign=2&appid=3&Sign=4', 'appid3Sign4'],
  ])('%j is signed as %j', (raw, expected) => {
    const text = stringToSign({ path: '/p', query: parseQuery(raw), contentLength: 0, form: null });
    expect(text).toBe(
      `SignProp{ts=null, remoteUserName='null', queryString='${expected}', requestUrl='/p', ip='null', contentLength='0', paramsStr='null'}`,
    );
  });

  it.each(['a=%', 'a=%4', 'a=%zz', 'a=%E6%B5%', 'a=1&sign=%', 'a=%+1'])('%j can carry no right signature', (raw) => {
    const query = parseQuery(raw);
    expect(query.malformed).toBe(true);
    const parts = { path: '/p', query, contentLength: 0, form: null };
    const key = decodeKey('test') as Uint8Array;
    const sign = createHmac('sha1', key).update(stringToSign(parts)).digest('hex');
    expect(verifySignature(sign, parts, { key, algorithm: 'HmacSHA1' })).toBe(false);
    expect(() =>
      signCall({ url: `/p?${raw}`, fields: null, contentLength: 0, key: 'test', algorithm: 'HmacSHA1' }),
    ).toThrow(/url/);
  });

  it('gives ts and username their own places', () => {
    const text = stringToSign({ path: '/p/', query: parseQuery('username=a+b&ts=1'), contentLength: 5, form: '' });
    expect(text).toBe(
      "SignProp{ts=1, remoteUserName='a b', queryString='usernamea bts1', requestUrl='/p', ip='null', contentLength='5', paramsStr=''}",
    );
  });
});

describe('the url', () => {
  it.each([
    ['http://h:1/a/b?c=d#e', '/a/b', 'c=d'],
    ['http://h?c=d', '', 'c=d'],
    ['http://h', '', ''],
    ['/a//?x=http://y', '/a//', 'x=http://y'],
    ['/a#b?c', '/a', ''],
    ['/a?b?c', '/a', 'b?c'],
  ])('%s splits into %j and %j', (url, path, query) => {
    expect(splitUrl(url)).toEqual({ path, query });
  });

  it('loses exactly one trailing slash', () => {
    const signed = (path: string) => stringToSign({ path, query: parseQuery(''), contentLength: 0, form: null });
    expect(signed('/a//')).toContain("requestUrl='/a/'");
    expect(signed('/')).toContain("requestUrl=''");
  });
});

describe('the form', () => {
  it.each<[string, FormField[], string]>([
    [
      'sorts the pieces, not the names',
      [
        ['ab', 'z'],
        ['a', 'c'],
        ['abc', ''],
      ],
      'abcabzac',
    ],
    [
      'sorts and joins several values',
      [
        ['a', '2'],
        ['a', '10'],
        ['a', '1'],
      ],
      'a1,10,2',
    ],
    [
      'keeps an empty value',
      [
        ['b', ''],
        ['a', ''],
      ],
      'ab',
    ],
    [
      'drops appId and sign only',
      [
        ['appId', 'x'],
        ['sign', 'x'],
        ['appid', 'y'],
      ],
      'appidy',
    ],
    [
      'sorts surrogates by code unit',
      [
        ['\u{1F600}', ''],
        ['\uFF5E', ''],
      ],
      '\u{1F600}\uFF5E',
    ],
  ])('%s', (_name, fields, expected) => {
    expect(formText(fields)).toBe(expected);
  });

  it('drops what the query has, and keeps what only seems to stand there', () => {
    const query = parseQuery('a=1&b=&c');
    expect(
      formText(
        [
          ['a', '1'],
          ['b', '2'],
          ['c', '3'],
        ],
        query,
      ),
    ).toBe('b2c3');
  });
});

describe('against a second implementation', () => {
  const token = fc.constantFrom(
    'a',
    'k',
    'ts',
    'appId',
    'sign',
    'username',
    '=',
    '==',
    '&',
    '&&',
    '+',
    '%41',
    '%E6%B5%8B',
    '%2',
    '%',
    '1',
    '测',
    '😀',
    '?',
    '/',
  );
  const rawQuery = fc.array(token, { maxLength: 14 }).map((tokens) => tokens.join(''));
  const text = fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.string({ unit: 'binary', maxLength: 6 }),
    fc.constantFrom('a', 'sign', 'appId', 'ts', ''),
  );
  const fields = fc.array(fc.tuple(text, text), { maxLength: 6 });

  it('signs every odd query and body the same', () => {
    fc.assert(
      fc.property(rawQuery, fields, fc.integer({ min: -1, max: 200 }), (raw, form, contentLength) => {
        const query = parseQuery(raw);
        const expected = naiveStringToSign(raw, form, contentLength);
        expect(query.malformed).toBe(expected === null);
        if (expected === null) return;
        const parts = { path: '/p', query, contentLength, form: formText(form, query) };
        expect(stringToSign(parts)).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });

  it('verifies what it signs and nothing that differs by one field', () => {
    fc.assert(
      fc.property(
        fields,
        text,
        fc.constantFrom<SignatureAlgorithm>('HmacSHA1', 'HmacSHA256', 'HmacSHA384', 'HmacSHA512'),
        (form, extra, algorithm) => {
          const sign = signCall({ url: 'http://h/p?ts=1', fields: form, contentLength: 10, key: 'test', algorithm });
          const secret = { key: decodeKey('test') as Uint8Array, algorithm };
          const parts = { path: '/p', query: parseQuery('ts=1'), contentLength: 10 };
          const withoutTs = form.filter(([name]) => name !== 'ts');
          fc.pre(withoutTs.length === form.length);
          expect(verifySignature(sign, { ...parts, form: formText(form, parts.query) }, secret)).toBe(true);
          const more = formText([...form, ['other', extra]], parts.query);
          expect(verifySignature(sign, { ...parts, form: more }, secret)).toBe(false);
        },
      ),
    );
  });
});

/** The rules of the protocol page written down once more, slowly; null where Java's URLDecoder throws. */
function naiveStringToSign(raw: string, fields: [string, string][], contentLength: number): string | null {
  const query: [string, string][] = [];
  for (const piece of raw === '' ? [] : raw.split('&')) {
    const parts = piece.split('=');
    while (parts.length > 0 && parts.at(-1) === '') parts.pop();
    if (parts.length !== 2) continue;
    const [name, encoded] = parts as [string, string];
    const value = naiveDecode(encoded);
    if (value === null) return null;
    const known = query.find((entry) => entry[0] === name);
    if (known === undefined) query.push([name, value]);
    else known[1] = value;
  }
  const of = (name: string) => query.find((entry) => entry[0] === name)?.[1] ?? 'null';
  const signed = query.filter(([name]) => name !== 'appId' && name !== 'sign');
  const names = [...new Set(fields.map(([name]) => name))].filter(
    (name) => name !== 'appId' && name !== 'sign' && !query.some((entry) => entry[0] === name),
  );
  const pieces = names.map((name) => {
    const values = fields.filter((field) => field[0] === name).map((field) => field[1]);
    return name + values.sort(byCodeUnit).join(',');
  });
  return (
    `SignProp{ts=${of('ts')}, remoteUserName='${of('username')}', queryString='${signed.map((entry) => entry.join('')).join('')}', ` +
    `requestUrl='/p', ip='null', contentLength='${contentLength}', paramsStr='${pieces.sort(byCodeUnit).join('')}'}`
  );
}

function naiveDecode(text: string): string | null {
  let decoded = '';
  for (let i = 0; i < text.length;) {
    if (text[i] !== '%') {
      decoded += text[i] === '+' ? ' ' : text.charAt(i);
      i += 1;
      continue;
    }
    const bytes: number[] = [];
    while (text[i] === '%') {
      const digits = text.slice(i + 1, i + 3);
      if (!/^[0-9a-fA-F]{2}$/.test(digits)) return null;
      bytes.push(parseInt(digits, 16));
      i += 3;
    }
    decoded += Buffer.from(bytes).toString('utf8');
  }
  return decoded;
}

function byCodeUnit(a: string, b: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) return a.charCodeAt(i) - b.charCodeAt(i);
  }
  return a.length - b.length;
}
