import { createHmac } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { signCall, splitUrl } from '@event-center/sdk';
import { EventCenterError } from '../../src/core/errors.js';
import { readSignedRequest } from '../../src/http/sending/signed-request.js';
import { fuzzIt } from '../support/fuzzing.js';
import { mutated, type Dice } from '../support/mutations.js';

const KEY = Buffer.from('a key of twenty byte').toString('base64');
const FORM = 'application/x-www-form-urlencoded';

/** A request as it stands on the wire. */
interface Wire {
  target: string;
  sign: string;
  body: Buffer | null;
  contentType: string;
}

const word = fc.oneof(
  fc.constantFrom('a', 'b', 'ts', 'appId', 'sign', 'username', 'uuid', 'data', '__proto__', ''),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
);
const fields = fc.array(fc.tuple(word, word), { maxLength: 6 });

const signed: fc.Arbitrary<Wire> = fc
  .tuple(fields, fields, fc.nat(9_999_999_999_999), fc.boolean(), fc.constantFrom('exact', 'zero'))
  .map(([query, body, ts, isGet, length]) => {
    const pieces = query.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
    const target = ['/event/x.do?appId=A', `ts=${ts}`, ...pieces].join('&');
    // A receiver leaves fields out that the query has too; the client of such a request signs what is left.
    const inQuery = new Set(readQuery(target).map(([name]) => name));
    const own = body.filter(([name]) => !inQuery.has(name));
    const bytes = Buffer.from(
      new URLSearchParams(body.map(([name, value]): [string, string] => [name, value])).toString(),
    );
    const sign = signCall({
      url: target,
      fields: isGet ? null : own,
      contentLength: length === 'zero' || isGet ? 0 : bytes.length,
      key: KEY,
      algorithm: 'HmacSHA1',
    });
    return { target, sign, body: isGet ? null : bytes, contentType: FORM };
  });

const altered: fc.Arbitrary<[wire: Wire, original: Wire]> = fc
  .tuple(signed, fc.constantFrom('target', 'sign', 'body', 'all'), fc.infiniteStream(fc.nat()))
  .map(([wire, part, dice]) => {
    const change = (name: string, text: string): string =>
      part === name || part === 'all' ? mutated(Buffer.from(text, 'latin1'), dice).toString('latin1') : text;
    const body = wire.body === null ? null : Buffer.from(change('body', wire.body.toString('latin1')), 'latin1');
    return [{ ...wire, target: change('target', wire.target), sign: change('sign', wire.sign), body }, wire];
  });

/** The rule of the protocol page, section 1, written a second time and as it is told there. */
function naiveText(wire: Wire, contentLength: number): string | null {
  const pairs = readQuery(wire.target);
  if (pairs.some(([, value]) => value === null)) return null;
  const query = new Map(pairs as [string, string][]);
  const path = pathOf(wire.target);
  const text = [...query].map(([name, value]) => (name === 'appId' || name === 'sign' ? '' : name + value)).join('');
  const params = wire.body === null ? 'null' : paramsOf(wire.body, query);
  return (
    `SignProp{ts=${query.get('ts') ?? 'null'}, remoteUserName='${query.get('username') ?? 'null'}', ` +
    `queryString='${text}', requestUrl='${path.endsWith('/') ? path.slice(0, -1) : path}', ip='null', ` +
    `contentLength='${contentLength}', paramsStr='${params}'}`
  );
}

function paramsOf(body: Buffer, query: ReadonlyMap<string, string>): string {
  const values = new Map<string, string[]>();
  // Without the `&` in front, URLSearchParams takes a `?` at the beginning off.
  const form = `&${body.toString('latin1').replaceAll(/[\x80-\xff]+/g, asEscapes)}`;
  for (const [name, value] of new URLSearchParams(form)) {
    if (name === 'appId' || name === 'sign' || query.has(name)) continue;
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return [...values]
    .map(([name, all]) => name + all.sort().join(','))
    .sort()
    .join('');
}

const asEscapes = (bytes: string): string => [...Buffer.from(bytes, 'latin1')].map((byte) => `%${hex(byte)}`).join('');
const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

/** Name and decoded value; null where it cannot be decoded. */
function readQuery(target: string): [name: string, value: string | null][] {
  const query = /^[^?#]*\?([^#]*)/.exec(target)?.[1] ?? '';
  const pairs: [string, string | null][] = [];
  for (const piece of query.split('&')) {
    const parts = piece.replace(/=+$/, '').split('=');
    if (parts.length === 2) pairs.push([parts[0]!, decoded(parts[1]!)]);
  }
  return pairs;
}

function decoded(text: string): string | null {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) return null;
  const bytes = text.replaceAll('+', ' ').replace(/(%[0-9a-fA-F]{2})+/g, (run) => {
    return Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8');
  });
  return bytes;
}

const pathOf = (target: string): string => splitUrl(target).path;

function read({ target, sign, body, contentType }: Wire) {
  const req = { headers: { sign, 'content-type': contentType } } as unknown as IncomingMessage;
  const { path, query } = splitUrl(target);
  return readSignedRequest(req, { path, query }, body);
}

const isTaken = (wire: Wire): boolean => {
  const request = read(wire);
  return request.unreadable === null && request.isSignedWith(KEY, 'HmacSHA1');
};

const naiveSign = (text: string): string =>
  createHmac('sha1', Buffer.from(KEY, 'base64')).update(text, 'utf8').digest('hex');

describe('the check of a signature', () => {
  fuzzIt('takes every request that its client signed', signed, (wire) => {
    expect(isTaken(wire)).toBe(true);
  });

  fuzzIt(
    'takes an altered request only if what is signed is the same, by a second reading of the rule',
    altered,
    ([wire, original]) => {
      const isRight = isTaken(wire);
      const length = wire.body?.length ?? 0;
      const texts = [naiveText(wire, length), naiveText(wire, 0)];
      const sign =
        wire.sign === '' ? (readQuery(wire.target).findLast(([name]) => name === 'sign')?.[1] ?? '') : wire.sign;
      const shouldBe =
        read(wire).unreadable === null && texts.some((text) => text !== null && naiveSign(text) === sign);
      expect(isRight).toBe(shouldBe);
      if (!isRight) return;
      const before = [naiveText(original, original.body?.length ?? 0), naiveText(original, 0)];
      expect(texts.some((text) => before.includes(text))).toBe(true);
    },
  );

  fuzzIt(
    'reads any request at all and breaks at none',
    fc.record({
      target: fc.oneof(
        fc.string({ unit: 'binary' }).map((text) => `/${text}`),
        fc.tuple(signed, fc.infiniteStream(fc.nat())).map(([{ target }, dice]) => garbled(target, dice)),
      ),
      sign: fc.string({ unit: 'binary' }),
      body: fc.option(fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes))),
      contentType: fc.oneof(fc.constantFrom(FORM, 'application/json', '', ';', 'text/plain;charset="'), fc.string()),
    }),
    (wire) => {
      const request = read(wire);
      if (request.unreadable !== null) expect(request.unreadable).toBeInstanceOf(EventCenterError);
      for (const key of [KEY, '', '=', 'a']) expect(request.isSignedWith(key, 'HmacSHA512')).toBe(false);
      expect(request.appId).not.toBe(undefined);
    },
  );
});

const garbled = (text: string, dice: Dice): string => mutated(Buffer.from(text), dice).toString('latin1');
