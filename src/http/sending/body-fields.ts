import { isUtf8 } from 'node:buffer';
import type { FormField } from '@event-center/sdk';
import { invalidField } from '../../core/errors.js';

/** More fields than any sender needs, few enough to sort. */
const MAX_FIELDS = 1_000;

/**
 * The fields of a body, in its order and with repeated names, by its content type: a form, or a flat JSON object whose
 * values are strings. Without a content type it is a form.
 * @throws INVALID_PARAM at `Content-Type`, `body` or the field that is no string.
 */
export function readFields(contentType: string | undefined, body: Buffer): FormField[] {
  const kind = bodyKind(contentType);
  if (!isUtf8(body)) throw invalidField('body', 'expected UTF-8, found bytes that are none');
  const text = body.toString('utf8');
  return kind === 'form' ? parseForm(text) : parseJsonFields(text);
}

/**
 * Parses `application/x-www-form-urlencoded` (WHATWG URL, section 5.1), but refuses what browsers repair.
 * @throws INVALID_PARAM at `body` for a malformed `%` escape, escapes that are no UTF-8, and too many fields.
 */
export function parseForm(text: string): FormField[] {
  const fields: FormField[] = [];
  for (let from = 0; from < text.length;) {
    let to = text.indexOf('&', from);
    if (to === -1) to = text.length;
    if (to > from) {
      if (fields.length === MAX_FIELDS) throw tooManyFields();
      const piece = text.slice(from, to);
      const equals = piece.indexOf('=');
      fields.push(
        equals === -1 ? [decode(piece), ''] : [decode(piece.slice(0, equals)), decode(piece.slice(equals + 1))],
      );
    }
    from = to + 1;
  }
  return fields;
}

function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    throw invalidField('body', 'expected percent-encoded UTF-8, found a malformed escape');
  }
}

/**
 * Parses a flat JSON object of strings.
 * @throws INVALID_PARAM at the field whose value is no string, else at `body`.
 */
export function parseJsonFields(text: string): FormField[] {
  const value = parseJson(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField('body', 'expected a JSON object of strings');
  }
  const entries: [string, unknown][] = Object.entries(value);
  if (entries.length > MAX_FIELDS) throw tooManyFields();
  const fields = entries.map(([name, member]): FormField => {
    if (typeof member !== 'string') throw invalidField(name, `expected a string, found ${kindOf(member)}`);
    if (LONE_SURROGATE.test(name) || LONE_SURROGATE.test(member)) {
      throw invalidField(name, 'expected text that can be written as UTF-8, found half of a surrogate pair');
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

function bodyKind(contentType: string | undefined): 'form' | 'json' {
  if (contentType === undefined || contentType === FORM) return 'form';
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
