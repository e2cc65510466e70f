import { z } from 'zod';
import { invalidField } from '../../core/errors.js';
import { CODE_LENGTH } from '../../core/registry/registry-limits.js';
import { text, uuid } from './fields.js';
import { defineRoute, type Route } from './route.js';

const SAMPLE = '{"test":true}';

const sample = z
  .strictObject({
    userObject: z
      .unknown()
      .optional()
      .meta({ description: `a text as it is, other JSON as JSON; ${SAMPLE} by default` }),
    tenantCode: text(CODE_LENGTH).nullable().optional(),
  })
  .meta({ id: 'ListenerSample' });

const result = z
  .object({
    ok: z.boolean().meta({ description: 'whether the answer counts as success' }),
    status: z.int().nullable().meta({ description: 'HTTP status; null without an answer' }),
    durationMs: z.number(),
    error: z.string().nullable(),
    response: z.string().nullable().meta({ description: 'beginning of the answer’s body' }),
  })
  .meta({ id: 'ListenerTestResult' });

/** `POST /listeners/{id}/test` (protocol, section 6). */
export function listenerTestRoute(): Route {
  return defineRoute({
    method: 'post',
    path: '/listeners/{id}/test',
    summary: 'Call a listener with a sample',
    description:
      'Sends a sample under a fresh event id by the code of real deliveries, also when the listener is disabled. ' +
      'At most 4 of one listener and 32 in a process run at a time; beyond, 429.',
    tag: 'Listeners',
    role: 'operator',
    scope: 'node',
    params: z.strictObject({ id: uuid }),
    body: sample,
    bodyOptional: true,
    status: 200,
    answer: result,
    errors: ['NOT_FOUND', 'CONFLICT'],
    async handle({ params: { id }, body, reach }) {
      const { kind, status, durationMs, error, response } = await reach.registry.testListener(id, {
        userObject: payloadText(body.userObject),
        tenantCode: body.tenantCode ?? null,
      });
      return { ok: kind === 'success', status, durationMs, error, response };
    },
  });
}

function payloadText(userObject: unknown): string | null {
  if (userObject === undefined) return SAMPLE;
  if (userObject === null || typeof userObject === 'string') return userObject;
  try {
    return JSON.stringify(userObject);
  } catch {
    // What came as JSON has no cycles; too many levels are all that can be wrong.
    throw invalidField('userObject', 'it is nested too deeply');
  }
}
