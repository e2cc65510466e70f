import { invalidField } from '../core/errors.js';
import type { Page, PageRequest } from '../core/ports.js';

/** The place after the last item of a page: the time and the ids by which the list is sorted. */
export interface PagePosition {
  time: number;
  ids: Buffer[];
}

/** The cursor of a place, to be given back with the next request. */
function cursorOf({ time, ids }: PagePosition): string {
  const head = Buffer.alloc(8);
  head.writeBigInt64BE(BigInt(Math.min(time, Number.MAX_SAFE_INTEGER)));
  return Buffer.concat([head, ...ids]).toString('base64url');
}

/**
 * The place that a cursor stands for in a list sorted by time and `idCount` ids; null for the beginning.
 * @throws INVALID_PARAM at `cursor`.
 */
export function positionOf(cursor: string | null, idCount: number): PagePosition | null {
  if (cursor === null) return null;
  const bytes = Buffer.from(cursor, 'base64url');
  const time = bytes.length === 8 + 16 * idCount ? Number(bytes.readBigInt64BE()) : NaN;
  // Base64 decoding passes over what it does not know, so a cursor counts only if it reads back the same.
  if (!Number.isSafeInteger(time) || bytes.toString('base64url') !== cursor) {
    throw invalidField('cursor', 'expected the nextCursor of the page before, from the same list');
  }
  return { time, ids: Array.from({ length: idCount }, (_, index) => bytes.subarray(8 + 16 * index, 24 + 16 * index)) };
}

/** The page of rows that were read with one more than the limit. */
export function pageOf<Row, Item>(
  rows: Row[],
  page: PageRequest,
  of: { item: (row: Row) => Item; position: (row: Row) => PagePosition },
): Page<Item> {
  const shown = rows.slice(0, page.limit);
  const last = shown.at(-1);
  const nextCursor = rows.length > page.limit && last !== undefined ? cursorOf(of.position(last)) : null;
  return { items: shown.map(of.item), nextCursor };
}
