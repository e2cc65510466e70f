/** Where chance comes from: whole numbers, one after another, chosen by fast-check so that a failure can be repeated. */
export type Dice = Iterator<number>;

function roll(dice: Dice, sides: number): number {
  return (dice.next().value as number) % sides;
}

/** Bytes that mean something to one parser or another. */
const SPECIAL = Buffer.from('\0\r\n%&=+"\'\\{}[]:,;/?#.-0129eE<>\x7f\x80\xc3\xff', 'latin1');

/** The bytes after one to four changes: flipped, replaced, left out, put in, doubled, cut off. */
export function mutated(bytes: Buffer, dice: Dice): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let left = 1 + roll(dice, 4); left > 0; left -= 1) result = mutatedOnce(result, dice);
  return result;
}

function mutatedOnce(bytes: Buffer, dice: Dice): Buffer {
  const at = roll(dice, bytes.length + 1);
  const end = Math.min(bytes.length, at + 1 + roll(dice, 8));
  const special = SPECIAL.subarray(roll(dice, SPECIAL.length)).subarray(0, 1);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(end)];
  switch (roll(dice, 6)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      if (at < flipped.length) flipped[at] = (flipped[at] as number) ^ (1 << roll(dice, 8));
      return flipped;
    }
    case 1:
      return Buffer.concat([before, special, bytes.subarray(at + 1)]);
    case 2:
      return Buffer.concat([before, after]);
    case 3:
      return Buffer.concat([before, special, bytes.subarray(at)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
    default:
      return Buffer.from(before);
  }
}

/** Values that a reader of JSON may not have thought of. */
const VALUES = [
  'null',
  'true',
  'false',
  '0',
  '-1',
  '1.5',
  '1e400',
  '-0',
  '9007199254740993',
  '""',
  '"\\u0000"',
  '"\\ud800"',
  '"x"',
  '[]',
  '[null]',
  '{}',
  '{"__proto__":{"x":1}}',
  '"__proto__"',
];

const NAMES = ['__proto__', 'constructor', 'toString', '', 'v', 'id', 'metaBytes', 'x'];

/** The text of a JSON value after one to three of its members or elements were replaced, left out, added or renamed. */
export function mutatedJson(json: string, dice: Dice): string {
  let text = json;
  for (let left = 1 + roll(dice, 3); left > 0; left -= 1) text = JSON.stringify(replaced(JSON.parse(text), dice));
  return text;
}

function replaced(value: unknown, dice: Dice): unknown {
  if (typeof value !== 'object' || value === null || roll(dice, 8) === 0) return anyValue(dice);
  if (Array.isArray(value)) {
    const items: unknown[] = [...(value as unknown[])];
    const at = roll(dice, items.length + 1);
    if (roll(dice, 3) === 0) items.splice(at, 1);
    else items[at] = replaced(items[at], dice);
    return items;
  }
  const members = Object.entries(value) as [string, unknown][];
  const at = roll(dice, members.length + 1);
  const [name, old] = members[at] ?? [NAMES[roll(dice, NAMES.length)] as string, null];
  const kind = roll(dice, 5);
  if (kind === 0) members.splice(at, 1);
  else if (kind === 1) members[at] = [NAMES[roll(dice, NAMES.length)] as string, old];
  else members[at] = [name, replaced(old, dice)];
  return Object.fromEntries(members);
}

function anyValue(dice: Dice): unknown {
  return JSON.parse(VALUES[roll(dice, VALUES.length)] as string);
}
