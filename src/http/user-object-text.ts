import { createScanner } from 'jsonc-parser';

/** What is read of the text of one event. */
export interface EventText {
  /** The text of its `userObject`, as it was written; null when there is none. */
  userObject: string | null;
  /** A field that stands there twice, of which JSON.parse keeps only the last. */
  repeated: string | null;
}

/**
 * Reads a text that JSON.parse has taken, an event or an array of events, for what JSON.parse would change: the digits of
 * numbers, and names that stand twice. One entry per event, in order.
 */
export function readEventTexts(json: string): EventText[] {
  const scanner = createScanner(json, true);
  scanner.scan();
  const eventDepth = json[scanner.getTokenOffset()] === '[' ? 2 : 1;
  const events: EventText[] = [];
  let event: EventText = { userObject: null, repeated: null };
  let fields = new Set<string>();
  let userObjectFrom: number | null = null;
  let depth = 0;
  let previous = { end: 0, value: '' };
  for (; scanner.getTokenLength() > 0; scanner.scan()) {
    const offset = scanner.getTokenOffset();
    const mark = json[offset];
    const isEnd = mark === '}' || mark === ']';
    if (depth === eventDepth && mark === ':') {
      if (fields.has(previous.value)) event.repeated ??= previous.value;
      fields.add(previous.value);
      if (previous.value === 'userObject') userObjectFrom = offset + 1;
    } else if (depth === eventDepth && userObjectFrom !== null && (mark === ',' || isEnd)) {
      event.userObject = json.slice(userObjectFrom, previous.end).trimStart();
      userObjectFrom = null;
    } else if (depth === eventDepth - 1 && mark !== ',' && !isEnd) {
      event = { userObject: null, repeated: null };
      events.push(event);
      fields = new Set();
    }
    if (isEnd) depth -= 1;
    else if (mark === '{' || mark === '[') depth += 1;
    previous = { end: offset + scanner.getTokenLength(), value: scanner.getTokenValue() };
  }
  return events;
}
