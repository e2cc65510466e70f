import type { IncomingMessage } from 'node:http';
import type { Acceptor } from '../../core/accepting/accept.js';
import { EventCenterError, invalidField } from '../../core/errors.js';
import type { Submission } from '../../core/accepting/submission.js';
import { answerAccepted } from './answer.js';
import type { PlainHandler } from './event-manager.js';
import type { BodyReader } from './read-body.js';
import { headerText, readSignedRequest, type SignedRequest } from './signed-request.js';

/** `POST {context}/eventmanager/sendEventMsg.do` (protocol, section 2). */
export function sendEvent({ acceptor, bodies }: { acceptor: Acceptor; bodies: BodyReader }): PlainHandler {
  return {
    method: 'POST',
    handle: async (req, res, target) => {
      const body = await bodies.read(req, res).catch((error: unknown) => {
        if (error instanceof EventCenterError) acceptor.recordRefusal(error);
        throw error;
      });
      const request = readSignedRequest(req, target, body);
      answerAccepted(res, await acceptor.acceptSigned(request, () => readSubmission(req, request)));
    },
  };
}

/**
 * The parameters of a send. A field is taken from the body only, and only where the signature covers it: one that stands
 * twice, or in the query too, could be changed on the way.
 * @throws INVALID_PARAM naming the field.
 */
function readSubmission(req: IncomingMessage, { fields, query }: SignedRequest): Submission {
  const values = new Map<string, string>();
  for (const [name, value] of fields) {
    if (!FIELD_NAMES.has(name)) continue;
    if (values.has(name)) throw invalidField(name, 'expected it once');
    if (query.values.has(name)) throw invalidField(name, 'expected it in the body only, found it in the query too');
    values.set(name, value);
  }
  if (values.has('data') && values.has('userObject')) {
    throw invalidField('data', 'is another name of userObject, expected only one of them');
  }
  const text = (name: string): string | null => values.get(name) ?? null;
  const uuid = text('uuid');
  return {
    sourceId: text('sourceID'),
    eventType: text('eventType'),
    tenantCode: text('tenantCode'),
    userObject: text('userObject') ?? text('data'),
    uuid: uuid === null || uuid === '' ? headerText(req, 'idempotency-key') : uuid,
    deliverAt: text('deliverAt'),
    orderKey: text('orderKey'),
    traceparent: headerText(req, 'traceparent'),
    bodyFields: fields.filter(([name]) => name !== 'uuid'),
  };
}

const FIELD_NAMES = new Set([
  'sourceID',
  'eventType',
  'tenantCode',
  'userObject',
  'data',
  'uuid',
  'deliverAt',
  'orderKey',
]);
