import { invalidField } from '../errors.js';

const DAY_MS = 86_400_000;
/** How far ahead an event can be scheduled: a year, so that a wrong unit is told instead of kept for ever. */
const HORIZON_MS = 366 * DAY_MS;

const MILLISECONDS = /^\d{1,15}$/;
const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)$/;

/**
 * When a scheduled event is due: ms since the epoch, or RFC 3339. A fraction of a millisecond is rounded up, because an
 * event must never come early. A time in the past is returned as it is.
 * @throws INVALID_PARAM at `deliverAt` for anything else, and for more than a year ahead of `now`.
 */
export function parseDeliverAt(text: string, now: number): number {
  const time = parseTime(text);
  if (time === null) {
    throw invalidField('deliverAt', 'expected RFC 3339 such as 2030-01-31T08:00:00+08:00, or ms since the epoch');
  }
  if (time - now > HORIZON_MS) throw invalidField('deliverAt', 'expected a time within the next 366 days');
  return time;
}

/** ms since the epoch, written so or as RFC 3339 with an offset; null for anything else. */
export function parseTime(text: string): number | null {
  return MILLISECONDS.test(text) ? Number(text) : parseRfc3339(text);
}

function parseRfc3339(text: string): number | null {
  const match = RFC_3339.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second, fraction, offset] = match;
  const [monthIndex, dayOfMonth] = [Number(month) - 1, Number(day)];
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  const midnight = new Date(0);
  midnight.setUTCFullYear(Number(year), monthIndex, dayOfMonth);
  // Date rolls 30 February over into March; that is a mistake of the sender, not a date.
  if (midnight.getUTCMonth() !== monthIndex || midnight.getUTCDate() !== dayOfMonth) return null;
  const offsetMs = offsetOf(offset as string);
  if (offsetMs === null) return null;
  const seconds = Number(hour) * 3600 + Number(minute) * 60 + Number(second);
  const nanoseconds = Number((fraction ?? '').padEnd(9, '0'));
  return midnight.getTime() + seconds * 1000 + Math.ceil(nanoseconds / 1_000_000) - offsetMs;
}

function offsetOf(text: string): number | null {
  if (text === 'Z' || text === 'z') return 0;
  const [hours, minutes] = [Number(text.slice(1, 3)), Number(text.slice(4, 6))];
  if (hours > 23 || minutes > 59) return null;
  const ms = (hours * 60 + minutes) * 60_000;
  return text.startsWith('-') ? -ms : ms;
}
