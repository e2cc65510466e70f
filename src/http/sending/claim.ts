import { invalidField } from '../../core/errors.js';
import type { ClaimStore } from '../../core/ports.js';
import { answerData } from './answer.js';
import type { PlainHandler } from './event-manager.js';
import { required, uuid, wholeNumber } from './lease-fields.js';
import { signedPost, type SignedPostDeps } from './signed-post.js';

const NAMES = ['eventId', 'generation', 'sequence', 'messageId'];
const MAX_NUMBER = 2_147_483_647;
const MAX_MESSAGE_ID = 128;

/** `POST {context}/eventmanager/claim.do` (protocol, section 5). */
export function claim(deps: SignedPostDeps & { claims: ClaimStore }): PlainHandler {
  return signedPost(deps, NAMES, async ({ node, fields, res }) => {
    const answer = await deps.claims.claim({
      eventId: eventIdOf(fields),
      nodeCode: node.nodeCode,
      generation: required('generation', wholeNumber(fields, 'generation', { min: 1, max: MAX_NUMBER, absent: null })),
      sequence: required('sequence', wholeNumber(fields, 'sequence', { min: 0, max: MAX_NUMBER, absent: null })),
      messageId: messageIdOf(fields),
    });
    const settled = answer.result === 'granted' ? Object.fromEntries(answer.settled) : {};
    answerData(res, { result: answer.result, settled });
  });
}

function eventIdOf(fields: ReadonlyMap<string, string>): string {
  const parsed = uuid.safeParse(required('eventId', fields.get('eventId') ?? null));
  if (!parsed.success) throw invalidField('eventId', 'expected a UUID');
  return parsed.data;
}

function messageIdOf(fields: ReadonlyMap<string, string>): string {
  const messageId = required('messageId', fields.get('messageId') ?? null);
  if (messageId.length <= MAX_MESSAGE_ID) return messageId;
  throw invalidField('messageId', `expected at most ${String(MAX_MESSAGE_ID)} characters`);
}
