/** One field of a form: a text, or bytes that are UTF-8 already. */
export type BodyField = readonly [name: string, value: string | Buffer];

const KEPT = Buffer.alloc(256);
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-*_') {
  KEPT[character.charCodeAt(0)] = 1;
}
const HEX = Buffer.from('0123456789ABCDEF');
const SPACE = 0x20;
const PLUS = 0x2b;
const PERCENT = 0x25;
const EQUALS = 0x3d;
const AMPERSAND = 0x26;

/**
 * A form body (`application/x-www-form-urlencoded`, UTF-8) with the fields in the given order, escaped as
 * `java.net.URLEncoder` and the URL standard do.
 */
export function formBody(fields: readonly BodyField[]): Buffer {
  const texts = fields.flatMap(([name, value]) => [bytesOf(name), bytesOf(value)]);
  let length = Math.max(0, texts.length - 1);
  for (const text of texts) length += escapedLength(text);
  const body = Buffer.allocUnsafe(length);
  let at = 0;
  for (const [index, text] of texts.entries()) {
    if (index > 0) body[at++] = index % 2 === 1 ? EQUALS : AMPERSAND;
    at = writeEscaped(text, body, at);
  }
  return body;
}

function bytesOf(text: string | Buffer): Buffer {
  return typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
}

function escapedLength(text: Buffer): number {
  let length = 0;
  for (const byte of text) length += KEPT[byte] === 1 || byte === SPACE ? 1 : 3;
  return length;
}

function writeEscaped(text: Buffer, body: Buffer, from: number): number {
  let at = from;
  for (const byte of text) {
    if (KEPT[byte] === 1) body[at++] = byte;
    else if (byte === SPACE) body[at++] = PLUS;
    else {
      body[at++] = PERCENT;
      body[at++] = HEX[byte >> 4] as number;
      body[at++] = HEX[byte & 15] as number;
    }
  }
  return at;
}
