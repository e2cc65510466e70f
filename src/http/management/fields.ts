import { z } from 'zod';
import { parseTime } from '../../core/accepting/deliver-at.js';
import { isUuid } from '../../core/ids.js';
import { LATEST_TIME, type JsonValue } from '../../core/model.js';
import type { UnreadablePlace } from '../../core/registry/unreadable-secret.js';

/*
 * Bounds of what is registered are checked by the core, which owns the rules; the schemas here check types and describe
 * the bounds in the document.
 */

/** A text of up to `maxLength` characters, in the document's words. */
export function text(maxLength: number, minLength = 1): z.ZodString {
  return z.string().meta({ minLength, maxLength });
}

/** A whole number, its range in the document's words. */
export function whole(range: { min: number; max: number }): z.ZodInt {
  return z.int().meta({ minimum: range.min, maximum: range.max });
}

/** A UUID; capital letters are taken as small ones. */
export const uuid = z.string().toLowerCase().refine(isUuid, 'expected a UUID').meta({ format: 'uuid' });

/** Any JSON object; what it holds came from a JSON parser. */
export const jsonObject = z.record(z.string(), z.unknown() as z.ZodType<JsonValue>);

/** A time in an answer: RFC 3339 in UTC with milliseconds. */
export const time = z.string().meta({ format: 'date-time' });

/** A time in a query or body. */
export const givenTime = z
  .string()
  .transform((given, context) => {
    const ms = parseTime(given);
    if (ms !== null) return ms;
    context.addIssue({
      code: 'custom',
      message: 'expected RFC 3339 such as 2030-01-31T08:00:00Z, or ms since the epoch',
    });
    return z.NEVER;
  })
  .meta({ description: 'RFC 3339, or ms since the epoch' });

/** A whole number in a query, in decimal digits: `0x10`, `1e2` and an empty text are none. */
export function givenWhole(range: { min: number; max: number }) {
  return z.preprocess((given, context) => {
    if (typeof given === 'string' && /^-?\d+$/.test(given)) return Number(given);
    context.addIssue('expected a whole number');
    return z.NEVER;
  }, z.int().min(range.min).max(range.max));
}

/** `true` or `false` in a query. */
export const givenFlag = z.enum(['true', 'false']).transform((given) => given === 'true');

/** In an answer about something with secrets. */
export const unreadable = z
  .array(z.string())
  .optional()
  .meta({ description: 'fields that do not open under the master key and are of no use until they are given anew' });

/** The `unreadable` of an answer; left out when there is nothing to say. */
export function unreadableFields(places: UnreadablePlace[]): { unreadable?: string[] } {
  return places.length === 0 ? {} : { unreadable: places.map((place) => place.field) };
}

/** The beginning of the year 0: RFC 3339 can say no earlier one. */
const EARLIEST_TIME = -62_167_219_200_000;

/** A time that no RFC 3339 can say is shown as the nearest that can: rows of old may hold what a message said. */
export function isoTime(ms: number): string {
  return new Date(Math.min(Math.max(ms, EARLIEST_TIME), LATEST_TIME)).toISOString();
}

export function isoTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : isoTime(ms);
}

/** `fields` without those that are undefined. */
export function given<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
