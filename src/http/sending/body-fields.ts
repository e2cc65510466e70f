import { isUtf8 } from 'node:buffer';
import type { FormField } from '@event-center/sdk';
import { invalidField } from '../../core/errors.js';

/** More fields than any sender needs, few enough to sort. */
const MAX_FIELDS = 1_000;
/** How much of a name is repeated in an answer and in the log. */
const NAMED_LENGTH = 64;

/**
 * The fields of a body, in its order and with repeated names, by its content type: a form, or a flat JSON object whose
 * values are strings. Without a content type it is a form.
 * @throws INVALID_PARAM at `Content-Type`, `body` or the field that is no string.
 */
export function readFields(contentType: string | undefined, body: Buffer): FormField[] {
  return bodyKind(contentType) === 'form' ? parseForm(body) : parseJsonFields(body);
}

/**
 * Parses `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), but refuses what browsers repair. One pass over
 * the bytes, because it is run for every event and decoding piece by piece took four times as long.
 * @throws INVALID_PARAM at `body` for a malformed `%` escape, bytes that are no UTF-8, and too many fields.
 */
export function parseForm(body: Buffer): FormField[] {
  // Separators are kept between the pieces, so that one check finds a character that is cut by one.
  const decoded = Buffer.allocUnsafe(body.length);
  const ends: number[] = [];
  let length = 0;
  let equals = -1;
  for (let at = 0; at < body.length; at += 1) {
    let byte = body[at] as number;
    if (byte === AMPERSAND) {
      ends.push(equals, length);
      equals = -1;
    } else if (byte === EQUALS && equals === -1) {
      equals = length;
    } else if (byte === PLUS) {
      byte = SPACE;
    } else if (byte === PERCENT) {
      byte = escapedByte(body, at);
      at += 2;
    }
    decoded[length] = byte;
    length += 1;
  }
  ends.push(equals, length);
  if (!isUtf8(decoded.subarray(0, length))) throw invalidField('body', 'expected UTF-8, found bytes that are none');
  return sliceFields(decoded, ends);
}

/** Cuts decoded bytes into fields; `ends` has two numbers per piece: where its `=` is (-1 for none), where it ends. */
function sliceFields(decoded: Buffer, ends: number[]): FormField[] {
  const fields: FormField[] = [];
  let from = 0;
  for (let piece = 0; piece < ends.length; piece += 2) {
    const equals = ends[piece] as number;
    const end = ends[piece + 1] as number;
    if (end > from) {
      if (fields.length === MAX_FIELDS) throw tooManyFields();
      const nameEnd = equals === -1 ? end : equals;
      fields.push([decoded.toString('utf8', from, nameEnd), decoded.toString('utf8', Math.min(nameEnd + 1, end), end)]);
    }
    from = end + 1;
  }
  return fields;
}

function escapedByte(body: Buffer, at: number): number {
  const high = HEX_VALUES[body[at + 1] ?? 0] as number;
  const low = HEX_VALUES[body[at + 2] ?? 0] as number;
  if (high === NO_HEX || low === NO_HEX) {
    throw invalidField('body', 'expected percent-encoded UTF-8, found a malformed escape');
  }
  return high * 16 + low;
}

const AMPERSAND = 0x26;
const EQUALS = 0x3d;
const PLUS = 0x2b;
const PERCENT = 0x25;
const SPACE = 0x20;

const NO_HEX = 0xff;
/** Value of a hexadecimal digit by its byte. */
const HEX_VALUES = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = Number.parseInt(String.fromCharCode(byte), 16);
  return Number.isNaN(value) ? NO_HEX : value;
});

/**
 * Parses a flat JSON object of strings.
 * @throws INVALID_PARAM at the field whose value is no string, else at `body`.
 */
export function parseJsonFields(body: Buffer): FormField[] {
  if (!isUtf8(body)) throw invalidField('body', 'expected UTF-8, found bytes that are none');
  const text = body.toString('utf8');
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField('body', 'expected a JSON object of strings');
  }
  const entries: [string, unknown][] = Object.entries(value);
  if (entries.length > MAX_FIELDS) throw tooManyFields();
  const fields = entries.map(([name, member]): FormField => {
    const path = name.slice(0, NAMED_LENGTH);
    if (typeof member !== 'string') throw invalidField(path, `expected a string, found ${kindOf(member)}`);
    if (LONE_SURROGATE.test(name) || LONE_SURROGATE.test(member)) {
      throw invalidField(path, 'expected text that can be written as UTF-8, found half of a surrogate pair');
    }
    return [name, member];
  });
  // JSON.parse keeps the last of equal names in silence. In a flat object of strings each member is exactly two strings.
  if (countStrings(text) !== 2 * fields.length) throw invalidField('body', 'expected each name once');
  return fields;
}

const LONE_SURROGATE = /\p{Surrogate}/u;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidField('body', 'expected JSON');
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}

/** How many string literals a valid JSON text has. */
function countStrings(text: string): number {
  let count = 0;
  for (let at = text.indexOf('"'); at !== -1; at = text.indexOf('"', at + 1)) {
    count += 1;
    for (at += 1; text.charCodeAt(at) !== QUOTE; at += 1) {
      if (text.charCodeAt(at) === BACKSLASH) at += 1;
    }
  }
  return count;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

function tooManyFields(): Error {
  return invalidField('body', `expected at most ${String(MAX_FIELDS)} fields`);
}

type BodyKind = 'form' | 'json';

/** Content types as they were written, so that the few that senders use are parsed once. */
const knownKinds = new Map<string, BodyKind>();
const MAX_KNOWN_KINDS = 100;

function bodyKind(contentType: string | undefined): BodyKind {
  if (contentType === undefined) return 'form';
  const known = knownKinds.get(contentType);
  if (known !== undefined) return known;
  const kind = parseContentType(contentType);
  if (knownKinds.size < MAX_KNOWN_KINDS) knownKinds.set(contentType, kind);
  return kind;
}

function parseContentType(contentType: string): BodyKind {
  const [type, ...parameters] = contentType
    .toLowerCase()
    .split(';')
    .map((part) => part.trim());
  for (const parameter of parameters) {
    const charset = /^charset\s*=\s*"?([^"]*)"?$/.exec(parameter)?.[1];
    if (charset !== undefined && charset !== 'utf-8' && charset !== 'utf8') {
      throw invalidField('Content-Type', 'expected charset UTF-8, or none');
    }
  }
  if (type === FORM) return 'form';
  if (type === 'application/json') return 'json';
  throw invalidField('Content-Type', `expected ${FORM} or application/json`);
}

const FORM = 'application/x-www-form-urlencoded';
