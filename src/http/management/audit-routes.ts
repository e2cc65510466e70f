import { z } from 'zod';
import { isoTime, jsonObject, time, uuid } from './fields.js';
import { pageFields, pageOf, splitQuery } from './paging.js';
import { defineRoute, type Route } from './route.js';

const auditRecord = z
  .object({
    id: uuid,
    at: time,
    actor: z.string(),
    requestId: z.string().nullable(),
    action: z.string(),
    subjectKind: z.string(),
    subjectId: z.string(),
    detail: jsonObject.meta({ description: 'what was asked, without its secrets' }),
  })
  .meta({ id: 'AuditRecord' });

/** `/audit`: every write, and who did it. */
export function auditRoutes(): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/audit',
      summary: 'List the audit log, newest first',
      tag: 'Access',
      role: 'admin',
      scope: 'centre',
      query: z.strictObject(pageFields),
      status: 200,
      answer: pageOf(auditRecord),
      async handle({ query, centre: { audit } }) {
        const { items, nextCursor } = await audit.list(splitQuery(query).page);
        return { items: items.map((record) => ({ ...record, at: isoTime(record.at) })), nextCursor };
      },
    }),
  ];
}
