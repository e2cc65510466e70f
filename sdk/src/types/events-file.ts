import { isSchemaObject } from './schema-pointer.js';
import { SchemaTypes } from './schema-type.js';
import { TypeNames } from './type-names.js';
import { comment, literalText } from './type-text.js';

/** What is written of an event type. */
export interface DescribedEventType {
  sourceId: string;
  sourceName: string | null;
  eventTypeCode: string;
  eventTypeName: string | null;
  note: string | null;
  /** JSON Schema of the payload; null when it may be anything. */
  schema: unknown;
}

const HEADER = `// Written by "event-center types" from the registry of the event centre. Do not edit: run it again.
`;

/**
 * A TypeScript file with one type per event type, and `Events`, which has them all under `sourceId/eventType`. The same
 * event types give the same text, in whatever order they come.
 */
export function eventsFile(eventTypes: DescribedEventType[]): string {
  const names = new TypeNames(['Events']);
  // Names of event types are given out first, so that what a schema defines cannot take one.
  const named = [...eventTypes]
    .sort((one, other) => compare(one.sourceId, other.sourceId) || compare(one.eventTypeCode, other.eventTypeCode))
    .map((type) => ({ type, name: names.take(type.sourceId, type.eventTypeCode) }));
  const declarations = named.flatMap(({ type, name }) => declarationsOf(type, name, names));
  const namesByKey = new Map<string, string[]>();
  for (const { type, name } of named) {
    const key = `${type.sourceId}/${type.eventTypeCode}`;
    namesByKey.set(key, [...(namesByKey.get(key) ?? []), name]);
  }
  // Codes with a slash can make the same key: what comes under it is then one or the other.
  const members = [...namesByKey].map(([key, types]) => `  ${literalText(key)}: ${types.join(' | ')};\n`);
  const events = `/** Payloads by \`sourceId/eventType\`. */\nexport interface Events {\n${members.join('')}}\n`;
  return [HEADER, events, ...declarations].join('\n');
}

function declarationsOf(type: DescribedEventType, name: string, names: TypeNames): string[] {
  const { sourceId, sourceName, eventTypeCode, eventTypeName, note, schema } = type;
  const labels = [sourceName, eventTypeName].filter((label) => label !== null && label !== '').join(': ');
  const header = [
    `${sourceId}/${eventTypeCode}${labels === '' ? '' : ` (${labels})`}`,
    ...(note === null ? [] : [note]),
  ];
  if (schema === false) return [`${comment(header, '')}export type ${name} = never;\n`];
  if (!isSchemaObject(schema)) return [`${comment(header, '')}export type ${name} = unknown;\n`];
  return new SchemaTypes(schema, name, names).declarations(header);
}

/** By UTF-16 code units, the same in every locale. */
function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
