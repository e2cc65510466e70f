import { formText } from '../signature.js';
import type { FormField } from '../signature.js';

/** The body of a call and what the signature covers of it. */
export interface SignedBody {
  type: string;
  text: string;
  /** In bytes. */
  contentLength: number;
  /** The text of its fields that is signed. */
  signed: string;
}

type Fields = Readonly<Record<string, string>>;

/** The fields as a form. */
export function formBody(fields: Fields): SignedBody {
  const entries = Object.entries(fields);
  return bodyOf(entries, 'application/x-www-form-urlencoded;charset=UTF-8', writtenForm(entries));
}

/** The fields as a flat JSON object. */
export function jsonBody(fields: Fields): SignedBody {
  return bodyOf(Object.entries(fields), 'application/json', JSON.stringify(fields));
}

/**
 * Fields as a query. Names need no escape.
 * @throws URIError for half of a surrogate pair.
 */
export function queryText(fields: readonly FormField[]): string {
  let text = '';
  for (const [name, value] of fields) text += `${text === '' ? '' : '&'}${name}=${encodeURIComponent(value)}`;
  return text;
}

function bodyOf(fields: readonly FormField[], type: string, text: string): SignedBody {
  return { type, text, contentLength: Buffer.byteLength(text), signed: formText(fields) };
}

function writtenForm(fields: readonly FormField[]): string {
  try {
    return queryText(fields).replaceAll('%20', '+');
  } catch {
    // Half of a surrogate pair: URLSearchParams is slower and writes U+FFFD, as UTF-8 does in the signature.
    const form = new URLSearchParams();
    for (const [name, value] of fields) form.append(name, value);
    return form.toString();
  }
}
