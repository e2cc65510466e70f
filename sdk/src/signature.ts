import { createHmac, timingSafeEqual } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { decodeUrlValue } from './url-decoding.js';

/** Digests that a node may sign with; `HmacMD5` is not offered. */
export type SignatureAlgorithm = 'HmacSHA1' | 'HmacSHA256' | 'HmacSHA384' | 'HmacSHA512';

/** One field of a form: decoded name and decoded value. */
export type FormField = readonly [name: string, value: string];

const DIGESTS: Record<SignatureAlgorithm, string> = {
  HmacSHA1: 'sha1',
  HmacSHA256: 'sha256',
  HmacSHA384: 'sha384',
  HmacSHA512: 'sha512',
};

/** Content length that stands for a chunked body. */
export const CHUNKED = -1;

/** The parts of a request that the signature covers. */
export interface SignedParts {
  /** Raw path as it stands on the wire, context path included. */
  path: string;
  query: SignedQuery;
  /** Bytes of the body, 0 without one (and always for the vendor's light SDK), -1 when chunked. */
  contentLength: number;
  /** The form's text from `formText`; null for a GET. */
  form: string | null;
}

/** A query as the vendor's library reads it. */
export interface SignedQuery {
  /** Values by undecoded name: a repeated name keeps its first place and its last value. */
  values: ReadonlyMap<string, string>;
  /** True when a value has a malformed `%` escape: the vendor's library throws there, so no signature can be right. */
  malformed: boolean;
}

/** What the client of a call needs to sign it. */
export interface CallToSign {
  /** Absolute url, or path and query. Only raw path and query are signed. */
  url: string;
  /** Fields of the body in any order; null for a GET. */
  fields: Iterable<FormField> | null;
  contentLength: number;
  /** Key as it was issued, in Base64 text. */
  key: string;
  algorithm: SignatureAlgorithm;
}

/**
 * Signs a call as the vendor's full client does (protocol, section 1).
 * @returns the lower-case hex digest for the header `sign`.
 * @throws Error when the key decodes to nothing or the query has a malformed escape.
 */
export function signCall(call: CallToSign): string {
  const key = decodeKey(call.key);
  if (key === null) throw new Error('key: expected Base64 text that decodes to at least one byte');
  const { path, query: rawQuery } = splitUrl(call.url);
  const query = parseQuery(rawQuery);
  if (query.malformed) throw new Error('url: its query has a malformed % escape');
  const form = call.fields === null ? null : formText(call.fields);
  return digest(stringToSign({ path, query, contentLength: call.contentLength, form }), key, call.algorithm);
}

/**
 * Whether `signature` is the signature of the parts, with the content length as given or signed as 0.
 * Takes the same time for every wrong signature; only exact lower-case hex is right.
 */
export function verifySignature(
  signature: string,
  parts: SignedParts,
  secret: { key: Uint8Array; algorithm: SignatureAlgorithm },
): boolean {
  if (parts.query.malformed) return false;
  const exact = sameText(digest(stringToSign(parts), secret.key, secret.algorithm), signature);
  if (exact || parts.contentLength === 0) return exact;
  const light = stringToSign({ ...parts, contentLength: 0 });
  return sameText(digest(light, secret.key, secret.algorithm), signature);
}

/** The one line that is signed, unescaped; absent texts are the four letters `null`. */
export function stringToSign(parts: SignedParts): string {
  const { values } = parts.query;
  let queryText = '';
  for (const [name, value] of values) {
    if (name !== 'appId' && name !== 'sign') queryText += name + value;
  }
  const path = parts.path.endsWith('/') ? parts.path.slice(0, -1) : parts.path;
  const user = values.get('username') ?? 'null';
  return (
    `SignProp{ts=${values.get('ts') ?? 'null'}, remoteUserName='${user}', queryString='${queryText}', ` +
    `requestUrl='${path}', ip='null', contentLength='${String(parts.contentLength)}', paramsStr='${parts.form ?? 'null'}'}`
  );
}

/** HMAC of a text in lower-case hex. Who signs often saves half of it with a `KeyObject`, made once of the bytes. */
export function digest(text: string, key: Uint8Array | KeyObject, algorithm: SignatureAlgorithm): string {
  return createHmac(DIGESTS[algorithm], key).update(text, 'utf8').digest('hex');
}

/**
 * Reads a raw query (without `?`): pieces of exactly two parts after trailing empty parts are dropped, so that `k`,
 * `k=` and `a=b=c` vanish and `k=v=` stays. Names stay undecoded, values are URL-decoded. Never throws.
 */
export function parseQuery(raw: string): SignedQuery {
  const values = new Map<string, string>();
  let malformed = false;
  for (const piece of raw.split('&')) {
    let end = piece.length;
    while (end > 0 && piece[end - 1] === '=') end -= 1;
    const equals = piece.indexOf('=');
    const hasTwoParts = equals !== -1 && equals < end && piece.lastIndexOf('=', end - 1) === equals;
    if (!hasTwoParts) continue;
    const text = piece.slice(equals + 1, end);
    const value = decodeUrlValue(text);
    if (value === null) malformed = true;
    values.set(piece.slice(0, equals), value ?? text);
  }
  return { values, malformed };
}

/**
 * What `parseQuery` reads of a query that is written as name=`encodeURIComponent(value)`: an empty value vanishes.
 * @param fields names that need no escape, each once.
 */
export function writtenQuery(fields: Iterable<FormField>): SignedQuery {
  const values = new Map<string, string>();
  for (const [name, value] of fields) if (value !== '') values.set(name, value);
  return { values, malformed: false };
}

/**
 * The text of a form that is signed: names `appId` and `sign` are dropped, and on the verifying side any name that the
 * query has (one that vanishes from it, such as `k=`, does not count: it is not signed, so it must not unsign a field);
 * several values of a name are sorted and joined with a comma; then name+value are sorted by UTF-16 code unit.
 */
export function formText(fields: Iterable<FormField>, query?: SignedQuery): string {
  const values = new Map<string, string | string[]>();
  for (const [name, value] of fields) {
    if (name === 'appId' || name === 'sign' || query?.values.has(name) === true) continue;
    const known = values.get(name);
    if (known === undefined) values.set(name, value);
    else if (typeof known === 'string') values.set(name, [known, value]);
    else known.push(value);
  }
  const pieces: string[] = [];
  for (const [name, value] of values) {
    pieces.push(name + (typeof value === 'string' ? value : value.sort().join(',')));
  }
  return pieces.sort().join('');
}

/**
 * Decodes a key leniently, as the vendor's library does: letters, digits and `+/-_` count, everything else is passed
 * over, the first `=` ends it.
 * @returns null for a key that decodes to nothing.
 */
export function decodeKey(text: string): Uint8Array | null {
  const bytes = new Uint8Array(text.length);
  let length = 0;
  let bits = 0;
  let bitCount = 0;
  for (let at = 0; at < text.length && text[at] !== '='; at += 1) {
    const value = BASE64_VALUES[text.charCodeAt(at)] ?? NO_BASE64;
    if (value === NO_BASE64) continue;
    bits = ((bits << 6) | value) & 0xffff;
    bitCount += 6;
    if (bitCount >= 8) {
      bitCount -= 8;
      bytes[length] = (bits >> bitCount) & 0xff;
      length += 1;
    }
  }
  return length === 0 ? null : bytes.subarray(0, length);
}

const NO_BASE64 = 0xff;
/** Value of a Base64 digit by its character code, both alphabets. */
const BASE64_VALUES = new Uint8Array(128).fill(NO_BASE64);
for (const alphabet of ['+/', '-_']) {
  const digits = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789${alphabet}`;
  for (let value = 0; value < digits.length; value += 1) BASE64_VALUES[digits.charCodeAt(value)] = value;
}

/** Raw path and raw query of an absolute url, or of what stands in a request line. Never throws. */
export function splitUrl(url: string): { path: string; query: string } {
  let from = 0;
  if (!url.startsWith('/')) {
    const authority = url.indexOf('://');
    if (authority !== -1) {
      from = url.slice(authority + 3).search(/[/?#]/);
      from = from === -1 ? url.length : from + authority + 3;
    }
  }
  const hash = url.indexOf('#', from);
  const end = hash === -1 ? url.length : hash;
  const mark = url.indexOf('?', from);
  if (mark === -1 || mark > end) return { path: url.slice(from, end), query: '' };
  return { path: url.slice(from, mark), query: url.slice(mark + 1, end) };
}

function sameText(expected: string, given: string): boolean {
  const givenBytes = Buffer.from(given);
  const expectedBytes = Buffer.from(expected);
  return givenBytes.length === expectedBytes.length && timingSafeEqual(givenBytes, expectedBytes);
}
