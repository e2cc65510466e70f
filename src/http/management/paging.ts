import { z } from 'zod';
import { invalidField } from '../../core/errors.js';
import type { Page, PageRequest } from '../../core/ports.js';
import { given, givenWhole } from './fields.js';

const DEFAULT_LIMIT = 50;
const LIMIT = { min: 1, max: 500 };

/** The query of every list. */
export const pageFields = {
  limit: givenWhole(LIMIT).default(DEFAULT_LIMIT),
  cursor: z.string().min(1).max(1_000).optional().meta({ description: '`nextCursor` of the page before' }),
};

/** The answer of every list. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({
    items: z.array(item),
    nextCursor: z.string().nullable().meta({ description: 'null on the last page' }),
  });
}

type PageQuery = { limit: number; cursor?: string | undefined };

/** Which page is asked for, and by which filters. */
export function splitQuery<Q extends PageQuery>(query: Q): { page: PageRequest; filter: Filters<Q> } {
  const { limit, cursor, ...filter } = query;
  return { page: { limit, cursor: cursor ?? null }, filter: given(filter) as unknown as Filters<Q> };
}

type Filters<Q> = { [K in keyof Q as K extends keyof PageQuery ? never : K]: Exclude<Q[K], undefined> };

/** A page of what is in memory, in ascending order of `keyOf`, which must tell items apart. */
export function pageInMemory<T>(items: T[], keyOf: (item: T) => string, page: PageRequest): Page<T> {
  const after = page.cursor === null ? null : readCursor(page.cursor);
  const rest = items
    .map((item) => ({ key: keyOf(item), item }))
    .filter(({ key }) => after === null || key > after)
    .sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
  const taken = rest.slice(0, page.limit);
  const last = taken.at(-1);
  const isLast = rest.length <= page.limit || last === undefined;
  return { items: taken.map(({ item }) => item), nextCursor: isLast ? null : writeCursor(last.key) };
}

function writeCursor(key: string): string {
  return Buffer.from(JSON.stringify([key])).toString('base64url');
}

function readCursor(cursor: string): string {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    // Decoding passes over what it does not know, so a cursor counts only if it is written the same.
    if (Array.isArray(value) && typeof value[0] === 'string' && writeCursor(value[0]) === cursor) return value[0];
  } catch {
    // Told below.
  }
  throw invalidField('cursor', 'expected nextCursor of the page before');
}
