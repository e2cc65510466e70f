import type { FormField } from '../signature.js';
import { ReceiverRefusal } from './receiver-refusal.js';

const FORM = 'application/x-www-form-urlencoded';
/** More fields than any callback has, few enough to sort. */
const MAX_FIELDS = 1_000;

/**
 * The fields of a form in its order.
 * @throws ReceiverRefusal for another content type, a malformed escape and bytes that are no UTF-8.
 */
export function formFields(contentType: string | null, contentEncoding: string | null, body: Uint8Array): FormField[] {
  const type = (contentType ?? FORM).split(';', 1)[0] ?? '';
  if (type.trim().toLowerCase() !== FORM) throw malformed(`Content-Type: expected ${FORM}`);
  if (contentEncoding !== null && contentEncoding !== 'identity') throw malformed('Content-Encoding: expected none');
  const pieces = utf8Text(body)
    .split('&')
    .filter((piece) => piece !== '');
  if (pieces.length > MAX_FIELDS) throw malformed(`body: expected at most ${String(MAX_FIELDS)} fields`);
  return pieces.map((piece): FormField => {
    const equals = piece.indexOf('=');
    return equals === -1 ? [decoded(piece), ''] : [decoded(piece.slice(0, equals)), decoded(piece.slice(equals + 1))];
  });
}

function utf8Text(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    throw malformed('body: expected UTF-8, found bytes that are none');
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replace(/\+/g, ' '));
  } catch {
    throw malformed('body: expected percent-encoded UTF-8, found a malformed escape');
  }
}

function malformed(message: string): ReceiverRefusal {
  return new ReceiverRefusal('INVALID_PARAM', message);
}
