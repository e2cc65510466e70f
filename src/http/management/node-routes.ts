import { z } from 'zod';
import type { Node } from '../../core/model.js';
import type { SavedNode } from '../../core/registry/node-admin.js';
import {
  CONCURRENCY,
  DEFAULT_GRACE_MS,
  GRACE_MS,
  KEY_LENGTH,
  MASK,
  NAME_LENGTH,
  NODE_CODE,
  NOTE_LENGTH,
  PREVIOUS_KEYS,
  RATE,
} from '../../core/registry/registry-limits.js';
import { isUnreadable, unreadableOfNode } from '../../core/registry/unreadable-secret.js';
import type { RouteRules } from './dependencies.js';
import { givenFlag, isoTime, text, time, unreadable, unreadableFields, whole } from './fields.js';
import { pageFields, pageInMemory, pageOf, splitQuery } from './paging.js';
import { defineRoute, type Route } from './route.js';

const algorithm = z.enum(['HmacSHA1', 'HmacSHA256', 'HmacSHA384', 'HmacSHA512']);
const contentLength = z.enum(['exact', 'zero']);
const onExhausted = z.enum(['continue', 'stop']);
const rate = whole(RATE).nullable().meta({ description: 'events per second and process; null is unlimited' });
const key = text(KEY_LENGTH).meta({ description: 'Base64 text' });

const nodeFields = {
  nodeName: text(NAME_LENGTH).nullable(),
  note: text(NOTE_LENGTH, 0).nullable(),
  clientKey: key.nullable().meta({ description: 'signs callbacks to the node; null sends them unsigned' }),
  algorithm,
  contentLength: contentLength.meta({ description: '`zero` for receivers on the vendor’s light SDK' }),
  enabled: z.boolean(),
  onExhausted,
  concurrency: whole(CONCURRENCY),
  sendRateLimit: rate,
  deliverRateLimit: rate,
};

const changes = z
  .strictObject({
    ...nodeFields,
    algorithm: algorithm.nullable(),
    contentLength: nodeFields.contentLength.nullable(),
    onExhausted: onExhausted.nullable(),
    concurrency: nodeFields.concurrency.nullable(),
  })
  .partial();
const nodeCode = z.string().meta({ pattern: NODE_CODE.source });
const newNode = changes.extend({ nodeCode, appKey: key.optional() }).meta({ id: 'NewNode' });
const nodeChanges = changes.meta({ id: 'NodeChanges' });

const masked = z.string().meta({ description: `${MASK}; shown in full only when it was just made`, examples: [MASK] });
const node = z
  .object({
    nodeCode,
    ...nodeFields,
    appKey: masked,
    previousAppKeyExpiresAt: time.nullable().meta({ description: 'until when any earlier key is good' }),
    previousKeys: z
      .array(z.object({ expiresAt: time }))
      .meta({ description: 'until when each earlier key is good, the newest first' }),
    clientKey: masked.nullable(),
    unreadable,
    version: z.int(),
    lastTime: time,
  })
  .meta({ id: 'Node' });
const warnings = z.array(z.string()).optional().meta({ description: 'what is allowed but unwise' });
const savedNode = node.extend({ warnings }).meta({ id: 'SavedNode' });

const params = z.strictObject({ nodeCode: z.string() });
const rotation = z
  .strictObject({
    graceMs: whole(GRACE_MS)
      .optional()
      .meta({ description: `how long the old key stays good; ${DEFAULT_GRACE_MS} by default` }),
    appKey: key.optional(),
  })
  .meta({ id: 'KeyRotation' });

const FIXED = {
  nodeCode: 'cannot be changed; register another node',
  appKey: 'cannot be changed here; use POST /nodes/{nodeCode}/rotate-key',
};

/** `/nodes`: the applications (protocol, section 6). */
export function nodeRoutes({ admin: rules }: RouteRules): Route[] {
  const tag = 'Nodes';
  return [
    defineRoute({
      method: 'get',
      path: '/nodes',
      summary: 'List nodes',
      tag,
      role: 'viewer',
      scope: 'node',
      query: z.strictObject({ ...pageFields, enabled: givenFlag.optional() }),
      status: 200,
      answer: pageOf(node),
      async handle({ query, reach }) {
        const { page, filter } = splitQuery(query);
        const matching = (await reach.registry.nodes()).filter(
          (one) => filter.enabled === undefined || one.enabled === filter.enabled,
        );
        const { items, nextCursor } = pageInMemory(matching, (one) => one.nodeCode, page);
        return { items: items.map(nodeView), nextCursor };
      },
    }),
    defineRoute({
      method: 'post',
      path: '/nodes',
      summary: 'Register a node',
      description: 'The answer shows `appKey` in full: it is not shown again.',
      tag,
      role: 'admin',
      scope: 'centre',
      body: newNode,
      rulesBroken: (given) => rules.nodes.rulesBroken(given),
      status: 201,
      answer: savedNode,
      errors: ['CONFLICT'],
      async handle({ body, centre: { admin, actor } }) {
        const saved = await admin.nodes.create(actor, body);
        return { ...savedNodeView(saved), appKey: saved.appKey };
      },
    }),
    defineRoute({
      method: 'get',
      path: '/nodes/{nodeCode}',
      summary: 'Read a node',
      tag,
      role: 'viewer',
      scope: 'node',
      params,
      status: 200,
      answer: node,
      versioned: true,
      errors: ['NOT_FOUND'],
      async handle({ params: { nodeCode: code }, reach }) {
        return nodeView(await reach.registry.node(code));
      },
    }),
    defineRoute({
      method: 'patch',
      path: '/nodes/{nodeCode}',
      summary: 'Change a node',
      description:
        'Fields that are left out stay as they are; null sets back to the default, or clears. A token of the node changes all but ' +
        '`enabled`, `concurrency`, `sendRateLimit` and `deliverRateLimit`.',
      tag,
      role: 'admin',
      scope: 'node',
      params,
      body: nodeChanges,
      rulesBroken: (given) => rules.nodes.rulesBroken(given),
      fixedFields: FIXED,
      status: 200,
      answer: savedNode,
      versioned: true,
      errors: ['NOT_FOUND'],
      async handle({ params: { nodeCode: code }, body, expectedVersion, reach }) {
        return savedNodeView(await reach.registry.updateNode({ nodeCode: code, expectedVersion }, body));
      },
    }),
    defineRoute({
      method: 'delete',
      path: '/nodes/{nodeCode}',
      summary: 'Delete a node',
      description:
        'Refused with the list `usedBy` while it has listeners or owns event types. Ends the tokens of the node.',
      tag,
      role: 'admin',
      scope: 'centre',
      params,
      status: 204,
      versioned: true,
      errors: ['NOT_FOUND', 'IN_USE'],
      async handle({ params: { nodeCode: code }, expectedVersion, centre: { admin, actor } }) {
        await admin.nodes.delete(actor, { nodeCode: code, expectedVersion });
      },
    }),
    defineRoute({
      method: 'post',
      path: '/nodes/{nodeCode}/rotate-key',
      summary: 'Give a node another key',
      description:
        `The old key keeps working for \`graceMs\`, beside up to ${PREVIOUS_KEYS - 1} earlier ones for what was promised then; ` +
        'a `graceMs` of 0 ends all of them at once. The answer shows `appKey` in full: it is not shown again.',
      tag,
      role: 'admin',
      scope: 'node',
      params,
      body: rotation,
      rulesBroken: (given) => rules.nodes.rotationRulesBroken(given),
      bodyOptional: true,
      status: 200,
      answer: savedNode,
      versioned: true,
      errors: ['NOT_FOUND', 'CONFLICT'],
      async handle({ params: { nodeCode: code }, body, expectedVersion, reach }) {
        const saved = await reach.registry.rotateKey({ nodeCode: code, expectedVersion }, body);
        return { ...savedNodeView(saved), appKey: saved.appKey };
      },
    }),
  ];
}

function nodeView(one: Node): z.infer<typeof node> {
  const { previousKeys, appKey: _, clientKey, lastTime, ...open } = one;
  const ends = isUnreadable(previousKeys) ? [] : previousKeys.map(({ expiresAt }) => expiresAt);
  return {
    ...open,
    ...unreadableFields(unreadableOfNode(one)),
    appKey: MASK,
    previousAppKeyExpiresAt: ends.length === 0 ? null : isoTime(Math.max(...ends)),
    previousKeys: ends.map((expiresAt) => ({ expiresAt: isoTime(expiresAt) })),
    clientKey: clientKey === null ? null : MASK,
    lastTime: isoTime(lastTime),
  };
}

function savedNodeView(saved: SavedNode): z.infer<typeof savedNode> {
  const view = nodeView(saved.node);
  return saved.warnings.length === 0 ? view : { ...view, warnings: saved.warnings };
}
