const UNSAFE = /[^\x20-\x7e]/;
const UNSAFE_UNITS = /[^\x20-\x7e]/g;
const LINE_SPACE = /[\t\n\r]/g;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Longest payload that travels as a header, in bytes of UTF-8 before anything is escaped (protocol page, section 3). */
const LONGEST_JSON_BYTES = 8 * 1024;

/** A text as a header value: everything but printable ASCII becomes `\uXXXX`, as in JSON. */
export function asciiText(text: string): string {
  if (!UNSAFE.test(text)) return text;
  return text.replace(UNSAFE_UNITS, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * JSON as a header value that parses to the same: line breaks between tokens become spaces, other characters escapes.
 * Null when the payload is no JSON, or is longer than 8 KiB as it stands (protocol page, section 3); escaped it may be longer.
 */
export function jsonHeader(payload: Buffer): string | null {
  if (payload.length > LONGEST_JSON_BYTES) return null;
  const text = payload.toString('utf8');
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  // Within strings, JSON has no raw control characters: these can only stand between tokens.
  return asciiText(text.replace(LINE_SPACE, ' '));
}

/** Whether a header can be put on the wire as it is. */
export function isSendable(name: string, value: string): boolean {
  return HEADER_NAME.test(name) && HEADER_VALUE.test(value);
}
