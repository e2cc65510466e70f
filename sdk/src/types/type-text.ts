/** Characters that end a line, and others that are not to be seen. */
const LINE_ENDS = /\r\n|[\n\r\u2028\u2029]/;
// eslint-disable-next-line no-control-regex -- these are the ones that must not stand in a source file
const INVISIBLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** A text as a TypeScript literal in single quotes. */
export function literalText(text: string): string {
  const inner = JSON.stringify(text).slice(1, -1).replace(/\\"/g, '"').replace(/'/g, "\\'");
  return `'${inner.replace(/[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, escaped)}'`;
}

/** A property's name as it stands in a type: quoted unless it is an identifier. */
export function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : literalText(name);
}

/** A documentation comment of these lines, empty without any. No text can end the comment. */
export function comment(lines: string[], indent: string): string {
  const split = lines
    .flatMap((line) => line.split(LINE_ENDS))
    .map((line) => line.replace(INVISIBLE, '').replace(/\*\//g, '*\\/').trimEnd());
  while (split.length > 0 && split.at(-1) === '') split.pop();
  const [first] = split;
  if (first === undefined) return '';
  if (split.length === 1) return `${indent}/** ${first} */\n`;
  return `${indent}/**\n${split.map((line) => `${indent} *${line === '' ? '' : ` ${line}`}\n`).join('')}${indent} */\n`;
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
