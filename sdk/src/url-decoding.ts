/**
 * Decodes a value of a query as `java.net.URLDecoder` does with UTF-8: `+` is a space, and bytes that are no UTF-8
 * become U+FFFD.
 * @returns null for a malformed `%` escape, where Java throws.
 */
export function decodeUrlValue(text: string): string | null {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    return MALFORMED_ESCAPE.test(spaced) ? null : spaced.replace(ESCAPES, decodeEscapes);
  }
}

const MALFORMED_ESCAPE = /%(?![0-9a-fA-F]{2})/;
const ESCAPES = /(?:%[0-9a-fA-F]{2})+/g;

function decodeEscapes(escapes: string): string {
  return Buffer.from(escapes.replaceAll('%', ''), 'hex').toString('utf8');
}
