import { z } from 'zod';
import type { ApiToken } from '../../core/ports.js';
import { NAME_LENGTH } from '../../core/registry/registry-limits.js';
import type { RouteRules } from './dependencies.js';
import { givenTime, isoTime, isoTimeOrNull, text, time, uuid } from './fields.js';
import { defineRoute, type Route } from './route.js';

const role = z.enum(['admin', 'operator', 'viewer']);

const nodeCode = z
  .string()
  .meta({ description: 'the node whose things alone the token reaches; null or left out is the whole centre' });

const newToken = z
  .strictObject({
    name: text(NAME_LENGTH),
    role,
    nodeCode: nodeCode.nullable().optional(),
    expiresAt: givenTime.nullable().optional(),
  })
  .meta({ id: 'NewToken' });

const token = z
  .object({
    id: uuid,
    name: z.string(),
    role,
    nodeCode: nodeCode.nullable(),
    createdAt: time,
    expiresAt: time.nullable(),
    revokedAt: time.nullable(),
    lastUsedAt: time.nullable().meta({ description: 'to the minute' }),
  })
  .meta({ id: 'Token' });

const madeToken = token
  .extend({ token: z.string().meta({ description: 'not shown again' }) })
  .meta({ id: 'MadeToken' });

/** `/tokens`: who may call this API. */
export function tokenRoutes({ access: rules }: RouteRules): Route[] {
  const tag = 'Access';
  return [
    defineRoute({
      method: 'get',
      path: '/tokens',
      summary: 'List tokens',
      description: 'All of them, on one page; revoked ones too.',
      tag,
      role: 'admin',
      scope: 'centre',
      status: 200,
      answer: z.object({ items: z.array(token), nextCursor: z.null() }),
      async handle({ centre: { access } }) {
        return { items: (await access.list()).map(tokenView), nextCursor: null };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/tokens',
      summary: 'Make a token',
      description:
        'The role `viewer` may read, `operator` may also publish, test, retry, cancel and replay, `admin` may do everything. With `nodeCode` it does so with the things of that node only, and ends with the node. The answer shows `token`: it is not shown again.',
      tag,
      role: 'admin',
      scope: 'centre',
      body: newToken,
      rulesBroken: ({ name, expiresAt }) =>
        rules.rulesBroken({ name, expiresAt: givenTime.nullish().safeParse(expiresAt).data ?? null }),
      status: 201,
      answer: madeToken,
      errors: ['CONFLICT'],
      async handle({ body, centre: { access, actor } }) {
        const { name, role: madeRole, nodeCode: scope = null, expiresAt = null } = body;
        const made = await access.create(actor, { name, role: madeRole, nodeCode: scope, expiresAt });
        return { ...tokenView(made.token), token: made.secret };
      },
    }),
    defineRoute({
      method: 'delete',
      path: '/tokens/{id}',
      summary: 'Revoke a token',
      description: 'Takes effect in every process within a second.',
      tag,
      role: 'admin',
      scope: 'centre',
      params: z.strictObject({ id: uuid }),
      status: 204,
      errors: ['NOT_FOUND'],
      async handle({ params: { id }, centre: { access, actor } }) {
        await access.revoke(actor, id);
      },
    }),
  ];
}

function tokenView(one: ApiToken): z.infer<typeof token> {
  return {
    id: one.id,
    name: one.name,
    role: one.role,
    nodeCode: one.nodeCode,
    createdAt: isoTime(one.createdAt),
    expiresAt: isoTimeOrNull(one.expiresAt),
    revokedAt: isoTimeOrNull(one.revokedAt),
    lastUsedAt: isoTimeOrNull(one.lastUsedAt),
  };
}
